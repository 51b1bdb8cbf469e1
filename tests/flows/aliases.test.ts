import { afterAll, describe, expect, it } from 'vitest';
import { expectProblem, visible } from '#tests/support/api.ts';
import { newEmail, OTHER_PASSWORD, PASSWORD, signedInPerson, tokensOf } from '#tests/support/people.ts';
import { authenticatorOf } from '#tests/support/second-factors.ts';
import { startService } from '#tests/support/service.ts';
import { totpCode } from '#tests/support/totp.ts';

const service = await startService();
const { mail } = service;
const api = service.api();
afterAll(service.stop);

describe('the paths of the replaced systems', () => {
  it.each(['/api/v1/auth', '/auth'])('lead a client of %s from registration to signing out', async (base) => {
    const email = newEmail();
    expect(await api.post(`${base}/register`, { email, password: PASSWORD })).toMatchObject({ status: 201 });
    await api.post(`${base}/verify-email`, { token: await mail.token(email, 'verify-email') });
    const { refreshToken } = tokensOf(await api.post(`${base}/login`, { email, password: PASSWORD }));
    const { accessToken, sessionId } = tokensOf(await api.post(`${base}/refresh`, { refresh_token: refreshToken }));
    expect((await api.get(`${base}/me`, accessToken)).body.email).toBe(email);
    expect((await api.get(`${base}/sessions`, accessToken)).body.sessions).toMatchObject([{ id: sessionId, current: true }]);
    expect(await api.post(`${base}/logout`, undefined, accessToken)).toMatchObject({ status: 204 });
    expectProblem(await api.get('/api/auth/me', accessToken), 'unauthenticated');
  });

  it('verify an address and set a password under their old names', async () => {
    const email = newEmail();
    await api.post('/api/auth/register', { email, password: PASSWORD });
    expect(await api.post('/api/v1/auth/email/resend-verification', { email })).toMatchObject({ status: 202 });
    expect(await api.post('/api/v1/auth/email/verify', { token: await mail.token(email, 'verify-email') })).toMatchObject({ status: 200 });
    expect(await api.post('/api/v1/auth/password-reset', { email })).toMatchObject({ status: 202 });
    const body = { token: await mail.token(email, 'reset-password'), new_password: OTHER_PASSWORD };
    expect(await api.post('/api/v1/auth/password-reset/verify', body)).toMatchObject({ status: 204 });
    tokensOf(await api.post('/api/v1/auth/login', { email, password: OTHER_PASSWORD }));
  });

  it.each(['/api/auth', '/api/v1/auth', '/auth'])('enrol an app and a passkey at %s, by their old names too', async (base) => {
    const person = await signedInPerson(service);
    const { secret } = (await api.post(`${base}/mfa/enable`, undefined, person.accessToken)).body;
    const code = totpCode(secret, service.clock.now());
    expect((await api.post(`${base}/mfa/verify`, { code }, person.accessToken)).body.recovery_codes).toHaveLength(10);
    const { body: options } = await api.post(`${base}/webauthn/register/options`, undefined, person.accessToken);
    const authenticator = authenticatorOf(service);
    const created = authenticator.create(options as never);
    expect((await api.post(`${base}/webauthn/register/verify`, { credential: created }, person.accessToken)).status).toBe(201);
    const { body: challenge } = await api.post(`${base}/webauthn/authenticate/options`);
    const credential = authenticator.get(challenge as never);
    tokensOf(await api.post(`${base}/webauthn/authenticate/verify`, { credential }));
  });

  it('are marked as deprecated, the others of an alias too', async () => {
    const { paths } = (await (await fetch(`${service.origin}/openapi.json`)).json()) as { paths: Record<string, object> };
    for (const [own, old] of [
      ['setup', 'enable'],
      ['activate', 'verify'],
    ]) {
      expect(paths[`/api/auth/mfa/${own}`]).not.toMatchObject({ post: { deprecated: true } });
      for (const path of [`/api/v1/auth/mfa/${own}`, `/auth/mfa/${own}`]) expect(paths[path]).toMatchObject({ post: { deprecated: true } });
      for (const base of ['/api/auth', '/api/v1/auth', '/auth'])
        expect(paths[`${base}/mfa/${old}`]).toMatchObject({ post: { deprecated: true } });
    }
  });

  it('refuse with the same bytes', async () => {
    const tries: [string, object][] = [
      ['register', { email: 'nobody', password: 'x', roles: ['admin'] }],
      ['login', { email: newEmail(), password: 'wrong horse battery' }],
      ['refresh', { refresh_token: 'lk_rt_x' }],
      ['verify-email', { token: 'x' }],
      ['reset-password', { token: 'x', new_password: PASSWORD }],
      ['logout', {}],
    ];
    for (const [name, body] of tries) {
      const own = visible(await api.post(`/api/auth/${name}`, body));
      for (const base of ['/api/v1/auth', '/auth']) expect(visible(await api.post(`${base}/${name}`, body))).toEqual(own);
    }
  });

  it('have the limits of the routes that they stand for, not limits of their own', async () => {
    const narrow = await startService({ settings: { RATE_LIMIT_LOGIN: '3/minute' } });
    try {
      const from = narrow.api();
      const paths = ['/api/auth/login', '/api/v1/auth/login', '/auth/login', '/auth/login'];
      const answers = [];
      for (const path of paths) answers.push(await from.post(path, { email: newEmail(), password: 'wrong horse battery' }));
      expect(answers.map(({ status }) => status)).toEqual([401, 401, 401, 429]);
    } finally {
      await narrow.stop();
    }
  });
});
