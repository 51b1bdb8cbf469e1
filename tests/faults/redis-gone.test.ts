import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { type Answer, expectProblem } from '#tests/support/api.ts';
import { newEmail, OTHER_PASSWORD, PASSWORD, type SignedIn, signedInPerson, signIn, tokensOf, tryLogin } from '#tests/support/people.ts';
import { type PrivateRedis, privateRedis } from '#tests/support/redis-servers.ts';
import { startService, type TestService } from '#tests/support/service.ts';
import { timed } from '#tests/support/timed.ts';
import { until } from '#tests/support/until.ts';

const METRICS_TOKEN = 'the token of the tests for metrics';

/** Redis killed and frozen under the running service. Without a `redis-server` the global setup has said so. */
describe.runIf(inject('redisUrl') !== null)('without Redis', () => {
  let redis: PrivateRedis;
  let service: TestService;
  let person: SignedIn;

  beforeEach(async () => {
    redis = await privateRedis();
    service = await startService({ settings: { REDIS_URL: redis.url, LOG_LEVEL: 'silent', METRICS_TOKEN } });
    person = await signedInPerson(service);
  });
  afterEach(async () => {
    redis.thaw();
    await service.stop();
    await redis.stop();
  });

  const outages = [
    { how: 'killed', begin: () => redis.kill(), end: () => redis.start() },
    { how: 'frozen', begin: async () => redis.freeze(), end: async () => redis.thaw() },
  ];

  describe.each(outages)('($how)', ({ begin, end }) => {
    it('[V16.5.2] [V16.5.3] what guesses and floods go through answers 503 soon, and nothing gets past the limits', async () => {
      await begin();
      const api = service.api();
      const closed: [string, object][] = [
        ['login', { email: person.email, password: PASSWORD }],
        ['register', { email: newEmail(), password: PASSWORD }],
        ['forgot-password', { email: person.email }],
        ['resend-verification', { email: person.email }],
      ];
      for (const [name, body] of closed) {
        const answer = await timed(`POST ${name}`, () => api.post(`/api/auth/${name}`, body));
        expectProblem(answer, 'unavailable');
      }
    });

    it('signed-in users notice nothing: refresh, me, sessions, changing the password, signing out', async () => {
      await begin();
      const api = service.api();
      const next = tokensOf(await timed('refresh', () => api.post('/api/auth/refresh', { refresh_token: person.refreshToken })));
      expect(await timed('me', () => api.get('/api/auth/me', next.accessToken))).toMatchObject({ status: 200 });
      expect(await timed('sessions', () => api.get('/api/auth/sessions', next.accessToken))).toMatchObject({ status: 200 });
      const body = { current_password: PASSWORD, new_password: OTHER_PASSWORD };
      const { accessToken } = tokensOf(await api.post('/api/auth/change-password', body, next.accessToken));
      expect(await timed('end the others', () => api.delete('/api/auth/sessions', accessToken))).toMatchObject({ status: 204 });
      expect(await timed('logout', () => api.post('/api/auth/logout', undefined, accessToken))).toMatchObject({ status: 204 });
      expectProblem(await api.get('/api/auth/me', accessToken), 'unauthenticated');
      // Each was counted in this process, and operators see that it was.
      const scraped = await fetch(`${service.origin}/metrics`, { headers: { authorization: `Bearer ${METRICS_TOKEN}` } });
      expect(Number(/^latchkey_limiter_fallbacks_total (\d+)$/m.exec(await scraped.text())?.[1])).toBeGreaterThanOrEqual(6);
    });

    it('is not ready, but alive, and the keys are there', async () => {
      await begin();
      const api = service.api();
      const ready = await timed('ready', () => api.get('/health/ready'));
      expect(ready).toMatchObject({ status: 503, body: { status: 'not-ready', dependencies: { postgres: 'up', redis: 'down' } } });
      expect(await timed('live', () => api.get('/health/live'))).toMatchObject({ status: 200 });
      expect(await timed('JWKS', () => api.get('/.well-known/jwks.json'))).toMatchObject({ status: 200 });
    });

    it('works again by itself when Redis is back', async () => {
      await begin();
      expectProblem(await tryLogin(service.api(), person), 'unavailable');
      await end();
      await until('sign-in works again', async () => (await tryLogin(service.api(), person)).status === 200);
      await until('it is ready again', async () => (await service.api().get('/health/ready')).status === 200);
      await signIn(service.api(), person);
    });
  });

  it('is ready all the same where REDIS_OPTIONAL says so', async () => {
    const easy = await startService({ settings: { REDIS_URL: redis.url, REDIS_OPTIONAL: 'true', LOG_LEVEL: 'silent' } });
    try {
      await redis.kill();
      const ready: Answer = await easy.api().get('/health/ready');
      expect(ready).toMatchObject({ status: 200, body: { status: 'ready', dependencies: { redis: 'down' } } });
    } finally {
      await easy.stop();
    }
  });

  it('starts, and works as soon as Redis does', async () => {
    await redis.kill();
    const early = await startService({ settings: { REDIS_URL: redis.url, LOG_LEVEL: 'silent' }, database: service.database });
    try {
      expectProblem(await tryLogin(early.api(), person), 'unavailable');
      await redis.start();
      await until('sign-in works', async () => (await tryLogin(early.api(), person)).status === 200);
    } finally {
      await early.stop();
    }
  });
});
