import type { ChildProcess } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { findBinaries, ownFolder, runAs } from '#infrastructure/embedded/binaries.ts';
import { makeCluster, startServer } from '#infrastructure/embedded/embedded-postgres.ts';
import type { DatabaseAddress } from '#infrastructure/postgres/connect.ts';
import { signalFamily } from '#tests/support/process-family.ts';

export type PostgresServer = {
  address: DatabaseAddress;
  /** SIGSTOP to all of it: connections stay open, nothing answers. */
  freeze(): void;
  thaw(): void;
  /** SIGKILL to all of it, as when its container dies. It stays dead until it is started. */
  kill(): Promise<void>;
  isRunning(): boolean;
  /** On the same files: it recovers what was committed. */
  start(): Promise<void>;
  stop(): Promise<void>;
};

const MOST_CONNECTIONS = 60;
const STARTS_WITHIN_MS = 30_000;

/**
 * A PostgreSQL that nobody starts again but the drill. It ends with this process, however that dies.
 * @param dir where its data lies, on a disk of its own for one; removed by who made it
 */
export async function postgresServer(dir?: string): Promise<PostgresServer> {
  const folder = dir ?? mkdtempSync(path.join(tmpdir(), 'latchkey-bad-day-'));
  chmodSync(folder, 0o755); // the server of root runs as nobody, and passes through
  const ids = runAs();
  const binaries = findBinaries(folder, ids);
  const data = path.join(folder, 'data');
  const socketDirectory = ownFolder(path.join(folder, 'run'), ids);
  let supervisor: ChildProcess | null = null;

  const ended = async () => {
    const last = supervisor;
    if (last && last.exitCode === null && last.signalCode === null) await new Promise((resolve) => last.once('exit', resolve));
    for (const stream of last?.stdio ?? []) stream?.destroy();
    supervisor = null;
  };
  const postmaster = () => Number(readFileSync(path.join(data, 'postmaster.pid'), 'utf8').split('\n')[0]);
  const start = async () => {
    const untilMs = performance.now() + STARTS_WITHIN_MS;
    for (;;) {
      try {
        supervisor = await startServer(binaries, data, socketDirectory, ids, MOST_CONNECTIONS);
        supervisor.stderr?.resume();
        return;
      } catch (error) {
        if (performance.now() > untilMs) throw error;
      }
    }
  };
  ownFolder(folder, ids);
  makeCluster(binaries, data, ids);
  await start();
  return {
    address: { socketDirectory, user: 'postgres', database: 'postgres' },
    freeze: () => signalFamily(postmaster(), 'SIGSTOP'),
    thaw: () => signalFamily(postmaster(), 'SIGCONT'),
    async kill() {
      signalFamily(postmaster(), 'SIGKILL');
      await ended();
    },
    isRunning: () => supervisor !== null && supervisor.exitCode === null && supervisor.signalCode === null,
    start,
    async stop() {
      supervisor?.kill('SIGTERM');
      await ended();
      if (dir === undefined) rmSync(folder, { recursive: true, force: true });
    },
  };
}
