import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';
import { afterAll, describe, expect, it } from 'vitest';
import { expectProblem, visible } from '#tests/support/api.ts';
import { MINUTE } from '#tests/support/clock.ts';
import { newEmail, newUsername, PASSWORD, registeredPerson, signIn, tokensOf, tryLogin, verifiedPerson } from '#tests/support/people.ts';
import { startService } from '#tests/support/service.ts';

const service = await startService();
const { clock, sql } = service;
const api = service.api();
afterAll(service.stop);

const login = (body: object) => api.post('/api/auth/login', body);

describe('signing in', () => {
  it('works by identifier, e-mail address and user name, in any case', async () => {
    const { email, username, password } = await verifiedPerson(service);
    const ways = [{ email }, { username }, { identifier: email }, { identifier: username }, { email: email.toUpperCase() }];
    for (const way of ways) {
      const answer = await login({ ...way, password });
      expect(answer.body).toMatchObject({ status: 'authenticated', token_type: 'Bearer', user: { email, username } });
    }
  });

  it('asks for exactly one of identifier, e-mail address and user name', async () => {
    const { email, username, password } = await verifiedPerson(service);
    expectProblem(await login({ password }), 'invalid-request');
    expectProblem(await login({ email, username, password }), 'invalid-request');
    expectProblem(await login({ identifier: email, email, password }), 'invalid-request');
  });

  it('tells how long the tokens live, and who it is', async () => {
    const person = await verifiedPerson(service);
    const answer = await tryLogin(api, person);
    expect(answer.body).toMatchObject({ expires_in: 15 * MINUTE, refresh_expires_in: 7 * 24 * 60 * MINUTE });
    expect(answer.body.refresh_token).toMatch(/^lk_rt_[\w-]+$/);
    expect(answer.body.user).toEqual({
      id: person.id,
      email: person.email,
      email_verified: true,
      username: person.username,
      display_name: null,
      roles: ['user'],
      created_at: expect.any(String),
    });
  });

  it('[V7.2.2] gives every sign-in tokens and a session of its own', async () => {
    const person = await verifiedPerson(service);
    const [one, two] = [await signIn(api, person), await signIn(api, person)];
    expect(new Set([one.sessionId, two.sessionId, one.refreshToken, two.refreshToken, one.accessToken, two.accessToken]).size).toBe(6);
  });

  it('[V6.2.8] verifies the password as received: no trimming, no change of case, no cutting', async () => {
    const email = newEmail();
    const password = `  Mixed CASE ${'and 80 letters long '.repeat(4)}`;
    await api.post('/api/auth/register', { email, password });
    await api.post('/api/auth/verify-email', { token: await service.mail.token(email, 'verify-email') });
    for (const other of [password.trim(), password.toLowerCase(), password.slice(0, 72), `${password} `]) {
      expectProblem(await login({ email, password: other }), 'invalid-credentials');
      await sql`delete from login_throttles`;
    }
    expect(await login({ email, password })).toMatchObject({ status: 200 });
  });

  it('takes a password typed in another Unicode form of the same letters', async () => {
    const email = newEmail();
    await api.post('/api/auth/register', { email, password: 'caf\u00e9 au lait \u00e0 Z\u00fcrich' });
    await api.post('/api/auth/verify-email', { token: await service.mail.token(email, 'verify-email') });
    expect(await login({ email, password: 'cafe\u0301 au lait a\u0300 Zu\u0308rich' })).toMatchObject({ status: 200 });
  });
});

describe('what does not sign in', () => {
  it('[V6.3.8] looks the same to the byte: no such address, no such name, a wrong password, an account without one', async () => {
    const [person, passwordless] = [await verifiedPerson(service), await verifiedPerson(service)];
    await sql`update accounts set password_hash = null where id = ${passwordless.id}`;
    const tries = [
      { email: person.email },
      { username: person.username },
      { email: newEmail() },
      { username: newUsername() },
      { identifier: 'not @ an address' },
      { email: passwordless.email },
    ];
    const answers = await Promise.all(tries.map((who) => login({ ...who, password: 'wrong horse battery' })));
    for (const answer of answers) {
      expectProblem(answer, 'invalid-credentials');
      expect(visible(answer)).toEqual(visible(answers[0] ?? answer));
    }
  });

  it('tells of an unverified address only to who knows the password', async () => {
    const person = await registeredPerson(service);
    expectProblem(await tryLogin(api, person), 'email-not-verified');
    expectProblem(await tryLogin(api, { ...person, password: 'wrong horse battery' }), 'invalid-credentials');
  });

  it('tells of a suspension only to who knows the password, and audits it', async () => {
    const person = await verifiedPerson(service);
    await sql`update accounts set status = 'suspended' where id = ${person.id}`;
    expectProblem(await tryLogin(api, person), 'account-suspended');
    expectProblem(await tryLogin(api, { ...person, password: 'wrong horse battery' }), 'invalid-credentials');
    const events = await sql`select type, details from audit_events where account_id = ${person.id} and type like 'LOGIN%' order by id`;
    expect(events).toMatchObject([
      { type: 'LOGIN_REFUSED', details: { reason: 'account-suspended' } },
      { type: 'LOGIN_FAILED', details: { reason: 'wrong-password' } },
    ]);
  });

  it('[V6.3.2] are names that other software has by default', async () => {
    for (const name of ['admin', 'root', 'test']) {
      expectProblem(await login({ username: name, password: name }), 'invalid-credentials');
      expectProblem(await login({ username: name, password: 'password' }), 'invalid-credentials');
    }
  });

  it('is a program that fills in the hidden form field, right password or not', async () => {
    const person = await verifiedPerson(service);
    expectProblem(await login({ email: person.email, password: PASSWORD, website_url: 'https://spam.example' }), 'invalid-credentials');
  });
});

describe('the access token', () => {
  it('is verified by a stranger with nothing but the issuer: discovery, JWKS over HTTP, any JWT library', async () => {
    const person = await verifiedPerson(service);
    const { accessToken, sessionId } = await signIn(api, person);
    const { issuer, jwks_uri } = (await (await fetch(`${service.origin}/.well-known/openid-configuration`)).json()) as Record<
      string,
      string
    >;
    const keys = createRemoteJWKSet(new URL(new URL(jwks_uri ?? '').pathname, service.origin));
    const { payload, protectedHeader } = await jwtVerify(accessToken, keys, {
      issuer: issuer ?? '',
      audience: issuer ?? '',
      typ: 'at+jwt',
      algorithms: ['RS256'],
      requiredClaims: ['iss', 'sub', 'aud', 'exp', 'iat', 'jti', 'client_id'],
      currentDate: clock.now(),
    });
    expect(protectedHeader).toEqual({ alg: 'RS256', typ: 'at+jwt', kid: expect.any(String) });
    const nowSeconds = Math.floor(clock.now().getTime() / 1000);
    expect(payload).toEqual({
      iss: 'http://localhost:3000',
      sub: person.id,
      aud: 'http://localhost:3000',
      exp: nowSeconds + 15 * MINUTE,
      iat: nowSeconds,
      jti: expect.stringMatching(/^[0-9a-f-]{36}$/),
      client_id: 'latchkey',
      sid: sessionId,
      auth_time: nowSeconds,
      acr: 'aal1',
      amr: ['pwd'],
      roles: ['user'],
      scope: '',
    });
  });

  it('names a key that the JWKS publishes next to the next one, and nothing private', async () => {
    const { accessToken } = await signIn(api, await verifiedPerson(service));
    const answer = await api.get('/.well-known/jwks.json');
    const { keys } = JSON.parse(answer.text) as { keys: Record<string, string>[] };
    expect(keys).toHaveLength(2);
    expect(keys.map(({ kid }) => kid)).toContain(decodeProtectedHeader(accessToken).kid);
    for (const key of keys) expect(Object.keys(key).sort()).toEqual(['alg', 'e', 'kid', 'kty', 'n', 'use']);
  });

  it('carries the permissions of the roles', async () => {
    const person = await verifiedPerson(service);
    await sql`update accounts set roles = '{user,moderator}' where id = ${person.id}`;
    const { accessToken } = await signIn(api, person);
    const payload = JSON.parse(Buffer.from(accessToken.split('.')[1] ?? '', 'base64url').toString());
    expect(payload).toMatchObject({ roles: ['user', 'moderator'], scope: 'users:read users:lock' });
  });

  it('[V9.2.1] stops working when it expires', async () => {
    const { accessToken } = await signIn(api, await verifiedPerson(service));
    clock.advance(15 * MINUTE - 1);
    expect(await api.get('/api/auth/me', accessToken)).toMatchObject({ status: 200 });
    clock.advance(1);
    expectProblem(await api.get('/api/auth/me', accessToken), 'unauthenticated');
  });
});

describe('the parameters of Argon2id', () => {
  it('are those of today after the next sign-in, without any password being asked for', async () => {
    const person = await verifiedPerson(service);
    const stronger = await startService({ settings: { ARGON2_TIME_COST: '2' }, database: service.database, clock });
    try {
      tokensOf(await tryLogin(stronger.api(), person));
      const [row] = await sql`select password_hash from accounts where id = ${person.id}`;
      expect(row?.['password_hash']).toMatch(/^\$argon2id\$v=19\$m=7168,t=2,p=1\$/);
      expect(await sql`select 1 from audit_events where account_id = ${person.id} and type = 'PASSWORD_REHASHED'`).toHaveLength(1);
      tokensOf(await tryLogin(stronger.api(), person));
      expect(await sql`select 1 from audit_events where account_id = ${person.id} and type = 'PASSWORD_REHASHED'`).toHaveLength(1);
    } finally {
      await stronger.stop();
    }
  });
});
