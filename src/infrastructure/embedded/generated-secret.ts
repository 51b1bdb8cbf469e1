import { randomBytes, randomUUID } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** What SECRET_KEY must have too. */
const SHORTEST = 32;

export class UnusableSecret extends Error {
  readonly isForPeople = true;
}

/**
 * A secret of 256 bits, made at first use and kept in the data directory (0600): development needs no settings, and a restart
 * signs nobody out. Of processes that start at once one wins and all agree.
 * @throws UnusableSecret when others can read the file, or it was cut short
 */
export function generatedSecret(dataDir: string, name: string): Buffer {
  const file = path.join(dataDir, name);
  if (!statSync(file, { throwIfNoEntry: false })) {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    const draft = `${file}.${randomUUID()}`; // in containers that share a folder each process is number 1
    writeFileSync(draft, randomBytes(32).toString('base64url'), { mode: 0o600, flag: 'wx', flush: true });
    try {
      linkSync(draft, file);
    } catch (error) {
      if (!isThere(error)) keepWithoutLink(draft, file);
    } finally {
      rmSync(draft);
    }
  }
  return read(file);
}

/** Some file systems have no hard links. A process that dies in between leaves a short file, which is refused. */
function keepWithoutLink(draft: string, file: string): void {
  try {
    writeFileSync(file, readFileSync(draft), { mode: 0o600, flag: 'wx', flush: true });
  } catch (error) {
    if (!isThere(error)) throw error;
  }
}

const isThere = (error: unknown) => (error as NodeJS.ErrnoException).code === 'EEXIST';

/** The secret that was made before, without making one. @returns null when there is none @throws UnusableSecret */
export function earlierSecret(dataDir: string, name: string): Buffer | null {
  const file = path.join(dataDir, name);
  return statSync(file, { throwIfNoEntry: false }) ? read(file) : null;
}

function read(file: string): Buffer {
  if ((statSync(file).mode & 0o077) !== 0) throw new UnusableSecret(`Others can read ${file}; run: chmod 600 ${file}`);
  const secret = readFileSync(file);
  if (secret.length < SHORTEST)
    throw new UnusableSecret(`${file} holds no secret of ours any more: bring it back from a backup, or delete it to begin anew`);
  return secret;
}
