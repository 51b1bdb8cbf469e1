import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Database, openDatabase } from '#infrastructure/postgres/database.ts';
import { postgresStore } from '#infrastructure/postgres/store.ts';
import { type Wire, wireTo } from '#tests/adapters/postgres/wire.ts';
import { expectProblem } from '#tests/support/api.ts';
import { type TestDatabase, testDatabase } from '#tests/support/database.ts';
import { newEmail, OTHER_PASSWORD, PASSWORD, type SignedIn, signedInPerson, signIn, tokensOf, tryLogin } from '#tests/support/people.ts';
import { startService, type TestService } from '#tests/support/service.ts';
import { timed } from '#tests/support/timed.ts';
import { until } from '#tests/support/until.ts';

const BLOCK = {
  id: '00000000-0000-7000-8000-000000000001',
  network: '203.0.113.0/24',
  reason: 'a test',
  origin: 'manual',
  createdBy: null,
  createdAt: new Date(),
  endsAt: null,
} as const;

/** PostgreSQL gone and frozen under the running service: the wire to it is cut, the server that others use stays up. */
describe('without PostgreSQL', () => {
  let wire: Wire;
  let database: TestDatabase;
  let service: TestService;
  let person: SignedIn;
  let direct: Database;

  beforeEach(async () => {
    database = await testDatabase();
    wire = await wireTo(database.address);
    direct = openDatabase(database.address, { poolSize: 1, prepare: true });
    service = await startService({ settings: { LOG_LEVEL: 'silent' }, database, address: wire.address });
    person = await signedInPerson(service);
  });
  afterEach(async () => {
    wire.thaw();
    await service.stop();
    await wire.close();
    await direct.close();
    await database.drop();
  });

  const outages = [
    { how: 'gone', begin: () => wire.refuse(true), end: () => wire.refuse(false) },
    { how: 'frozen', begin: async () => wire.freeze('all'), end: async () => wire.thaw() },
  ];

  describe.each(outages)('($how)', ({ begin, end }) => {
    it('[V16.5.3] what was blocked stays blocked, and what changes is seen when it is back', async () => {
      const stranger = service.api({ ip: '203.0.113.9' });
      const status = async () => (await stranger.get('/api/auth/me')).status;
      await postgresStore(direct).transaction((tx) => tx.ipBlocks.add(BLOCK));
      await until('it is blocked', async () => (await status()) === 403);
      await begin();
      expectProblem(await service.api().get('/api/auth/me', person.accessToken), 'unavailable');
      expect(await status()).toBe(403);
      await postgresStore(direct).transaction((tx) => tx.ipBlocks.remove(BLOCK.id));
      expect(await status()).toBe(403);
      await end();
      await until('it is open again', async () => (await status()) === 401);
    });

    it('[V16.5.2] [V16.5.3] every route of the API answers 503 soon, and no valid token is ever called invalid', async () => {
      await begin();
      const api = service.api();
      const change = { current_password: PASSWORD, new_password: OTHER_PASSWORD };
      const calls: [string, string, object | undefined, string | undefined][] = [
        ['POST', 'register', { email: newEmail(), password: PASSWORD }, undefined],
        ['POST', 'verify-email', { token: 'A'.repeat(43) }, undefined],
        ['POST', 'resend-verification', { email: person.email }, undefined],
        ['POST', 'forgot-password', { email: person.email }, undefined],
        ['POST', 'reset-password', { token: 'A'.repeat(43), new_password: OTHER_PASSWORD }, undefined],
        ['POST', 'login', { email: person.email, password: PASSWORD }, undefined],
        ['POST', 'refresh', { refresh_token: person.refreshToken }, undefined],
        ['POST', 'logout', undefined, person.accessToken],
        ['POST', 'logout', { refresh_token: person.refreshToken }, undefined],
        ['GET', 'me', undefined, person.accessToken],
        ['GET', 'sessions', undefined, person.accessToken],
        ['DELETE', 'sessions', undefined, person.accessToken],
        ['DELETE', `sessions/${person.sessionId}`, undefined, person.accessToken],
        ['POST', 'change-password', change, person.accessToken],
      ];
      for (const [method, name, body, token] of calls) {
        const sent = { ...(body ? { body } : {}), ...(token ? { token } : {}) };
        const answer = await timed(`${method} ${name}`, () => api.request(method, `/api/auth/${name}`, sent));
        expectProblem(answer, 'unavailable');
      }
    });

    it('is not ready, but alive, and the keys are there for everybody else', async () => {
      await begin();
      const api = service.api();
      const ready = await timed('ready', () => api.get('/health/ready'));
      expect(ready).toMatchObject({ status: 503, body: { status: 'not-ready', dependencies: { postgres: 'down' } } });
      for (const path of ['/health', '/health/live', '/.well-known/jwks.json', '/.well-known/openid-configuration']) {
        expect(await timed(path, () => api.get(path))).toMatchObject({ status: 200 });
      }
    });

    it('works again by itself when PostgreSQL is back: nobody was signed out, nothing was lost', async () => {
      await begin();
      const api = service.api();
      expectProblem(await api.get('/api/auth/me', person.accessToken), 'unavailable');
      await end();
      await until('the session works again', async () => (await api.get('/api/auth/me', person.accessToken)).status === 200);
      await until('it is ready again', async () => (await api.get('/health/ready')).status === 200);
      tokensOf(await api.post('/api/auth/refresh', { refresh_token: person.refreshToken }));
      await signIn(api, person);
    });
  });

  it('mail that waited is sent when PostgreSQL is back', async () => {
    await service.api().post('/api/auth/forgot-password', { email: person.email });
    wire.cut('fin');
    expect(await service.mail.token(person.email, 'reset-password')).toMatch(/^[\w-]{43}$/);
  });

  it('a refresh whose answer was lost on the way is tried again with the same token, and the user stays signed in', async () => {
    const api = service.api();
    const asked = api.post('/api/auth/refresh', { refresh_token: person.refreshToken });
    wire.cut('fin');
    await asked; // 200 or 503: whichever, the token is good for another try
    const again = await until('refreshing works', async () => {
      const answer = await api.post('/api/auth/refresh', { refresh_token: person.refreshToken });
      return answer.status === 503 ? null : answer;
    });
    tokensOf(again);
    expect(await tryLogin(api, person)).toMatchObject({ status: 200 });
  });
});
