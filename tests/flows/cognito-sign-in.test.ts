import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectProblem } from '#tests/support/api.ts';
import { type CognitoLocal, cognitoLocal, type PoolUser } from '#tests/support/cognito-local.ts';
import { newEmail, OTHER_PASSWORD, PASSWORD, tokensOf } from '#tests/support/people.ts';
import { verifyMfa } from '#tests/support/second-factors.ts';
import { startService, type TestService } from '#tests/support/service.ts';
import { totpCode } from '#tests/support/totp.ts';

/** Against the emulator: its own users, passwords, codes and tokens. */

let pool: CognitoLocal;
let service: TestService;
beforeAll(async () => {
  pool = await cognitoLocal();
  service = await startService({ settings: { AUTH_PROVIDER: 'both', ...pool.settings } });
}, 60_000);
afterAll(async () => {
  await service.stop();
  await pool.stop();
});

async function poolUser(how: Parameters<CognitoLocal['add']>[1] = {}): Promise<PoolUser> {
  const user = { email: newEmail(), password: PASSWORD };
  await pool.add(user, how);
  return user;
}

function signIn({ email, password }: PoolUser, more: object = {}) {
  return service.api().post('/api/auth/login', { email, password, provider: 'cognito', ...more });
}

describe('a user of the Cognito pool', () => {
  it('signs in with the old password and gets tokens of this service alone', async () => {
    const user = await poolUser();
    const answer = await signIn(user);
    const { accessToken } = tokensOf(answer);
    expect(answer.body.user).toMatchObject({ email: user.email, email_verified: true, roles: ['user'] });
    expect(decodeJwt(accessToken)).toMatchObject({ iss: service.config.ISSUER, acr: 'aal1', amr: ['pwd'], sub: answer.body.user.id });
    expect((await service.api().get('/api/auth/me', accessToken)).body.email).toBe(user.email);
    expect((await signIn(user)).body.user.id).toBe(answer.body.user.id);
  });

  it('is held by a browser as anybody else is', async () => {
    const answer = await signIn(await poolUser(), { transport: 'cookie' });
    expect(answer.status, answer.text).toBe(200);
    expect(answer.setCookies.join()).toContain('session=');
  });

  it('gets nowhere with a wrong password, nor by the native way without one here', async () => {
    const user = await poolUser();
    expectProblem(await signIn({ ...user, password: OTHER_PASSWORD }), 'invalid-credentials');
    expectProblem(await signIn({ ...user, email: newEmail() }), 'invalid-credentials');
    await signIn(user);
    expectProblem(await service.api().post('/api/auth/login', user), 'invalid-credentials');
  });

  it('answers NEW_PASSWORD_REQUIRED with the method new_password', async () => {
    const user = await poolUser({ isPermanent: false });
    const asked = await signIn(user);
    expect(asked.body).toMatchObject({ status: 'mfa_required', methods: ['new_password'] });
    const given = { pre_auth_token: asked.body.pre_auth_token, method: 'new_password' };
    const api = service.api();
    expectProblem(await api.post('/api/auth/verify-mfa', given), 'invalid-request');
    expectProblem(await api.post('/api/auth/verify-mfa', { ...given, new_password: 'password1' }), 'password-policy');
    tokensOf(await api.post('/api/auth/verify-mfa', { ...given, new_password: OTHER_PASSWORD }));
    expectProblem(await signIn(user), 'invalid-credentials');
    tokensOf(await signIn({ ...user, password: OTHER_PASSWORD }));
  });

  it('proves the authenticator app that Cognito knows, by verify-mfa', async () => {
    const user = await poolUser();
    const { secret } = await pool.enrolTotp(user);
    const asked = await signIn(user);
    expect(asked.body).toMatchObject({ status: 'mfa_required', methods: ['totp'] });
    const api = service.api();
    expectProblem(await verifyMfa(api, asked.body.pre_auth_token, 'totp', '000000'), 'invalid-code');
    const answer = await verifyMfa(api, asked.body.pre_auth_token, 'totp', totpCode(secret, new Date()));
    expect(decodeJwt(tokensOf(answer).accessToken)).toMatchObject({ acr: 'aal2', amr: ['pwd', 'otp', 'mfa'] });
    expectProblem(await verifyMfa(api, asked.body.pre_auth_token, 'totp', totpCode(secret, new Date())), 'invalid-token');
  });

  it('trades an ID token, or an access token, for a session of the same account', async () => {
    const user = await poolUser();
    const { idToken, accessToken } = await pool.tokens(user);
    const api = service.api();
    const byAccess = await api.post('/api/auth/exchange', { provider: 'cognito', token: accessToken });
    const byId = await api.post('/api/auth/exchange', { provider: 'cognito', token: idToken });
    expect(decodeJwt(tokensOf(byId).accessToken)).toMatchObject({ iss: service.config.ISSUER, acr: 'aal1', amr: [] });
    expect(byAccess.body.user).toEqual(byId.body.user);
    expect(byId.body.user.id).toBe((await signIn(user)).body.user.id);
  });

  it('whose address nobody has verified gets no account', async () => {
    const user = await poolUser({ isVerified: false });
    expectProblem(await signIn(user), 'email-not-verified');
    const { idToken, accessToken } = await pool.tokens(user);
    for (const token of [idToken, accessToken]) {
      expectProblem(await service.api().post('/api/auth/exchange', { provider: 'cognito', token }), 'email-not-verified');
    }
    expect(await service.sql`select from accounts where email = ${user.email}`).toHaveLength(0);
  });
});
