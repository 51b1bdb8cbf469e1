import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, type Api, expectProblem } from '#tests/support/api.ts';
import { type CognitoStub, cognitoStub, type StubUser } from '#tests/support/cognito-stub.ts';
import { newEmail, tokensOf } from '#tests/support/people.ts';
import { verifyMfa } from '#tests/support/second-factors.ts';
import { startService, type TestService } from '#tests/support/service.ts';

/** Whoever comes from another provider is scored by the rules of everybody (docs/risk.md). */

let pool: CognitoStub;
let service: TestService;
beforeAll(async () => {
  pool = await cognitoStub();
  service = await startService({ settings: { AUTH_PROVIDER: 'cognito', REDIS_URL: '', ...pool.settings } });
});
afterAll(async () => {
  await service.stop();
  await pool.stop();
});

const STRANGE = 'python-requests/2.32';
let last = 0;
/** An address in a network of its own. */
const newIp = () => {
  last += 1;
  return `198.18.7.${last}`;
};
const signIn = ({ email, password }: Pick<StubUser, 'email' | 'password'>, api: Api = service.api()) =>
  api.post('/api/auth/login', { email, password });
const exchange = async (user: StubUser, api: Api = service.api()) =>
  await api.post('/api/auth/exchange', { provider: 'cognito', token: await pool.idToken(user) });

function waitingOf({ body, text }: Answer): string {
  expect(body.status, text).toBe('mfa_required');
  return body.pre_auth_token;
}

async function newest(type: string) {
  const [event] = await service.sql`
    select risk, coalesce(details -> 'rules', '[]') as rules, details ->> 'provider' as provider from audit_events where type = ${type}
    order by occurred_at desc, id desc limit 1`;
  return { ...event };
}
async function guessedFrom(networks: number, { email }: StubUser): Promise<void> {
  for (let index = 0; index < networks; index++) {
    expectProblem(await signIn({ email, password: 'wrong horse battery' }, service.api({ ip: newIp() })), 'invalid-credentials');
  }
}

describe('the sign-in of a user of another provider', () => {
  it.each([
    ['by a password', signIn],
    ['by a token', exchange],
  ])('%s is calm at home, and scored elsewhere', async (_how, enter) => {
    const user = pool.add();
    tokensOf(await enter(user));
    expect(await newest('LOGIN_SUCCEEDED')).toEqual({ risk: 0, rules: [], provider: 'cognito' });
    tokensOf(await enter(user, service.api({ ip: newIp(), userAgent: STRANGE })));
    expect(await newest('LOGIN_SUCCEEDED')).toEqual({ risk: 20, rules: ['new-device', 'new-network'], provider: 'cognito' });
  });

  it.each([
    ['by a password', signIn],
    ['by a token', exchange],
  ])('%s that is risky begins as if long ago', async (_how, enter) => {
    const user = pool.add();
    tokensOf(await enter(user));
    await guessedFrom(10, user);
    const thief = service.api({ ip: newIp(), userAgent: STRANGE });
    const { accessToken } = tokensOf(await enter(user, thief));
    expect(await newest('LOGIN_SUCCEEDED')).toMatchObject({ risk: 60, rules: ['new-device', 'new-network', 'many-networks'] });
    expectProblem(await thief.get('/api/auth/me/export', accessToken), 'insufficient-user-authentication');
  });

  it('keeps what held at the password through what the provider asks, and scores a wrong answer', async () => {
    const user = pool.add();
    tokensOf(await signIn(user));
    await guessedFrom(10, user);
    user.challenges = ['SOFTWARE_TOKEN_MFA'];
    const thief = service.api({ ip: newIp(), userAgent: STRANGE });
    const waiting = waitingOf(await signIn(user, thief));
    const rules = ['new-device', 'new-network', 'many-networks'];
    expect(await newest('MFA_REQUIRED')).toMatchObject({ rules });
    expectProblem(await verifyMfa(thief, waiting, 'totp', '111111'), 'invalid-code');
    expect(await newest('MFA_FAILED')).toMatchObject({ rules });
    tokensOf(await verifyMfa(thief, waiting, 'totp', '246810'));
    expect(await newest('LOGIN_SUCCEEDED')).toMatchObject({ risk: 60, rules });
  });

  it('that fails at what the provider asks, from a network that guesses at many accounts, has that network blocked', async () => {
    const user = pool.add({ challenges: ['SOFTWARE_TOKEN_MFA'] });
    const ip = newIp();
    const bot = service.api({ ip });
    for (let guess = 0; guess < 20; guess++) await signIn({ email: newEmail(), password: 'wrong horse battery' }, bot);
    const waiting = waitingOf(await signIn(user, bot));
    expectProblem(await verifyMfa(bot, waiting, 'totp', '111111'), 'invalid-code');
    expect(await newest('MFA_FAILED')).toMatchObject({ rules: ['many-accounts'] });
    expect(await service.sql`select from audit_events where type = 'IP_BLOCKED' and ip = ${ip}`).toHaveLength(1);
  });
});
