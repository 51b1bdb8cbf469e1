import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { DatabaseAddress } from '#infrastructure/postgres/connect.ts';
import { freePort } from './free-port.ts';
import { until } from './until.ts';

export type PgBouncer = {
  /** The same database, through it. */
  address(of: DatabaseAddress): DatabaseAddress;
  kill(): Promise<void>;
  /** On the same port. */
  start(): Promise<void>;
  stop(): Promise<void>;
};

/**
 * PgBouncer in transaction mode before the server of the tests. Startup parameters that it cannot follow are refused, as they
 * are where nobody told it to ignore them. @param poolSize how many connections of the server all clients share, per database
 */
export async function pgbouncer(server: DatabaseAddress, poolSize: number): Promise<PgBouncer> {
  const folder = mkdtempSync(path.join(tmpdir(), 'latchkey-pgbouncer-'));
  chmodSync(folder, 0o755); // it does not run as root, and becomes nobody instead
  const port = await freePort();
  const config = path.join(folder, 'pgbouncer.ini');
  const options = [
    '[databases]',
    `* = ${doorOf(server)}`,
    '[pgbouncer]',
    'pool_mode = transaction',
    'auth_type = any',
    'listen_addr = 127.0.0.1',
    `listen_port = ${port}`,
    'unix_socket_dir =',
    `default_pool_size = ${poolSize}`,
    'max_client_conn = 500',
    'server_login_retry = 1',
  ];
  writeFileSync(config, `${options.join('\n')}\n`);
  let child: ChildProcess;

  const start = async () => {
    child = spawn('pgbouncer', [...(process.getuid?.() === 0 ? ['-u', 'nobody'] : []), config], { stdio: 'ignore' });
    await until('pgbouncer listens', async () => {
      if (child.exitCode !== null) throw new Error('pgbouncer does not start');
      return await opens(port);
    });
  };
  const kill = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  };
  await start();
  return {
    address: (of) => ({ url: `postgres://anybody@127.0.0.1:${port}/${nameOf(of)}` }),
    kill,
    start,
    async stop() {
      await kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function doorOf(server: DatabaseAddress): string {
  if ('socketDirectory' in server) return `host=${server.socketDirectory} user=${server.user}`;
  const { hostname, port, username, password } = new URL(server.url);
  const secret = password === '' ? '' : ` password=${decodeURIComponent(password)}`;
  return `host=${hostname} port=${port || 5432} user=${decodeURIComponent(username)}${secret}`;
}

function nameOf(address: DatabaseAddress): string {
  return 'url' in address ? new URL(address.url).pathname.slice(1) : address.database;
}

function opens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}
