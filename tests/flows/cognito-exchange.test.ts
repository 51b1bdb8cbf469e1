import { generateKeyPairSync } from 'node:crypto';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { expectProblem, tally } from '#tests/support/api.ts';
import { type Claims, type CognitoStub, cognitoStub } from '#tests/support/cognito-stub.ts';
import { tokensOf } from '#tests/support/people.ts';
import { startService, type TestService } from '#tests/support/service.ts';
import { timed } from '#tests/support/timed.ts';

let pool: CognitoStub;
let service: TestService;
beforeAll(async () => {
  pool = await cognitoStub();
  service = await startService({ settings: { AUTH_PROVIDER: 'cognito', ...pool.settings } });
});
beforeEach(() => {
  pool.hasKeys = true;
  pool.reply = null;
});
afterAll(async () => {
  await service.stop();
  await pool.stop();
});

const exchange = (token: string) => service.api().post('/api/auth/exchange', { provider: 'cognito', token });
const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;

describe('POST /api/auth/exchange', () => {
  it('[V6.8.4] is no newer than the sign-in that the token is from: what asks for a recent one asks', async () => {
    const user = pool.add();
    const hourAgo = Math.floor(Date.now() / 1000) - 3600;
    const { accessToken } = tokensOf(await exchange(await pool.idToken(user, { auth_time: hourAgo })));
    expect(decodeJwt(accessToken)).toMatchObject({ auth_time: hourAgo, acr: 'aal1', amr: [] });
    expectProblem(await service.api().get('/api/auth/me/export', accessToken), 'insufficient-user-authentication');
    expect((await service.api().get('/api/auth/me', accessToken)).status).toBe(200);
  });

  it.each<[string, Claims, Parameters<CognitoStub['idToken']>[2]?]>([
    ['of another pool', { iss: 'https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Other' }],
    ['for another client', { aud: 'another-client' }],
    ['for another client among ours', { aud: ['another-client', 'x'] }],
    ['of another use', { token_use: 'refresh' }],
    ['of no use', { token_use: undefined }],
    ['that is over', {}, { expires: Math.floor(Date.now() / 1000) - 1 }],
    ['not valid yet', { nbf: Math.floor(Date.now() / 1000) + 3600 }],
    ['of nobody', { sub: undefined }],
    ["signed with a stranger's key", {}, { key: stranger }],
    ["signed with a stranger's key, by its name", {}, { key: stranger, kid: 'stranger' }],
  ])('[V6.8.2] [V9.2.3] refuses an ID token %s', async (_what, claims, how) => {
    expectProblem(await exchange(await pool.idToken(pool.add(), claims, how)), 'invalid-token');
  });

  it.each<[string, Claims, Parameters<CognitoStub['accessToken']>[2]?]>([
    ['for another client', { client_id: 'another-client' }],
    ['of another pool', { iss: 'https://example.com' }],
    ['that calls itself an ID token', { token_use: 'id' }],
    ['that is over', {}, { expires: Math.floor(Date.now() / 1000) - 1 }],
    ["signed with a stranger's key", {}, { key: stranger }],
  ])('refuses an access token %s', async (_what, claims, how) => {
    const asked = pool.asked.length;
    expectProblem(await exchange(await pool.accessToken(pool.add(), claims, how)), 'invalid-token');
    expect(pool.asked.length).toBe(asked); // the pool knows its user: refused for the token, not for whose it is
  });

  it('[V9.1.2] refuses what is no token, what is not signed, and our own tokens', async () => {
    const [head = '', body = '', signature = ''] = (await pool.idToken(pool.add())).split('.');
    const none = Buffer.from('{"alg":"none","kid":"stub"}').toString('base64url');
    const symmetric = Buffer.from('{"alg":"HS256","kid":"stub"}').toString('base64url');
    const { accessToken } = tokensOf(await exchange(await pool.idToken(pool.add())));
    for (const token of ['rubbish', `${none}.${body}.`, `${symmetric}.${body}.${signature}`, `${head}.${body}.AAAA`, accessToken]) {
      expectProblem(await exchange(token), 'invalid-token');
    }
    const events = await service.sql`select from audit_events where type = 'TOKEN_EXCHANGE_REFUSED'`;
    expect(events.length).toBeGreaterThanOrEqual(5);
  });

  it('asks the pool whose an access token is, once: then its user is known', async () => {
    const user = pool.add();
    const asked = () => pool.asked.filter(({ target }) => target === 'GetUser').length;
    const before = asked();
    const first = await exchange(await pool.accessToken(user));
    expect(asked()).toBe(before + 1);
    expect((await exchange(await pool.accessToken(user))).body.user).toEqual(first.body.user);
    expect(asked()).toBe(before + 1);
  });

  it('refuses an access token that was revoked, or may not ask whose it is, while its user is not known', async () => {
    const user = pool.add();
    const token = await pool.accessToken(user);
    pool.reply = () => ({ error: 'NotAuthorizedException', message: 'Access Token does not have required scopes' });
    expectProblem(await exchange(token), 'invalid-token');
    pool.reply = () => ({ error: 'TooManyRequestsException' });
    expectProblem(await exchange(token), 'unavailable');
  });

  it('fetches no keys for names of keys that strangers make up', async () => {
    tokensOf(await exchange(await pool.idToken(pool.add())));
    await exchange(await pool.idToken(pool.add(), {}, { kid: 'made-up' }));
    const before = pool.jwksFetches;
    const forged = Array.from({ length: 30 }, async (_, index) =>
      exchange(await pool.idToken(pool.add(), {}, { kid: `made-up-${index}` })),
    );
    expect(tally(await Promise.all(forged))).toEqual({ 'invalid-token': 30 });
    expect(pool.jwksFetches).toBe(before);
  });

  it('says 503 while the keys cannot be had, never that the token is wrong, and knows them as soon as they can', async () => {
    const settings = { AUTH_PROVIDER: 'cognito', ...pool.settings };
    const fresh = await startService({ settings, database: service.database });
    try {
      pool.hasKeys = false;
      const body = { provider: 'cognito', token: await pool.idToken(pool.add()) };
      const down = await fresh.api().post('/api/auth/exchange', body);
      expectProblem(down, 'unavailable');
      expect(Number(down.headers['retry-after'])).toBeGreaterThan(0);
      pool.hasKeys = true;
      tokensOf(await fresh.api().post('/api/auth/exchange', body));
    } finally {
      await fresh.stop();
    }
  });

  it('is not there, and no provider is known, where AUTH_PROVIDER is native', async () => {
    const native = await startService();
    try {
      expectProblem(await native.api().post('/api/auth/exchange', { provider: 'cognito', token: 'x' }), 'not-found');
      const asked = { email: 'a@example.com', password: 'x', provider: 'cognito' };
      expectProblem(await native.api().post('/api/auth/login', asked), 'invalid-request');
      expect(JSON.parse((await native.api().get('/openapi.json')).text).paths).not.toHaveProperty(['/api/auth/exchange']);
    } finally {
      await native.stop();
    }
  });

  it('leaves no native way in where AUTH_PROVIDER is cognito: passwords are the pool’s alone', async () => {
    const user = pool.add();
    const api = service.api();
    tokensOf(await api.post('/api/auth/login', { email: user.email, password: user.password }));
    expectProblem(await api.post('/api/auth/login', { email: user.email, password: user.password, provider: 'native' }), 'invalid-request');
    expectProblem(await api.post('/api/auth/register', { email: 'new@example.com', password: user.password }), 'not-found');
    expectProblem(await api.post('/api/auth/forgot-password', { email: user.email }), 'not-found');
  });
});

describe('a Cognito that does not answer', () => {
  it.each(['TooManyRequestsException', 'LimitExceededException', 'InternalErrorException'])(
    '%s is 503 with Retry-After, and no attempt',
    async (error) => {
      const user = pool.add();
      const signIn = () => service.api().post('/api/auth/login', { email: user.email, password: user.password });
      pool.reply = () => ({ error, message: 'Rate exceeded' });
      for (let tries = 0; tries < 8; tries++) {
        const answer = await signIn();
        expectProblem(answer, 'unavailable');
        expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
      }
      pool.reply = null;
      tokensOf(await signIn());
      const failed = await service.sql`select from audit_events where type in ('LOGIN_FAILED', 'ACCOUNT_LOCKED')`;
      expect(failed).toHaveLength(0);
    },
  );

  it('whose settings are off is 503 too: a wrong secret is nobody’s wrong password', async () => {
    const user = pool.add();
    for (const message of [
      'Unable to verify secret hash for client x',
      'Client x is configured with secret but SECRET_HASH was not received',
    ]) {
      pool.reply = () => ({ error: 'NotAuthorizedException', message });
      expectProblem(await service.api().post('/api/auth/login', { email: user.email, password: user.password }), 'unavailable');
    }
    pool.reply = () => ({ error: 'InvalidParameterException', message: 'USER_PASSWORD_AUTH flow not enabled for this client' });
    expectProblem(await service.api().post('/api/auth/login', { email: user.email, password: user.password }), 'unavailable');
  });

  it('costs nobody more than its time-out, however many ask at once, and is asked again when it is back', async () => {
    const user = pool.add();
    const settings = { AUTH_PROVIDER: 'cognito', ...pool.settings, COGNITO_TIMEOUT_MS: '300' };
    const impatient = await startService({ settings, database: service.database });
    try {
      const signIn = () => impatient.api().post('/api/auth/login', { email: user.email, password: user.password });
      pool.reply = () => 'silence';
      expectProblem(await timed('a sign-in at a silent pool', signIn), 'unavailable');
      // Of one name they take turns: each turn would wait for a time-out of its own, if each of them asked.
      const before = pool.asked.length;
      expect(tally(await Promise.all(Array.from({ length: 40 }, signIn)))).toEqual({ unavailable: 40 });
      expect(pool.asked.length - before).toBeLessThan(20);
      pool.reply = null;
      await expect.poll(async () => (await signIn()).status, { timeout: 10_000 }).toBe(200);
    } finally {
      await impatient.stop();
    }
  });

  it('that nobody listens at is 503 at once', async () => {
    const settings = { AUTH_PROVIDER: 'cognito', ...pool.settings, COGNITO_ENDPOINT: 'http://127.0.0.1:9', COGNITO_TIMEOUT_MS: '400' };
    const alone = await startService({ settings, database: service.database });
    try {
      const asked = { email: 'a@example.com', password: 'whatever it is' };
      expectProblem(await timed('a sign-in at nobody', () => alone.api().post('/api/auth/login', asked)), 'unavailable');
    } finally {
      await alone.stop();
    }
  });
});
