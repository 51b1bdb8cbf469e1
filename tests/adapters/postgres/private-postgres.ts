import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { startEmbeddedPostgres } from '#infrastructure/embedded/embedded-postgres.ts';
import { connect, type DatabaseAddress } from '#infrastructure/postgres/connect.ts';
import { signalFamily } from '#tests/support/process-family.ts';

export type PrivatePostgres = {
  address: DatabaseAddress;
  /** SIGSTOP to all of it: connections stay open, nothing answers. */
  freeze(): void;
  thaw(): void;
  /** SIGKILL: it comes back by itself and recovers. */
  kill(): void;
  stop(): Promise<void>;
};

/** A server of one test file, to be frozen and killed: the embedded one. */
export async function privatePostgres(): Promise<PrivatePostgres> {
  const dataDir = mkdtempSync(path.join(tmpdir(), 'latchkey-test-'));
  const { address, stop } = await startEmbeddedPostgres(dataDir, () => {});
  const sql = connect({ ...address, database: 'postgres' }, { max: 1 });
  const [row] = await sql<{ folder: string }[]>`select setting as folder from pg_settings where name = 'data_directory'`;
  await sql.end();
  const postmaster = () => Number(readFileSync(path.join(row?.folder ?? '', 'postmaster.pid'), 'utf8').split('\n')[0]);
  const signal = (name: NodeJS.Signals) => signalFamily(postmaster(), name);
  return {
    address,
    freeze: () => signal('SIGSTOP'),
    thaw: () => signal('SIGCONT'),
    kill: () => void process.kill(postmaster(), 'SIGKILL'),
    async stop() {
      await stop();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}
