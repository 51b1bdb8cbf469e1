import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { expectProblem, tally, visible } from '#tests/support/api.ts';
import { browsingPerson } from '#tests/support/cookie-client.ts';
import { newEmail, PASSWORD, type SignedIn, signedInPerson, signIn, tryLogin, verifiedPerson } from '#tests/support/people.ts';
import { type PrivateRedis, privateRedis } from '#tests/support/redis-servers.ts';
import { enrolPhone, nextCode, personWithTotp, preAuthOf, verifyMfa, wrongCode } from '#tests/support/second-factors.ts';
import { startService, type TestService } from '#tests/support/service.ts';

/** Everybody's limit, the address's, the route's and the account's: one call of the script a request (docs/adr/0018). */
describe.runIf(inject('redisUrl') !== null)('the limits of a request', () => {
  let redis: PrivateRedis;
  let commands: Redis;
  let service: TestService;
  const few = ['GLOBAL', 'PER_IP', 'PER_USER', 'LOGIN', 'REGISTER', 'PASSWORD_RESET', 'MFA'].map((name) => [
    `RATE_LIMIT_${name}`,
    '300/hour',
  ]);
  beforeAll(async () => {
    redis = await privateRedis();
    commands = new Redis(redis.url);
    service = await startService({ settings: { REDIS_URL: redis.url, ...Object.fromEntries(few) } });
  });
  afterAll(async () => {
    commands?.disconnect();
    await service?.stop();
    await redis?.stop();
  });

  /** How often the script ran for it. */
  async function calls(work: () => Promise<{ status: number }>, status: number): Promise<number> {
    await commands.config('RESETSTAT');
    const answer = await work();
    expect(answer.status).toBe(status);
    const stats = await commands.info('commandstats');
    return ['eval', 'evalsha'].reduce((sum, name) => sum + Number(new RegExp(`cmdstat_${name}:calls=(\\d+)`).exec(stats)?.[1] ?? 0), 0);
  }

  it('are drawn in one call: without a session, with one, for a mailbox, for a phone, and where nothing is found', async () => {
    const api = service.api();
    const [person, other] = [await signedInPerson(service), await signedInPerson(service)];
    const withPhone = await enrolPhone(service, await signedInPerson(service));
    const withTotp = await personWithTotp(service);
    const { browser } = await browsingPerson(service);
    const preAuth = await preAuthOf(api, withTotp);
    const smsPreAuth = await preAuthOf(api, withPhone);
    const post = (path: string, body: object, token?: string) => () => api.post(`/api/${path}`, body, token);
    const asked: [string, () => Promise<{ status: number }>, number][] = [
      ['a sign-in', post('auth/login', { email: person.email, password: PASSWORD }), 200],
      ['a second factor', () => verifyMfa(api, preAuth, 'totp', nextCode(service, withTotp)), 200],
      ['a refresh', post('auth/refresh', { refresh_token: person.refreshToken }), 200],
      ['a registration', post('auth/register', { email: newEmail(), password: PASSWORD }), 201],
      ['one that fills the honeypot in', post('auth/register', { email: newEmail(), password: PASSWORD, website_url: 'x' }), 201],
      ['one with a password that is refused', post('auth/register', { email: newEmail(), password: '12345678' }), 400],
      ['a reset link', post('auth/forgot-password', { email: person.email }), 202],
      ['a reset link for nobody', post('auth/forgot-password', { email: newEmail() }), 202],
      ['a verification mail', post('auth/resend-verification', { email: newEmail() }), 202],
      ['reading', () => api.get('/api/auth/me', person.accessToken), 200],
      ['a change', () => api.patch('/api/auth/me', { display_name: 'Ada' }, person.accessToken), 200],
      ['a change by cookie', () => browser.request('PATCH', '/api/auth/me', { body: { display_name: 'Ada' } }), 200],
      ['another address', post('auth/change-email', { new_email: newEmail() }, other.accessToken), 202],
      ['a phone', post('sms-mfa/setup', { phone_number: '+14155550188' }, other.accessToken), 202],
      ['a code by SMS', post('sms-mfa/send-code', { pre_auth_token: smsPreAuth }), 202],
      ['a code for a sign-in that is none', post('sms-mfa/send-code', { pre_auth_token: 'x'.repeat(43) }), 400],
      ['a token that is none', post('auth/change-password', { current_password: 'x', new_password: 'y' }, 'garbage'), 401],
      [
        'a body that is none',
        () => api.request('POST', '/api/auth/register', { raw: '{', headers: { 'content-type': 'application/json' } }),
        400,
      ],
      ['a path that is not there', () => api.get('/api/auth/nowhere'), 404],
    ];
    const counted: [string, number][] = [];
    for (const [name, work, status] of asked) counted.push([name, await calls(work, status)]);
    expect(counted).toEqual(asked.map(([name]) => [name, 1]));
  });

  it('[V6.3.1] are charged once more when a password or code was wrong: nothing is asked by that', async () => {
    const person = await personWithTotp(service);
    const preAuth = await preAuthOf(service.api(), person);
    const wrong = () => tryLogin(service.api(), { email: person.email, password: 'wrong horse battery' });
    expect(await calls(wrong, 401)).toBe(2);
    expect(await calls(() => verifyMfa(service.api(), preAuth, 'totp', wrongCode(service, person.secret)), 401)).toBe(2);
  });

  it('are a few keys a request, all of which end', async () => {
    await commands.flushall();
    const { email } = await signedInPerson(service);
    await service.api().post('/api/auth/forgot-password', { email });
    const keys = await commands.keys('*');
    const kinds = new Set(keys.map((key) => key.split(':')[2]));
    expect(kinds).toEqual(new Set(['global', 'per-ip', 'register', 'login', 'password-reset']));
    for (const key of keys) expect(await commands.pttl(key)).not.toBe(-1);
    expect(keys.join(' ')).not.toContain(email);
  });
});

describe('the limit of an account', () => {
  const few = { RATE_LIMIT_PER_USER: '5/hour', REDIS_URL: '' };
  let service: TestService;
  beforeAll(async () => {
    service = await startService({ settings: few });
  });
  afterAll(() => service?.stop());
  const change = (who: { accessToken: string }, ip?: string) =>
    service.api(ip === undefined ? {} : { ip }).patch('/api/auth/me', { display_name: 'Ada' }, who.accessToken);

  it('[V2.4.1] counts its changes over all its sessions and addresses, 50 at once, and nobody else’s; reading is free', async () => {
    const person = await signedInPerson(service);
    const again = await signIn(service.api(), person);
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, index) => change(index % 2 === 0 ? person : again, `192.0.2.${index + 1}`)),
    );
    expect(tally(answers)).toEqual({ '200': 5, 'rate-limited': 45 });
    const refused = await change(person);
    expectProblem(refused, 'rate-limited');
    expect(refused.headers['ratelimit-policy']).toMatch(/^"per-ip";q=\d+;w=1, "per-user";q=5;w=3600$/);
    expect(Number(refused.headers['retry-after'])).toBe(720);
    expect(await service.api().get('/api/auth/me', person.accessToken)).toMatchObject({ status: 200 });
    expect(await change(await signedInPerson(service))).toMatchObject({ status: 200 });
  });

  it('is not drawn from by whoever holds a token of a session that has ended', async () => {
    const person = await signedInPerson(service);
    const stolen: SignedIn = await signIn(service.api(), person);
    expect(await service.api().delete(`/api/auth/sessions/${stolen.sessionId}`, person.accessToken)).toMatchObject({ status: 204 });
    const late = await Promise.all(Array.from({ length: 20 }, () => change(stolen)));
    expect(tally(late)).toEqual({ unauthenticated: 20 });
    expect(await change(person)).toMatchObject({ status: 200 });
  });

  it('draws from nothing when the address may not ask: a flood from elsewhere leaves the account its tokens', async () => {
    const narrow = await startService({
      settings: { ...few, RATE_LIMIT_PER_IP: '8/hour' },
      database: service.database,
      clock: service.clock,
    });
    try {
      const person = await verifiedPerson(service);
      const { accessToken } = await signIn(narrow.api({ ip: '192.0.2.90' }), person);
      for (let sent = 0; sent < 12; sent += 1) await narrow.api({ ip: '192.0.2.91' }).get('/api/auth/me', accessToken);
      const shut = await narrow.api({ ip: '192.0.2.91' }).patch('/api/auth/me', { display_name: 'x' }, accessToken);
      expectProblem(shut, 'rate-limited');
      const answer = await narrow.api({ ip: '192.0.2.92' }).patch('/api/auth/me', { display_name: 'x' }, accessToken);
      expect([answer.status, answer.headers['ratelimit']]).toEqual([200, expect.stringMatching(/"per-user";r=4;/)]);
    } finally {
      await narrow.stop();
    }
  });
});

describe('what limits tell', () => {
  it('[V6.3.8] is the same for an address with an account and without, before the mails of the hour are used up and after', async () => {
    const service = await startService({ settings: { RATE_LIMIT_PASSWORD_RESET: '20/hour', REDIS_URL: '' } });
    try {
      const { email } = await verifiedPerson(service);
      const nobody = newEmail();
      for (let sent = 0; sent < 25; sent += 1) {
        const ask = (address: string, ip: string) => service.api({ ip }).post('/api/auth/forgot-password', { email: address });
        const known = await ask(email, `192.0.2.${sent + 1}`);
        expect(visible(known)).toEqual(visible(await ask(nobody, `198.51.100.${sent + 1}`)));
        expect([known.status, known.headers['ratelimit']]).toEqual([202, expect.stringMatching(/"password-reset";r=19;/)]);
      }
      expect((await service.mail.to(email)).filter(({ subject }) => /password/i.test(subject))).toHaveLength(20);
    } finally {
      await service.stop();
    }
  });

  it('is a 429 with Retry-After for everybody when all together ask too much, and no bucket of theirs is named', async () => {
    const service = await startService({ settings: { RATE_LIMIT_GLOBAL: '4/hour', REDIS_URL: '' } });
    try {
      const answers = [];
      for (let sent = 0; sent < 8; sent += 1) answers.push(await service.api({ ip: `192.0.2.${sent + 1}` }).get('/api/auth/me'));
      expect(tally(answers)).toEqual({ unauthenticated: 4, 'rate-limited': 4 });
      expect(Number(answers.at(-1)?.headers['retry-after'])).toBe(900);
      for (const { headers, text } of answers) expect(JSON.stringify(headers) + text).not.toContain('global');
      expect(await service.api().get('/health/live')).toMatchObject({ status: 200 });
      expect(await service.api().get('/.well-known/jwks.json')).toMatchObject({ status: 200 });
    } finally {
      await service.stop();
    }
  });
});

describe('behind proxies that TRUST_PROXY names', () => {
  it('[V15.3.4] the address that counts is the right-most hop that is none of them, in limits and events alike', async () => {
    const service = await startService({
      settings: { TRUST_PROXY: '127.0.0.0/8, 10.1.2.3, 2001:db8:ffff::/48', RATE_LIMIT_PER_IP: '9/hour', REDIS_URL: '' },
    });
    try {
      const left = async (chain: string) =>
        Number(/"per-ip";r=(\d+)/.exec((await service.api({ ip: chain }).get('/api/auth/me')).headers['ratelimit'] ?? '')?.[1]);
      expect(await left('203.0.113.5')).toBe(8);
      expect(await left('198.51.100.9, 203.0.113.5')).toBe(7); // what the client wrote itself is left of it
      expect(await left('198.51.100.9, 203.0.113.5, 10.1.2.3')).toBe(6);
      expect(await left('203.0.113.5, 2001:db8:ffff:1::7, 10.1.2.3, 127.0.0.9')).toBe(5);
      expect(await left('203.0.113.5, 10.1.2.4')).toBe(8); // 10.1.2.4 is nobody's proxy
      expect(await left('203.0.113.5, 2001:db8:fffe::7')).toBe(8);
      await tryLogin(service.api({ ip: '198.51.100.9, 203.0.113.6, 10.1.2.3' }), { email: newEmail(), password: PASSWORD });
      const [event] = await service.sql`select ip from audit_events where type = 'LOGIN_FAILED'`;
      expect(event?.['ip']).toBe('203.0.113.6');
    } finally {
      await service.stop();
    }
  });

  it('[V15.3.4] a client is the same from every port, where a proxy writes that too', async () => {
    const service = await startService({ settings: { TRUST_PROXY: '127.0.0.0/8', RATE_LIMIT_PER_IP: '9/hour', REDIS_URL: '' } });
    try {
      const left = async (ip: string) =>
        Number(/"per-ip";r=(\d+)/.exec((await service.api({ ip }).get('/api/auth/me')).headers['ratelimit'] ?? '')?.[1]);
      expect([await left('203.0.113.5:40000'), await left('203.0.113.5:40001'), await left('203.0.113.5')]).toEqual([8, 7, 6]);
      expect([await left('[2001:db8::1]:443'), await left('2001:db8::2')]).toEqual([8, 7]);
      expect(await left('203.0.113.6:40000')).toBe(8);
      await tryLogin(service.api({ ip: '203.0.113.6:5678' }), { email: newEmail(), password: PASSWORD });
      await tryLogin(service.api({ ip: 'x'.repeat(5000) }), { email: newEmail(), password: PASSWORD });
      const events = await service.sql`select ip from audit_events where type = 'LOGIN_FAILED' order by id`;
      expect(events.map(({ ip }) => ip)).toEqual(['203.0.113.6', 'unknown']);
    } finally {
      await service.stop();
    }
  });

  it('nobody else’s X-Forwarded-For counts', async () => {
    const service = await startService({ settings: { TRUST_PROXY: '10.1.2.3', RATE_LIMIT_PER_IP: '3/hour', REDIS_URL: '' } });
    try {
      const answers = [];
      for (let sent = 0; sent < 6; sent += 1) answers.push(await service.api({ ip: `203.0.113.${sent + 1}` }).get('/api/auth/me'));
      expect(tally(answers)).toEqual({ unauthenticated: 3, 'rate-limited': 3 });
    } finally {
      await service.stop();
    }
  });
});

describe('every route of the API', () => {
  it('says which limits it has and what is left, whatever it answers', async () => {
    const service = await startService({ settings: { REDIS_URL: '' } });
    try {
      const routes = service.routes.filter(
        ({ path, access }) => path.startsWith('/api/') && (access === 'public' || !('serviceClient' in access)),
      );
      expect(routes.length).toBeGreaterThan(50);
      for (const { method, path, limits = [] } of routes) {
        const sent = method === 'GET' ? {} : { body: {} };
        const { headers, status } = await service.api().request(method, path.replace('{id}', '0198a000-0000-7000-8000-000000000000'), sent);
        const policy = ['per-ip', ...limits].map((name) => `"${name}";q=\\d+;w=\\d+`).join(', ');
        expect([method, path, status, headers['ratelimit-policy']]).toEqual([method, path, status, expect.stringMatching(`^${policy}$`)]);
        expect(headers['ratelimit']?.split(', ')).toHaveLength(1 + limits.length);
      }
    } finally {
      await service.stop();
    }
  });
});

describe('what has no bucket', () => {
  it('[V2.4.1] is refused to whoever floods it, in this process; probes and keys are not', async () => {
    const service = await startService({ settings: { RATE_LIMIT_PER_IP: '2/minute', REDIS_URL: '' } });
    try {
      const api = service.api();
      const flood = await Promise.all(Array.from({ length: 40 }, () => api.get('/openapi.json')));
      expect(tally(flood)).toEqual({ 200: 20, 'rate-limited': 20 });
      for (const path of ['/docs/', '/docs/static/swagger-ui.css', '/verify-email']) expectProblem(await api.get(path), 'rate-limited');
      expectProblem(await api.post('/api/auth/logout', {}), 'unauthenticated'); // a page that hammers takes nothing from the API
      const neverRefused = ['/health/live', '/health/ready', '/.well-known/jwks.json', '/.well-known/openid-configuration', '/dev/mailbox'];
      for (const path of neverRefused) expect(await api.get(path), path).toMatchObject({ status: 200 });
      expect(await service.api({ ip: '198.51.100.7' }).get('/openapi.json')).toMatchObject({ status: 200 });
    } finally {
      await service.stop();
    }
  });
});
