import { afterAll, describe, expect, it } from 'vitest';
import { expectProblem, tally } from '#tests/support/api.ts';
import { cookieClient, signInByCookie } from '#tests/support/cookie-client.ts';
import { newEmail, type Person, signIn, tryLogin, verifiedPerson } from '#tests/support/people.ts';
import { startService } from '#tests/support/service.ts';
import { until } from '#tests/support/until.ts';

/** Credential stuffing against the running service, and what is done about it (docs/risk.md). */

// Limits are counted in process: a thousand requests are not to wait for anything else.
const TOKEN = 'the token of the tests for metrics';
const service = await startService({ settings: { REDIS_URL: '', METRICS_TOKEN: TOKEN } });
const { sql } = service;
afterAll(service.stop);

const WRONG = 'wrong horse battery';
const stranger = (number: number) => `198.${18 + Math.floor(number / 65_536)}.${Math.floor(number / 256) % 256}.${number % 256}`;

/** In groups, as a botnet does it. */
async function each<T>(count: number, atOnce: number, work: (index: number) => Promise<T>): Promise<T[]> {
  const done: T[] = [];
  for (let index = 0; index < count; index += atOnce)
    done.push(...(await Promise.all(Array.from({ length: Math.min(atOnce, count - index) }, (_, i) => work(index + i)))));
  return done;
}

/** What Prometheus is told: the sum of the samples of this counter with these labels. */
async function metric(name: string, labels: readonly string[] = [], { origin }: { origin: string } = service): Promise<number> {
  const answer = await fetch(`${origin}/metrics`, { headers: { authorization: `Bearer ${TOKEN}` } });
  const lines = (await answer.text())
    .split('\n')
    .filter((line) => line.startsWith(`latchkey_${name}{`) || line.startsWith(`latchkey_${name} `));
  return lines
    .filter((line) => labels.every((label) => line.includes(label)))
    .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

const blocksOf = (ip: string) => sql<{ id: string }[]>`select id, origin, ends_at from ip_blocks where network = ${`${ip}/32`}::cidr`;

describe('[V6.3.1] one address with a thousand accounts', () => {
  it('is stopped by the limit of its address, which the metrics show, while an owner on its list signs in', {
    timeout: 60_000,
  }, async () => {
    const limited = await startService({
      database: service.database,
      clock: service.clock,
      settings: { REDIS_URL: '', RATE_LIMIT_LOGIN: '5/minute', RATE_LIMIT_PER_IP: '50/minute', METRICS_TOKEN: TOKEN },
    });
    try {
      const bot = limited.api({ ip: '203.0.113.50' });
      const owner = await verifiedPerson(service);
      const list = (index: number) => (index === 500 ? owner.email : newEmail());
      const answers = await each(1000, 8, (index) => tryLogin(bot, { email: list(index), password: WRONG }));
      expect(tally(answers)['invalid-credentials']).toBeLessThan(10);
      const refused = tally(answers)['rate-limited'] ?? 0;
      expect(refused + (tally(answers)['invalid-credentials'] ?? 0)).toBe(1000);
      expect(await metric('problems_total', ['code="rate-limited"'], limited)).toBe(refused);
      await signIn(limited.api({ ip: '203.0.113.51' }), owner);
    } finally {
      await limited.stop();
    }
  });

  it('is blocked where it stays below the limit, is in audit trail and metrics, and nobody else is blocked', {
    timeout: 60_000,
  }, async () => {
    const ip = '203.0.113.60';
    const bot = service.api({ ip });
    const owner = await verifiedPerson(service); // is on the list
    const shut = () => metric('problems_total', ['route="/api/auth/login"', 'code="forbidden"']);
    const blocked = () => metric('audit_events_total', ['type="IP_BLOCKED"']);
    const [shutBefore, blockedBefore] = [await shut(), await blocked()];
    expectProblem(await tryLogin(bot, { ...owner, password: WRONG }), 'invalid-credentials');
    for (let index = 0; index < 20; index++)
      expectProblem(await tryLogin(bot, { email: newEmail(), password: WRONG }), 'invalid-credentials');
    expect(await blocksOf(ip)).toMatchObject([{ origin: 'automatic' }]);
    await until('the block is known', async () => (await tryLogin(bot, { email: newEmail(), password: WRONG })).status === 403);
    const rest = await each(980, 8, () => tryLogin(bot, { email: newEmail(), password: WRONG }));
    expect(tally(rest)).toEqual({ forbidden: 980 });

    const seen = await sql`select type, risk, details -> 'rules' as rules from audit_events where ip = ${ip} and risk >= 90 order by id`;
    expect(seen[0]).toEqual({ type: 'LOGIN_FAILED', risk: 90, rules: ['many-accounts'] });
    expect(await sql`select from audit_events where ip = ${ip} and type = 'IP_BLOCKED'`).toHaveLength(1);
    await signIn(service.api({ ip: '203.0.113.61' }), owner);
    expect((await shut()) - shutBefore).toBeGreaterThanOrEqual(980);
    await until('the block is counted', async () => (await blocked()) - blockedBefore === 1);
    expect(await metric('audit_events_high_risk_total')).toBeGreaterThan(0);

    const [block] = await sql`select ends_at from ip_blocks where network = ${`${ip}/32`}::cidr`;
    const seconds = (block?.['ends_at'].getTime() - service.clock.now().getTime()) / 1000;
    expect(seconds).toBeGreaterThanOrEqual(900);
    expect(seconds).toBeLessThan(961);
  });

  it('never blocks an address of the house: behind a proxy that nobody named, that is everybody', async () => {
    const bot = service.api({ ip: '10.0.0.9' });
    for (let index = 0; index < 25; index++) await tryLogin(bot, { email: newEmail(), password: WRONG });
    expect(await blocksOf('10.0.0.9')).toEqual([]);
    // Nor does it make the sign-ins of everybody less than recent.
    const { accessToken } = await signIn(bot, await verifiedPerson(service));
    expect((await bot.get('/api/auth/me/export', accessToken)).status).toBe(200);
  });
});

describe('[V6.1.1] one account from a thousand addresses', () => {
  it('is judged a hundred times, while its owner signs in at home and is told once', { timeout: 120_000 }, async () => {
    const person = await verifiedPerson(service);
    const home = cookieClient(service.api({ ip: '203.0.113.70' }));
    await signInByCookie(home, person);
    const failed = () => metric('audit_events_total', ['type="LOGIN_FAILED"']);
    const locked = () => metric('audit_events_total', ['type="ACCOUNT_LOCKED"']);
    const [failedBefore, lockedBefore] = [await failed(), await locked()];
    const answers = await each(1000, 8, (index) => tryLogin(service.api({ ip: stranger(index) }), { ...person, password: WRONG }));
    await until('they are counted', async () => (await failed()) - failedBefore >= 1000 && (await locked()) - lockedBefore === 1);
    expect(tally(answers)).toEqual({ 'invalid-credentials': 1000 });
    const reasons = await sql`select details ->> 'reason' as reason, count(*)::int as times from audit_events
      where account_id = ${person.id} and type = 'LOGIN_FAILED' group by 1 order by 1`;
    expect([...reasons]).toEqual([
      { reason: 'withheld', times: 900 },
      { reason: 'wrong-password', times: 100 },
    ]);
    const locks = await sql`select risk, details from audit_events where account_id = ${person.id} and type = 'ACCOUNT_LOCKED'`;
    expect([...locks]).toEqual([{ risk: 50, details: { lane: 'everywhere', lock_seconds: 3600 } }]);
    const risky = await sql`select from audit_events where account_id = ${person.id} and type = 'LOGIN_FAILED' and risk = 80`;
    expect(risky.length).toBeGreaterThan(800);

    // Even the right password is no use to whoever finds it now; its owner does not notice.
    expectProblem(await tryLogin(service.api({ ip: stranger(1001) }), person), 'invalid-credentials');
    await signInByCookie(home, person);
    expect((await service.mail.to(person.email)).filter(({ subject }) => subject.startsWith('Wrong passwords'))).toHaveLength(1);
    service.clock.advance(3600);
    await signIn(service.api({ ip: stranger(1002) }), person);
  });
});

describe('a sign-in that succeeds', () => {
  const riskOf = async ({ id }: Person) => {
    const [row] = await sql`select risk, details -> 'rules' as rules from audit_events
      where account_id = ${id} and type = 'LOGIN_SUCCEEDED' order by occurred_at desc, id desc limit 1`;
    return row;
  };

  it('after failures from many networks is scored, told of and asked to prove itself again', async () => {
    const person = await verifiedPerson(service);
    await signIn(service.api({ ip: '203.0.113.80' }), person);
    for (let index = 0; index < 10; index++) await tryLogin(service.api({ ip: stranger(2000 + index) }), { ...person, password: WRONG });
    const thief = service.api({ ip: stranger(2010), userAgent: 'python-requests/2.32' });
    const signedIn = await signIn(thief, person);
    expect(await riskOf(person)).toEqual({ risk: 60, rules: ['new-device', 'new-network', 'many-networks'] });
    expectProblem(await thief.get('/api/auth/me/export', signedIn.accessToken), 'insufficient-user-authentication');
    expect((await service.mail.to(person.email)).filter(({ subject }) => subject.includes('new device'))).toHaveLength(1);
  });

  it('from many addresses of the house within minutes is not: pods have one each', async () => {
    const person = await verifiedPerson(service);
    for (let pod = 0; pod < 5; pod++) await signIn(service.api({ ip: `10.78.1.${pod}` }), person);
    expect((await riskOf(person))?.['rules'] ?? []).not.toContain('impossible-pace');
  });

  it('from many networks within minutes is scored, and told of though no device is new', async () => {
    const person = await verifiedPerson(service);
    const at = (index: number) => service.api({ ip: stranger(3000 + index), userAgent: `curl/8.${index}` });
    for (let index = 0; index < 4; index++) await signIn(at(index), person);
    expect((await riskOf(person))?.['rules']).toContain('impossible-pace');
    service.clock.advance(16 * 60);
    await signIn(at(3), person);
    expect((await riskOf(person))?.['rules']).toBeNull();
  });
});
