import { decodeJwt } from 'jose';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Api, expectProblem } from '#tests/support/api.ts';
import { type CognitoStub, cognitoStub, STUB_CODE, type StubUser } from '#tests/support/cognito-stub.ts';
import { OTHER_PASSWORD, tokensOf } from '#tests/support/people.ts';
import { verifyMfa } from '#tests/support/second-factors.ts';
import { startService, type TestService } from '#tests/support/service.ts';

/** What Cognito asks besides the password, in the words of the contract: `methods`, verify-mfa and send-code. */

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

const signIn = ({ username, password }: StubUser, api: Api = service.api()) =>
  api.post('/api/auth/login', { identifier: username, password, provider: 'cognito' });
const sendCode = (token: string, api: Api = service.api()) => api.post('/api/sms-mfa/send-code', { pre_auth_token: token });

/** @returns the token of a sign-in that waits for these methods */
async function waiting(user: StubUser, methods: string[]): Promise<string> {
  const { body, text } = await signIn(user);
  expect(body, text).toMatchObject({ status: 'mfa_required', methods });
  return body.pre_auth_token;
}

/** What the pool was answered since: the challenge, and what was chosen if one was. */
function answersSince(count: number): unknown[] {
  const given = (body: Record<string, unknown>) => body['ChallengeResponses'] as Record<string, string>;
  const answers = pool.asked.slice(count).filter(({ target }) => target === 'RespondToAuthChallenge');
  return answers.map(({ body }) => given(body)['ANSWER'] ?? body['ChallengeName']);
}

const refusals = (reason: string) =>
  service.sql`select from audit_events where type = 'LOGIN_REFUSED' and details ->> 'reason' = ${reason}`;
const passwordOf = (user: StubUser) => service.sql`select from accounts where email = ${user.email} and password_hash is not null`;

describe('a pool that offers several factors', () => {
  it('lets the user choose: the app by its code, and nothing is sent', async () => {
    const user = pool.add({ challenges: ['SELECT_MFA_TYPE'] });
    const asked = pool.asked.length;
    const token = await waiting(user, ['totp', 'sms']);
    expect(answersSince(asked)).toEqual([]);
    const answer = await verifyMfa(service.api(), token, 'totp', STUB_CODE);
    expect(decodeJwt(tokensOf(answer).accessToken)).toMatchObject({ acr: 'aal2', amr: ['pwd', 'otp', 'mfa'] });
    expect(answersSince(asked)).toEqual(['SOFTWARE_TOKEN_MFA', 'SOFTWARE_TOKEN_MFA']);
  });

  it('lets the user choose: the phone by asking for its code, which is sent then and once', async () => {
    const user = pool.add({ challenges: ['SELECT_MFA_TYPE'] });
    const token = await waiting(user, ['totp', 'sms']);
    const asked = pool.asked.length;
    for (let times = 0; times < 2; times++) {
      const sent = await sendCode(token);
      expect(sent.status, sent.text).toBe(202);
      expect(sent.body.expires_in).toBeLessThanOrEqual(180);
    }
    expect(answersSince(asked)).toEqual(['SMS_MFA']);
    const answer = await verifyMfa(service.api(), token, 'sms', STUB_CODE);
    expect(decodeJwt(tokensOf(answer).accessToken)).toMatchObject({ acr: 'aal2', amr: ['pwd', 'sms', 'mfa'] });
  });

  it('is asked once which, however often the code is wrong after it: a choice is good once there', async () => {
    const user = pool.add({ challenges: ['SELECT_MFA_TYPE'] });
    const token = await waiting(user, ['totp', 'sms']);
    const asked = pool.asked.length;
    for (let tries = 0; tries < 3; tries++) expectProblem(await verifyMfa(service.api(), token, 'totp', '000000'), 'invalid-code');
    tokensOf(await verifyMfa(service.api(), token, 'totp', STUB_CODE));
    expect(answersSince(asked).filter((each) => each === 'SOFTWARE_TOKEN_MFA')).toHaveLength(5);
  });

  it('does not take a code that nobody has been sent, and sends none for it', async () => {
    const token = await waiting(pool.add({ challenges: ['SELECT_MFA_TYPE'] }), ['totp', 'sms']);
    const asked = pool.asked.length;
    expectProblem(await verifyMfa(service.api(), token, 'sms', STUB_CODE), 'invalid-code');
    expectProblem(await verifyMfa(service.api(), token, 'recovery_code', STUB_CODE), 'invalid-code');
    expect(pool.asked.length).toBe(asked);
    tokensOf(await verifyMfa(service.api(), token, 'totp', STUB_CODE));
  });

  it('holds to what was chosen: another factor comes with another sign-in', async () => {
    const token = await waiting(pool.add({ challenges: ['SELECT_MFA_TYPE'] }), ['totp', 'sms']);
    expect((await sendCode(token)).status).toBe(202);
    expectProblem(await verifyMfa(service.api(), token, 'totp', STUB_CODE), 'invalid-code');
    tokensOf(await verifyMfa(service.api(), token, 'sms', STUB_CODE));
  });

  it('[V6.6.2] sends the code only for the client that began, once of many at once, and for nobody who has guessed too often', async () => {
    const user = pool.add({ challenges: ['SELECT_MFA_TYPE'] });
    const token = await waiting(user, ['totp', 'sms']);
    const asked = pool.asked.length;
    expectProblem(await sendCode(token, service.api({ ip: '203.0.113.9' })), 'invalid-token');
    expect(answersSince(asked)).toEqual([]);
    const answers = await Promise.all(Array.from({ length: 8 }, () => sendCode(token)));
    expect(answers.filter(({ status }) => status === 202).length).toBeGreaterThan(0);
    tokensOf(await verifyMfa(service.api(), token, 'sms', STUB_CODE));

    for (let begun = 0; begun < 2; begun++) {
      const guessed = await waiting(user, ['totp', 'sms']);
      for (let tries = 0; tries < 5; tries++) await verifyMfa(service.api(), guessed, 'totp', '000000');
    }
    const locked = await waiting(user, ['totp', 'sms']);
    const before = pool.asked.length;
    expectProblem(await sendCode(locked), 'account-locked');
    expect(pool.asked.length).toBe(before);
  });

  it('that cannot judge now ends nothing: the choice is asked for again', async () => {
    const token = await waiting(pool.add({ challenges: ['SELECT_MFA_TYPE'] }), ['totp', 'sms']);
    pool.reply = () => ({ error: 'TooManyRequestsException' });
    expectProblem(await sendCode(token), 'unavailable');
    pool.reply = null;
    expect((await sendCode(token)).status).toBe(202);
    tokensOf(await verifyMfa(service.api(), token, 'sms', STUB_CODE));
  });

  it.each([
    [['SOFTWARE_TOKEN_MFA', 'EMAIL_OTP'], ['totp', 'sms'], 'EMAIL_OTP'],
    [['EMAIL_MFA', 'SOFTWARE_TOKEN_MFA'], ['totp', 'sms'], 'EMAIL_MFA'],
    [['EMAIL_OTP', 'SMS_MFA', 'SOFTWARE_TOKEN_MFA'], ['totp', 'sms'], 'SMS_MFA'],
  ])('of %j tells %j, and sends by %s', async (offers, methods, by) => {
    const token = await waiting(pool.add({ challenges: ['SELECT_MFA_TYPE'], offers }), methods);
    const asked = pool.asked.length;
    expect((await sendCode(token)).status).toBe(202);
    expect(answersSince(asked)).toEqual([by]);
    tokensOf(await verifyMfa(service.api(), token, 'sms', STUB_CODE));
  });

  it('leaves no choice between a phone and a mailbox, which are one method: the phone, at once', async () => {
    const asked = pool.asked.length;
    const token = await waiting(pool.add({ challenges: ['SELECT_MFA_TYPE'], offers: ['EMAIL_OTP', 'SMS_MFA'] }), ['sms']);
    expect(answersSince(asked)).toEqual(['SMS_MFA']);
    tokensOf(await verifyMfa(service.api(), token, 'sms', STUB_CODE));
  });

  it('is refused plainly where all that it offers is unknown', async () => {
    expectProblem(await signIn(pool.add({ challenges: ['SELECT_MFA_TYPE'], offers: ['PIGEON_MFA'] })), 'forbidden');
  });
});

describe('EMAIL_OTP', () => {
  it('is the method sms, whose code was sent with the question already', async () => {
    const token = await waiting(pool.add({ challenges: ['EMAIL_OTP'] }), ['sms']);
    const asked = pool.asked.length;
    expect((await sendCode(token)).status).toBe(202);
    expect(pool.asked.length).toBe(asked);
    expectProblem(await verifyMfa(service.api(), token, 'sms', '000000'), 'invalid-code');
    tokensOf(await verifyMfa(service.api(), token, 'sms', STUB_CODE));
    expect(answersSince(asked)).toEqual(['EMAIL_OTP', 'EMAIL_OTP']);
  });

  it('[V6.3.6] is no second factor, and yet one that no password goes past: it is not drained', async () => {
    const user = pool.add({ challenges: ['EMAIL_OTP'] });
    const answer = await verifyMfa(service.api(), await waiting(user, ['sms']), 'sms', STUB_CODE);
    expect(decodeJwt(tokensOf(answer).accessToken)).toMatchObject({ acr: 'aal1', amr: ['pwd'] });
    expect(await passwordOf(user)).toHaveLength(0);
    const easy = pool.add();
    tokensOf(await signIn(easy));
    expect(await passwordOf(easy)).toHaveLength(1);
  });

  it('is not there to be chosen or sent where an app is all that the pool asks for', async () => {
    const token = await waiting(pool.add({ challenges: ['SOFTWARE_TOKEN_MFA'] }), ['totp']);
    expectProblem(await sendCode(token), 'conflict');
    tokensOf(await verifyMfa(service.api(), token, 'totp', STUB_CODE));
  });
});

describe('NEW_PASSWORD_REQUIRED with attributes that the user has not', () => {
  it('is refused with their names and what the operator does, and goes on once that is done', async () => {
    const user = pool.add({ challenges: ['NEW_PASSWORD_REQUIRED'], requiredAttributes: ['family_name', 'custom:team'] });
    const refused = await signIn(user);
    expectProblem(refused, 'forbidden');
    expect(refused.body.detail).toContain('family_name, custom:team');
    expect(refused.body.detail).toContain('admin-update-user-attributes');
    expect(await refusals('provider-asks-attributes')).toHaveLength(1);
    user.requiredAttributes = [];
    const given = { pre_auth_token: await waiting(user, ['new_password']), method: 'new_password', new_password: OTHER_PASSWORD };
    tokensOf(await service.api().post('/api/auth/verify-mfa', given));
  });

  it('says nothing of them to who has not the password', async () => {
    const user = pool.add({ challenges: ['NEW_PASSWORD_REQUIRED'], requiredAttributes: ['family_name'] });
    const refused = await signIn({ ...user, password: 'wrong by far' });
    expectProblem(refused, 'invalid-credentials');
    expect(refused.text).not.toContain('family_name');
  });

  it('is refused as plainly when it comes after another question, and is recorded', async () => {
    const user = pool.add({ challenges: ['SOFTWARE_TOKEN_MFA', 'NEW_PASSWORD_REQUIRED'], requiredAttributes: ['birthdate'] });
    const token = await waiting(user, ['totp']);
    const before = (await refusals('provider-asks-attributes')).length;
    const refused = await verifyMfa(service.api(), token, 'totp', STUB_CODE);
    expectProblem(refused, 'forbidden');
    expect(refused.body.detail).toContain('birthdate');
    expect(await refusals('provider-asks-attributes')).toHaveLength(before + 1);
    expectProblem(await verifyMfa(service.api(), token, 'totp', STUB_CODE), 'invalid-token');
  });
});
