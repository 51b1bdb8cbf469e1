import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { freePort } from '#tests/support/free-port.ts';
import { until } from '../support/until.ts';

/** A machine that has other things to do takes its time to start a database. */
const STARTS_WITHIN_SECONDS = 30;

/** `npm start`, as a process of its own on its embedded defaults: how it begins, ends, and comes back. */

const folders: string[] = [];
const running: Started[] = [];

type Started = { child: ChildProcess; origin: string; said(): string; ended: Promise<number | null> };

function dataDir(): string {
  const dir = mkdtempSync(path.join(tmpdir(), 'latchkey-start-'));
  chmodSync(dir, 0o755); // the embedded PostgreSQL of root runs as nobody, and passes through
  folders.push(dir);
  return dir;
}

async function start(dir: string, env: Record<string, string> = {}): Promise<Started> {
  const port = await freePort();
  const child = spawn(process.execPath, ['src/main.ts'], {
    env: {
      PATH: process.env['PATH'],
      DATA_DIR: path.join(dir, 'data'),
      KEYS_DIR: path.join(dir, 'keys'),
      PORT: String(port),
      LOG_LEVEL: 'warn',
      RATE_LIMIT_PER_IP: '10000/second',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      text += chunk;
    });
  }
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const started = { child, origin: `http://127.0.0.1:${port}`, said: () => text, ended };
  running.push(started);
  return started;
}

async function ready({ origin, child, said }: Started): Promise<void> {
  await until(
    'the service is ready',
    async () => {
      if (child.exitCode !== null) throw new Error(`it ended: ${said()}`);
      return (await fetch(`${origin}/health/ready`).catch(() => null))?.status === 200;
    },
    STARTS_WITHIN_SECONDS,
  );
}

function post(origin: string, route: string, body: object): Promise<Response> {
  return fetch(`${origin}/api/auth/${route}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
}

/** The PostgreSQL that runs on this folder. */
function postmaster(dir: string): number {
  return Number(readFileSync(path.join(dir, 'data/postgres/data/postmaster.pid'), 'utf8').split('\n')[0]);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

afterEach(async () => {
  for (const { child, ended } of running.splice(0)) {
    child.kill('SIGTERM');
    await ended;
  }
  for (const dir of folders.splice(0)) rmSync(dir, { recursive: true, force: true });
});

const ADA = { email: 'ada@example.com', password: 'nine quiet rivers under a bridge' };

describe('a start from nothing', { timeout: 90_000 }, () => {
  it('is ready, says where, and ends cleanly at SIGTERM: exit code 0, PostgreSQL stopped', async () => {
    const dir = dataDir();
    const service = await start(dir);
    await ready(service);
    expect(service.said()).toContain('/dev/mailbox');
    expect(service.said()).toContain('/docs');
    const pid = postmaster(dir);
    expect(isAlive(pid)).toBe(true);
    service.child.kill('SIGTERM');
    expect(await service.ended).toBe(0);
    expect(isAlive(pid)).toBe(false);
  }, 60_000);

  it('keeps everything through kill -9, of PostgreSQL too, and recovers with the next start', async () => {
    const dir = dataDir();
    const first = await start(dir);
    await ready(first);
    expect((await post(first.origin, 'register', ADA)).status).toBe(201);
    const jwks = await (await fetch(`${first.origin}/.well-known/jwks.json`)).text();
    process.kill(postmaster(dir), 'SIGKILL');
    first.child.kill('SIGKILL');
    await first.ended;

    const second = await start(dir);
    await ready(second);
    expect((await post(second.origin, 'login', ADA)).status).toBe(403); // the account is there, its address is not verified
    expect(await (await fetch(`${second.origin}/.well-known/jwks.json`)).text()).toBe(jwks);
  }, 60_000);

  it('starts PostgreSQL again when that dies by itself, and answers 503 meanwhile, never 401', async () => {
    const dir = dataDir();
    const service = await start(dir);
    await ready(service);
    const before = postmaster(dir);
    process.kill(before, 'SIGKILL');
    await until('PostgreSQL is back', async () => {
      const { status } = await post(service.origin, 'refresh', { refresh_token: 'rubbish' });
      expect(status).toBe(401); // refused without a query
      const answer = await post(service.origin, 'verify-email', { token: 'rubbish' });
      expect([400, 503]).toContain(answer.status);
      return answer.status === 400 && postmaster(dir) !== before;
    });
  }, 60_000);

  it('ends at SIGTERM while it still waits for its database, as process 1 of a container must by itself', async () => {
    const asked = Promise.withResolvers<void>();
    const silent = createServer(() => asked.resolve());
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const address = silent.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    try {
      const service = await start(dataDir(), { DATABASE_URL: `postgres://nobody@127.0.0.1:${port}/none` });
      await asked.promise;
      service.child.kill('SIGTERM');
      expect(await service.ended).toBe(0);
    } finally {
      silent.close();
    }
  });

  it('says that the data directory is in use, and ends, when another service holds it', async () => {
    const dir = dataDir();
    const first = await start(dir);
    await ready(first);
    const second = await start(dir);
    expect(await second.ended).toBe(1);
    expect(second.said()).toContain(`process ${first.child.pid}`);
    expect((await fetch(`${first.origin}/health/ready`)).status).toBe(200);
  }, 60_000);

  it('names every wrong setting at once, and ends', async () => {
    const service = await start(dataDir(), { ACCESS_TOKEN_EXPIRE_MINUTES: 'long', RATE_LIMIT_LOGIN: 'often' });
    expect(await service.ended).toBe(1);
    expect(service.said()).toContain('ACCESS_TOKEN_EXPIRE_MINUTES');
    expect(service.said()).toContain('RATE_LIMIT_LOGIN');
  }, 60_000);
});
