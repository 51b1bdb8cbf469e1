import { spawnSync } from 'node:child_process';

/** Whether this machine has the program. Where CI runs it must: what cannot run there fails instead of being left out. */
export function has(program: string): boolean {
  const isThere = spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
  if (isThere || process.env['CI']) return true;
  console.warn(`${program} is not installed: its tests do not run here`);
  return false;
}
