import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { expectProblem, tally } from '#tests/support/api.ts';
import { runLatchkey } from '#tests/support/cli.ts';
import { type CognitoStub, cognitoStub, STUB_CODE, type StubUser } from '#tests/support/cognito-stub.ts';
import { OTHER_PASSWORD, tokensOf } from '#tests/support/people.ts';
import { verifyMfa } from '#tests/support/second-factors.ts';
import { startService, type TestService } from '#tests/support/service.ts';

/** What a thief still holds of a pool after everything here was taken away from them: its password, and its tokens. */

let pool: CognitoStub;
let service: TestService;
beforeAll(async () => {
  pool = await cognitoStub();
  service = await startService({ settings: { AUTH_PROVIDER: 'both', COGNITO_MIGRATE: 'true', ...pool.settings } });
});
beforeEach(() => {
  pool.reply = null;
});
afterAll(async () => {
  await service.stop();
  await pool.stop();
});

const signIn = ({ username, password }: Pick<StubUser, 'username' | 'password'>) =>
  service.api().post('/api/auth/login', { identifier: username, password });
const exchange = (token: string) => service.api().post('/api/auth/exchange', { provider: 'cognito', token });
const hashOf = async ({ email }: StubUser) =>
  (await service.sql<{ hash: string | null }[]>`select password_hash as hash from accounts where email = ${email}`)[0]?.hash;

describe('a password that was withdrawn here', () => {
  it('does not come back from the pool, though it is still right there; the one that its owner chooses by mail signs in', async () => {
    const user = pool.add();
    tokensOf(await signIn(user));
    expect(await hashOf(user)).toMatch(/^\$argon2id\$/);
    const forced = await runLatchkey(['users', 'force-reset', '--query', user.email], service.database.address, {
      SECRET_KEY: service.config.SECRET_KEY?.reveal(),
    });
    expect(forced.code, forced.complained.join()).toBe(0);

    expectProblem(await signIn(user), 'invalid-credentials');
    expect(await hashOf(user)).toBeNull();

    await service.api().post('/api/auth/forgot-password', { email: user.email });
    const token = await service.mail.token(user.email, 'reset-password');
    expect((await service.api().post('/api/auth/reset-password', { token, new_password: OTHER_PASSWORD })).status).toBe(204);
    expectProblem(await signIn(user), 'invalid-credentials');
    tokensOf(await signIn({ username: user.email, password: OTHER_PASSWORD }));
  });
});

describe('a token of the pool', () => {
  const seconds = (date: Date) => Math.floor(date.getTime() / 1000);

  it('from before all sessions ended opens none afterwards; one from a sign-in since does', async () => {
    const user = pool.add();
    const stolen = await pool.idToken(user, { auth_time: seconds(service.clock.now()) - 60 });
    const { accessToken } = tokensOf(await exchange(stolen));
    tokensOf(await exchange(stolen)); // any number of times, until its user objects

    expect((await service.api().delete('/api/auth/sessions', accessToken)).status).toBe(204);
    expectProblem(await exchange(stolen), 'invalid-token');
    const [refused] = await service.sql<{ details: object }[]>`
      select details from audit_events where type = 'LOGIN_REFUSED' order by occurred_at desc limit 1`;
    expect(refused?.details).toMatchObject({ reason: 'from-before', method: 'token' });
    tokensOf(await exchange(await pool.idToken(user, { auth_time: seconds(service.clock.now()) + 1 })));
  });
});

describe('a sign-in that waits for what the pool asks', () => {
  it('from before all sessions ended opens none afterwards, though it is answered right', async () => {
    const user = pool.add({ challenges: ['SMS_MFA'] });
    const answered = async (token: string) => await verifyMfa(service.api(), token, 'sms', STUB_CODE);
    const { accessToken } = tokensOf(await answered((await signIn(user)).body.pre_auth_token));
    const waiting = (await signIn(user)).body.pre_auth_token;
    service.clock.advance(1);
    expect((await service.api().delete('/api/auth/sessions', accessToken)).status).toBe(204);
    expectProblem(await answered(waiting), 'invalid-token');
    tokensOf(await answered((await signIn(user)).body.pre_auth_token));
  });
});

describe('a challenge of the pool that has run out', () => {
  it('[V6.3.1] does not make wrong codes uncounted: the next ones lock all the same', async () => {
    const user = pool.add({ challenges: Array.from({ length: 3 }, () => 'SMS_MFA') });
    const wrong = '000000';
    const guess = async (times: number) => {
      const token = (await signIn(user)).body.pre_auth_token;
      const answers = [];
      for (let time = 0; time < times; time++) answers.push(await verifyMfa(service.api(), token, 'sms', wrong));
      return { token, answers };
    };
    for (const { answers } of [await guess(4), await guess(4)]) for (const answer of answers) expectProblem(answer, 'invalid-code');

    const { token } = await guess(0);
    pool.reply = () => ({ error: 'NotAuthorizedException', message: 'Invalid session for the user, session is expired.' });
    expectProblem(await verifyMfa(service.api(), token, 'sms', wrong), 'invalid-token');
    pool.reply = null;

    const { answers } = await guess(2);
    expect(tally(answers)).toEqual({ 'invalid-code': 1, 'account-locked': 1 });
  });
});
