import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Binaries, clusterFolder, EmbeddedPostgresUnavailable, findBinaries, ownFolder, type RunAs, runAs } from './binaries.ts';
import { lockDataDir } from './data-dir-lock.ts';

export type EmbeddedPostgres = {
  address: { socketDirectory: string; user: string; database: string };
  /** Ends it cleanly: fast shutdown, nothing lost. */
  stop(): Promise<void>;
};

const ENVIRONMENT = { LC_ALL: 'C.UTF-8', TZ: 'UTC' };
const LONGEST_SOCKET_PATH = 107 - '/.s.PGSQL.5432'.length; // sun_path of unix(7)
const START_TRIES = 40;
const RETRY_MS = 250;
/** PostgreSQL that dies again and again is not started for ever; the service stays up and says 503. */
const MOST_RESTARTS_IN_A_ROW = 10;
/** Before the second of them; doubled with each: about two minutes in all, in which a full disk may be emptied. */
const FIRST_PAUSE_MS = 250;
/** One that ran for this long begins a new row. */
const CALM_MS = 60_000;

/**
 * A real PostgreSQL from npm binaries in `dataDir`, reached by a socket in a folder closed to others: no port, no password.
 * It lives in a session of its own, so that Ctrl-C drains the service first, and ends when this process does, however that
 * dies: the pipe at fd 3 closes. After a crash the next start recovers. If it dies by itself, it is started again.
 * @throws DataDirInUse, EmbeddedPostgresUnavailable, or what initdb or PostgreSQL says
 */
export async function startEmbeddedPostgres(
  dataDir: string,
  log: (message: string) => void,
  { maxConnections = 50, firstPauseMs = FIRST_PAUSE_MS } = {},
): Promise<EmbeddedPostgres> {
  const unlock = lockDataDir(dataDir);
  try {
    const ids = runAs();
    const dir = clusterFolder(dataDir, ids);
    const binaries = findBinaries(dir, ids);
    const data = path.join(dir, 'data');
    if (!existsSync(data)) makeCluster(binaries, data, ids);
    refuseOtherVersion(binaries, data);
    const socketDirectory = socketFolder(dir, ids);
    let server = await startServer(binaries, data, socketDirectory, ids, maxConnections);
    const stopping = new AbortController();
    const { signal } = stopping;
    let restarts = 0;
    let calm: NodeJS.Timeout | undefined;

    const watch = () =>
      server.once('exit', async () => {
        clearTimeout(calm);
        while (!signal.aborted && restarts < MOST_RESTARTS_IN_A_ROW) {
          const pauseMs = restarts === 0 ? 0 : firstPauseMs * 2 ** (restarts - 1);
          restarts++;
          await delay(pauseMs, undefined, { signal }).catch(() => {});
          if (signal.aborted) return;
          log('the embedded PostgreSQL ended unexpectedly; it is started again');
          try {
            server = await startServer(binaries, data, socketDirectory, ids, maxConnections);
            if (signal.aborted) return void server.kill('SIGTERM');
            calm = setTimeout(() => {
              restarts = 0;
            }, CALM_MS).unref();
            watch();
            return;
          } catch (error) {
            log(`the embedded PostgreSQL does not start: ${error instanceof Error ? error.message : error}`);
          }
        }
        if (!signal.aborted)
          log(`the embedded PostgreSQL ended ${MOST_RESTARTS_IN_A_ROW} times in a row and is not started any more; start the service anew`);
      });
    watch();

    return {
      address: { socketDirectory, user: 'postgres', database: 'latchkey' },
      async stop() {
        stopping.abort();
        if (server.exitCode === null && server.signalCode === null) {
          const ended = new Promise<void>((resolve) => server.once('exit', () => resolve()));
          server.kill('SIGTERM');
          await ended;
          for (const stream of server.stdio) stream?.destroy(); // the supervisor's pipes would keep this process alive
        }
        if (!socketDirectory.startsWith(dir)) rmSync(socketDirectory, { recursive: true, force: true });
        unlock();
      },
    };
  } catch (error) {
    unlock();
    throw error;
  }
}

/** Made under another name first: an initdb that is killed leaves no half cluster behind. */
export function makeCluster({ bin }: Binaries, data: string, ids: RunAs): void {
  const draft = `${data}.new`;
  rmSync(draft, { recursive: true, force: true });
  ownFolder(draft, ids);
  const args = ['-D', draft, '-U', 'postgres', '-E', 'UTF8', '--locale=C.UTF-8', '-A', 'trust'];
  const { status, stderr } = spawnSync(bin('initdb'), args, { ...ids, env: ENVIRONMENT, encoding: 'utf8' });
  if (status !== 0) throw new EmbeddedPostgresUnavailable(`The embedded PostgreSQL cannot make its files: ${stderr}`);
  renameSync(draft, data);
}

function refuseOtherVersion({ version }: Binaries, data: string): void {
  const made = readFileSync(path.join(data, 'PG_VERSION'), 'utf8').trim();
  if (made === version) return;
  throw new EmbeddedPostgresUnavailable(
    `${data} was made by PostgreSQL ${made}, yet the embedded one is ${version}. Move it away to begin anew, or set DATABASE_URL to a PostgreSQL ${made} on that data.`,
  );
}

/** A socket's path is short by law: from a deep checkout the socket goes to the temporary folder. */
function socketFolder(dir: string, ids: RunAs): string {
  const beside = path.join(dir, 'run');
  if (Buffer.byteLength(beside) <= LONGEST_SOCKET_PATH) return ownFolder(beside, ids);
  // A name that nobody can know before: who made the folder first could open it to all, and there is no password.
  return ownFolder(mkdtempSync(path.join(tmpdir(), 'latchkey-')), ids);
}

/** @returns the supervisor of the server, once that takes connections; ends with this process */
export async function startServer(
  { bin }: Binaries,
  data: string,
  socketDirectory: string,
  ids: RunAs,
  maxConnections: number,
): Promise<ChildProcess> {
  const settings = {
    listen_addresses: '',
    shared_buffers: '64MB',
    max_connections: String(maxConnections),
    unix_socket_directories: socketDirectory,
  };
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  // The shell waits for the server, passes SIGTERM on as a fast shutdown, and does the same when fd 3 closes with this process.
  const supervisor =
    '"$@" </dev/null 3<&- & pg=$!; trap "kill -INT $pg" TERM; (cat >/dev/null; kill -INT $pg) <&3 & w=$!; ' +
    'while kill -0 $pg 2>/dev/null; do wait $pg; done; kill $w';
  for (let tries = 1; ; tries++) {
    const server = spawn('/bin/sh', ['-c', supervisor, 'pg', bin('postgres'), '-D', data, ...flags], {
      ...ids,
      env: { ...ENVIRONMENT, PATH: '/usr/bin:/bin' },
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    });
    let said = '';
    const isReady = await new Promise<boolean>((resolve) => {
      server.stderr?.on('data', (chunk: Buffer) => {
        said = (said + chunk.toString()).slice(-4000);
        if (said.includes('ready to accept connections')) resolve(true);
      });
      server.once('exit', () => resolve(false));
    });
    if (isReady) return server;
    // A server that a killed service left behind is on its way out: it holds its files for a moment.
    if (!said.includes('postmaster.pid') || tries >= START_TRIES)
      throw new EmbeddedPostgresUnavailable(`The embedded PostgreSQL does not start: ${said}`);
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}
