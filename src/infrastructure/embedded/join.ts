import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { DataDirInUse } from './data-dir-lock.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from './embedded-postgres.ts';

/** Whether a data directory has an embedded database yet. */
export function hasEmbeddedPostgres(dataDir: string): boolean {
  return existsSync(path.join(dataDir, 'postgres/data/PG_VERSION'));
}

/**
 * The embedded PostgreSQL for a command: the one that a running service keeps in this data directory, else one that is started, and
 * ended by `stop`.
 * @throws DataDirInUse while the one who holds the directory has no server up; what `startEmbeddedPostgres` throws
 */
export async function joinEmbeddedPostgres(dataDir: string, log: (message: string) => void): Promise<EmbeddedPostgres> {
  try {
    return await startEmbeddedPostgres(dataDir, log);
  } catch (error) {
    const socketDirectory = error instanceof DataDirInUse ? runningIn(dataDir) : null;
    if (socketDirectory === null) throw error;
    return { address: { socketDirectory, user: 'postgres', database: 'latchkey' }, stop: async () => {} };
  }
}

/** PostgreSQL writes where its socket is: the fifth line of postmaster.pid. */
function runningIn(dataDir: string): string | null {
  try {
    return readFileSync(path.join(dataDir, 'postgres/data/postmaster.pid'), 'utf8').split('\n')[4] || null;
  } catch {
    return null;
  }
}
