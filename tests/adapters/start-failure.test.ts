import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, inject, it } from 'vitest';
import { connect } from '#infrastructure/postgres/connect.ts';
import { migrate } from '#infrastructure/postgres/migrate.ts';
import { type Environment, loadConfig } from '#src/config.ts';
import { StartFailure, startFailure } from '#src/start-failure.ts';
import { inDatabase } from '#tests/support/database.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'latchkey-start-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What the operator reads when `attempt` fails. */
async function told(settings: Environment, attempt: () => unknown): Promise<string> {
  const error = await Promise.resolve()
    .then(attempt)
    .then(
      () => new Error('it did not fail'),
      (failed: unknown) => failed,
    );
  const failure = startFailure(error, loadConfig({ NODE_ENV: 'test', ...settings }));
  expect(failure).toBeInstanceOf(StartFailure);
  return (failure as StartFailure).message;
}

const listening = (host: string, port: number) =>
  new Promise<net.Server>((resolve, reject) => {
    const server = net.createServer();
    server.once('error', reject).listen({ host, port }, () => resolve(server));
  });
const atDatabase = (url: string) => ({ DATABASE_URL: url });
const migrated = (url: string) => migrate({ url }, new Date());

describe('a start that fails names the setting', () => {
  it('of a port that is taken, and of that of the metrics', async () => {
    const taken = await listening('127.0.0.1', 0);
    const port = (taken.address() as AddressInfo).port;
    const again = () => listening('127.0.0.1', port);
    expect(await told({ PORT: String(port) }, again)).toContain(`PORT=${port}: something else listens there already`);
    expect(await told({ METRICS_PORT: String(port) }, again)).toContain(`METRICS_PORT=${port}: something else`);
    taken.close();
  });

  it('of an address that is not of this machine, or of a name that has none', async () => {
    const said = (host: string) => `HOST=${host}: this machine has no such address to listen on.`;
    expect(await told({ HOST: '192.0.2.1' }, () => listening('192.0.2.1', 0))).toBe(said('192.0.2.1'));
    // As Node says it; asking a resolver that is not there could take a minute.
    const unknown = Object.assign(new Error('getaddrinfo ENOTFOUND nonesuch.invalid'), {
      code: 'ENOTFOUND',
      syscall: 'getaddrinfo',
      hostname: 'nonesuch.invalid',
    });
    expect(await told({ HOST: 'nonesuch.invalid' }, () => Promise.reject(unknown))).toBe(said('nonesuch.invalid'));
  });

  it('of a database whose address this machine cannot reach from, not of its own', async () => {
    const error = Object.assign(new Error('connect EADDRNOTAVAIL ::1:5432'), { code: 'EADDRNOTAVAIL', syscall: 'connect', port: 5432 });
    expect(await told(atDatabase('postgres://db/auth'), () => Promise.reject(error))).toContain('DATABASE_URL: db lets nobody in');
  });

  it('of folders that cannot be made or written', async () => {
    const file = path.join(folder, 'file');
    writeFileSync(file, '');
    const inFile = path.join(file, 'data');
    expect(await told({ DATA_DIR: inFile }, () => mkdirSync(inFile, { recursive: true }))).toContain(`DATA_DIR=${inFile}: `);
    expect(await told({ KEYS_DIR: file }, () => mkdirSync(file))).toContain(`KEYS_DIR=${file}: EEXIST`);
  });

  it('of a database that is not there, without the password in its URL', async () => {
    const closed = await listening('127.0.0.1', 0);
    const { port } = closed.address() as AddressInfo;
    await new Promise((resolve) => closed.close(resolve));
    const url = `postgres://auth:canary@127.0.0.1:${port}/auth`;
    const away = await told(atDatabase(url), () => migrated(url));
    expect(away).toContain(`DATABASE_URL: 127.0.0.1:${port} lets nobody in`);
    expect(away).not.toContain('canary');
  });

  it('of a database that the server does not have', async () => {
    const sql = connect(inDatabase(inject('postgres'), 'nonesuch'), { max: 1 });
    const said = await told(atDatabase('postgres://db/nonesuch'), () => sql`select 1`);
    await sql.end();
    expect(said).toMatch(/^DATABASE_URL.*database "nonesuch" does not exist/s);
  });
});

it('any other failure keeps its stack', () => {
  const config = loadConfig({ NODE_ENV: 'test' });
  for (const error of [new TypeError('a defect'), Object.assign(new Error('x'), { code: '42703' }), 'text']) {
    expect(startFailure(error, config)).toBe(error);
  }
});
