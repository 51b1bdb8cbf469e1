import { spawnSync } from 'node:child_process';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

export type FakeClock = {
  /** For the process whose clock it is. */
  environment: Record<string, string>;
  /** From the next look at the clock on it is this far from the true time; nothing else changes, timers neither. */
  set(offsetSeconds: number): void;
  /** What such a process takes for now. */
  now(): Date;
  remove(): void;
};

/** The wall clock of a process, by Debian's `faketime`: as when somebody sets the clock of its machine. */
export function fakeClock(): FakeClock {
  const folder = mkdtempSync(path.join(tmpdir(), 'latchkey-clock-'));
  const file = path.join(folder, 'offset');
  // The wrapper knows where its library lies.
  const { stdout } = spawnSync('faketime', ['-f', '+0', 'printenv', 'LD_PRELOAD'], { encoding: 'utf8' });
  let offset = 0;
  const set = (seconds: number) => {
    offset = seconds;
    writeFileSync(`${file}.new`, `${seconds < 0 ? '' : '+'}${seconds}\n`);
    renameSync(`${file}.new`, file);
  };
  set(0);
  return {
    environment: {
      LD_PRELOAD: stdout.trim(),
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    },
    set,
    now: () => new Date(Date.now() + offset * 1000),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
