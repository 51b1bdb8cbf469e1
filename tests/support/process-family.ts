import { spawnSync } from 'node:child_process';

/** Sends a signal to a process and its children, such as all of a PostgreSQL. Those that have just ended are passed over. */
export function signalFamily(parent: number, signal: NodeJS.Signals): void {
  const { stdout } = spawnSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' });
  const pairs = stdout.trim().split('\n');
  const children = pairs.map((line) => line.trim().split(/\s+/).map(Number)).flatMap(([child = 0, of]) => (of === parent ? [child] : []));
  for (const pid of [parent, ...children]) {
    try {
      process.kill(pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}
