import { spawnSync } from 'node:child_process';

/**
 * Whether this machine has the program. Where CI runs it must: what cannot run there fails instead of being left out.
 * @param probe a command that succeeds when it is there, for what is no program by itself
 */
export function has(program: string, probe = `command -v ${program}`): boolean {
  const isThere = spawnSync('sh', ['-c', probe]).status === 0;
  if (isThere || process.env['CI']) return true;
  console.warn(`${program} is not installed: its tests do not run here`);
  return false;
}

/** Debian's own Python: another one on the PATH does not see its packages. */
export const PYTHON = '/usr/bin/python3';

/** Likewise for a module of it. */
export function hasPythonModule(module: string): boolean {
  const isThere = spawnSync(PYTHON, ['-c', `import ${module}`]).status === 0;
  if (isThere || process.env['CI']) return true;
  console.warn(`Python's ${module} is not installed: its tests do not run here`);
  return false;
}
