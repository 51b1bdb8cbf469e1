import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';

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

const POSTGRES_PROGRAMS = ['initdb', 'pg_ctl', 'pg_basebackup', 'pg_verifybackup'];

/**
 * Where PostgreSQL's own programs lie: on PATH, or where Debian puts them; null: nowhere.
 * @throws where CI runs, instead of null
 */
export function postgresPrograms(debian = '/usr/lib/postgresql'): string | null {
  const versions = existsSync(debian) ? readdirSync(debian).map((version) => path.join(debian, version, 'bin')) : [];
  const folders = [...versions.sort().reverse(), ...(process.env['PATH'] ?? '').split(':')];
  const found = folders.find((folder) => POSTGRES_PROGRAMS.every((name) => spawnSync(path.join(folder, name), ['--version']).status === 0));
  if (found !== undefined) return found;
  const missing = `${POSTGRES_PROGRAMS.join(', ')} of PostgreSQL are not installed`;
  if (process.env['CI']) throw new Error(missing);
  console.warn(`${missing}: their tests do not run here`);
  return null;
}
