import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

export class DataDirInUse extends Error {
  readonly isForPeople = true;
}

/**
 * Holds a data directory for this process. A lock whose process is gone (kill -9) is taken over: the file names the process
 * and the moment at which it started, so that another process under the same number is not taken for it.
 * @returns gives it back
 * @throws DataDirInUse when a living process holds it
 */
export function lockDataDir(dataDir: string): () => void {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const file = path.join(dataDir, 'lock');
  const draft = `${file}.${process.pid}`;
  const mine = `${process.pid} ${startOf(process.pid)}\n`;
  writeFileSync(draft, mine);
  try {
    for (let tries = 0; tries < 3; tries++) {
      try {
        linkSync(draft, file);
        return () => rmSync(file, { force: true });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
        refuseIfHeld(dataDir, file);
        rmSync(file, { force: true });
      }
    }
    throw new DataDirInUse(`Others fight for ${dataDir}; give each service its own DATA_DIR`);
  } finally {
    rmSync(draft, { force: true });
  }
}

function refuseIfHeld(dataDir: string, file: string): void {
  const [pid = '', start = ''] = read(file).trim().split(' ');
  if (pid === '' || !isAlive(Number(pid))) return;
  if (start !== startOf(Number(pid))) return;
  throw new DataDirInUse(`Another Latchkey (process ${pid}) uses ${path.resolve(dataDir)}. Stop it, or set another DATA_DIR and PORT.`);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** When a process started, in clock ticks since boot; `unknown` where there is no /proc. */
function startOf(pid: number): string {
  const stat = read(`/proc/${pid}/stat`);
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? 'unknown';
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
