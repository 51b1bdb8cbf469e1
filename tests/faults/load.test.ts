import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type TestDatabase, testDatabase } from '#tests/support/database.ts';
import { newEmail, PASSWORD } from '#tests/support/people.ts';
import { type ServiceProcess, serviceProcess } from '#tests/support/process.ts';
import { until } from '#tests/support/until.ts';

const MB = 1024 * 1024;
const AT_ONCE = 500;
const TOKEN = 'the token of the tests under load';
/** What the manifests give it: beyond that it is killed. */
const MOST_BYTES = 512 * MB;

/** The most memory that the process held since the start (proc(5)). */
function peakBytes(pid: number | undefined): number {
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
}

/** Five hundred sign-ins at once, with the parameters of production, at a process of its own. */
describe.runIf(process.platform === 'linux')('under a flood of sign-ins', { timeout: 240_000 }, () => {
  let database: TestDatabase;
  let service: ServiceProcess;
  beforeAll(async () => {
    database = await testDatabase();
    service = await serviceProcess(database.address, {
      ARGON2_MEMORY_KIB: '19456',
      ARGON2_TIME_COST: '2',
      REDIS_URL: '',
      NODE_OPTIONS: '--max-semi-space-size=4', // as npm start and the image have it
      TRUST_PROXY: '127.0.0.1',
      RATE_LIMIT_LOGIN: '100000/second',
      METRICS_TOKEN: TOKEN,
    });
  });
  afterAll(async () => {
    await service.stop();
    await database.drop();
  });

  let callers = 0;
  async function signIn(email: string): Promise<{ status: number; code: string; retryAfter: number }> {
    const number = callers++;
    const answer = await fetch(`${service.origin}/api/auth/login`, {
      method: 'POST',
      // Each from a network of its own: one that fails so often is blocked.
      headers: { 'content-type': 'application/json', 'x-forwarded-for': `10.${number >> 16}.${(number >> 8) & 255}.${number & 255}` },
      body: JSON.stringify({ email, password: PASSWORD }),
    });
    const { type = '' } = (await answer.json()) as { type?: string };
    return { status: answer.status, code: type.split('/').at(-1) ?? '', retryAfter: Number(answer.headers.get('retry-after')) };
  }
  const flood = () => Promise.all(Array.from({ length: AT_ONCE }, () => signIn(newEmail())));
  async function metric(name: string): Promise<number> {
    const text = await (await fetch(`${service.origin}/metrics`, { headers: { authorization: `Bearer ${TOKEN}` } })).text();
    return Number(new RegExp(`^latchkey_${name} (\\S+)$`, 'm').exec(text)?.[1]);
  }

  it('[V15.2.2] those beyond the queue are told at once to come back, with Retry-After; the others get their answer', async () => {
    const answers = await flood();
    const shed = answers.filter(({ status }) => status === 503);
    expect(shed.length).toBeGreaterThan(0);
    for (const { code, retryAfter } of shed) {
      expect(code).toBe('unavailable');
      expect(retryAfter).toBeGreaterThanOrEqual(1);
    }
    const others = answers.filter(({ status }) => status !== 503);
    expect(others.length).toBeGreaterThan(50);
    expect(others.filter(({ status, code }) => status !== 401 || code !== 'invalid-credentials')).toEqual([]);
    expect(await metric('hashing_shed_total')).toBeGreaterThan(0);
    expect(await metric('hashing_running')).toBe(0);
    expect(await metric('hashing_waiting')).toBe(0);
  });

  it('[V15.2.2] its memory is bounded: one flood after the other, it stays below what the manifests give it', async () => {
    for (let time = 0; time < 3; time++) await flood();
    expect(peakBytes(service.child.pid)).toBeLessThan(MOST_BYTES);
  });

  it('what needs no hash is answered meanwhile, before the flood is over', async () => {
    let isOver = false;
    const flooded = flood().finally(() => {
      isOver = true;
    });
    await until('hashes wait', async () => (await metric('hashing_waiting')) > 0);
    const answered: Record<string, number> = {};
    for (const path of ['/health/live', '/.well-known/jwks.json', '/api/auth/me']) {
      answered[path] = (await fetch(service.origin + path)).status;
    }
    expect(isOver).toBe(false);
    expect(answered).toEqual({ '/health/live': 200, '/.well-known/jwks.json': 200, '/api/auth/me': 401 });
    await flooded;
  });

  it('whoever was told to come back, and does, gets in while it lasts', async () => {
    const email = newEmail();
    const headers = { 'content-type': 'application/json', 'x-forwarded-for': '192.0.2.1' };
    await fetch(`${service.origin}/api/auth/register`, { method: 'POST', headers, body: JSON.stringify({ email, password: PASSWORD }) });
    await database.sql`update accounts set email_verified_at = now() where email = ${email}`;
    let isOver = false;
    const floods = (async () => {
      while (!isOver) await flood();
    })();
    try {
      await until('hashes wait', async () => (await metric('hashing_waiting')) > 0);
      await until('it is signed in', async () => (await signIn(email)).status === 200, 120);
    } finally {
      isOver = true;
      await floods;
    }
  });
});
