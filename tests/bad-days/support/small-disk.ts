import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmdirSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

export type SmallDisk = {
  folder: string;
  /** Not a byte is left. */
  fill(): void;
  clear(): void;
  remove(): void;
};

/** A disk of its own, in memory. @throws where this machine does not let us mount one */
export function smallDisk(megabytes: number): SmallDisk {
  const folder = mkdtempSync(path.join(tmpdir(), 'latchkey-small-disk-'));
  const { status, stderr } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', folder], { encoding: 'utf8' });
  if (status !== 0) {
    rmdirSync(folder);
    throw new Error(`a disk cannot be mounted: ${stderr}`);
  }
  const ballast = path.join(folder, 'ballast');
  return {
    folder,
    fill() {
      const file = openSync(ballast, 'w');
      try {
        for (const size of [1024 * 1024, 4096]) fillBy(file, Buffer.alloc(size));
      } finally {
        closeSync(file);
      }
    },
    clear: () => rmSync(ballast),
    remove() {
      spawnSync('umount', ['--lazy', folder]);
      rmdirSync(folder);
    },
  };
}

function fillBy(file: number, piece: Buffer): void {
  try {
    while (writeSync(file, piece) === piece.length);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  }
}

/** Whether we may mount. Where CI runs we must: what cannot run there fails instead of being left out. */
export function canMount(): boolean {
  try {
    smallDisk(1).remove();
    return true;
  } catch (error) {
    if (process.env['CI']) return true;
    console.warn(`The drill of a full disk does not run here: ${error instanceof Error ? error.message : error}`);
    return false;
  }
}
