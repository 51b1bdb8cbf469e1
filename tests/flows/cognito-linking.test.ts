import { decodeJwt } from 'jose';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { expectProblem, tally } from '#tests/support/api.ts';
import { type CognitoStub, cognitoStub, STUB_CODE, type StubUser } from '#tests/support/cognito-stub.ts';
import { OTHER_PASSWORD, PASSWORD, registeredPerson, tokensOf, tryLogin, verifiedPerson } from '#tests/support/people.ts';
import { nextCode, personWithTotp, verifyMfa, wrongCode } from '#tests/support/second-factors.ts';
import { startService, type TestService } from '#tests/support/service.ts';

let pool: CognitoStub;
let service: TestService;
beforeAll(async () => {
  pool = await cognitoStub();
  service = await startService({ settings: { AUTH_PROVIDER: 'both', ...pool.settings } });
});
beforeEach(() => {
  pool.reply = null;
});
afterAll(async () => {
  await service.stop();
  await pool.stop();
});

const signIn = ({ username, password }: StubUser, api = service.api()) =>
  api.post('/api/auth/login', { identifier: username, password, provider: 'cognito' });
const exchange = async (user: StubUser, claims = {}) =>
  service.api().post('/api/auth/exchange', { provider: 'cognito', token: await pool.idToken(user, claims) });
const linkedTo = async (user: StubUser) =>
  (await service.sql<{ account_id: string }[]>`select account_id from federated_identities where subject = ${user.sub}`)[0]?.account_id;

describe('an account and its user at Cognito', () => {
  it('become one by an address that both have verified, and its owner is told', async () => {
    const person = await verifiedPerson(service);
    const answer = await signIn(pool.add({ email: person.email }));
    expect(answer.body.user.id).toBe(person.id);
    expect((await service.mail.to(person.email))[0]?.text).toContain('your user at AWS Cognito');
    tokensOf(await tryLogin(service.api(), person));
  });

  it('[V6.8.1] stay two when the pool has not verified the address: whoever types it there gets nothing here', async () => {
    const victim = await verifiedPerson(service);
    const attacker = pool.add({ email: victim.email, username: 'attacker', password: OTHER_PASSWORD, isVerified: false });
    expectProblem(await signIn(attacker), 'email-not-verified');
    expectProblem(await exchange(attacker), 'email-not-verified');
    expectProblem(await exchange(attacker, { email_verified: 'true' }), 'email-not-verified');
    expect(await linkedTo(attacker)).toBeUndefined();
  });

  it('[V6.8.1] stay two when it is yet another provider’s word that the pool repeats', async () => {
    const victim = await verifiedPerson(service);
    const attacker = pool.add({ email: victim.email, username: 'google_1' });
    expectProblem(await exchange(attacker, { identities: [{ providerName: 'Other', userId: '1' }] }), 'email-not-verified');
    expect(await linkedTo(attacker)).toBeUndefined();
  });

  it('[V6.8.1] leave nothing to whoever registered the address here before, without ever verifying it', async () => {
    const attacker = await registeredPerson(service);
    const link = await service.mail.token(attacker.email, 'verify-email');
    const owner = pool.add({ email: attacker.email, password: OTHER_PASSWORD });
    const answer = await signIn(owner);
    expect(answer.body.user).toMatchObject({ email: attacker.email, email_verified: true, username: null, display_name: null });
    expectProblem(await tryLogin(service.api(), attacker), 'invalid-credentials');
    expectProblem(await service.api().post('/api/auth/verify-email', { token: link }), 'invalid-token');
    expectProblem(await tryLogin(service.api(), attacker), 'invalid-credentials');
  });

  it('stay linked whatever address the pool calls the user by later', async () => {
    const user = pool.add();
    const before = await signIn(user);
    tokensOf(before);
    const other = await verifiedPerson(service);
    expect((await exchange(user, { email: other.email })).body.user).toEqual(before.body.user);
    expect((await exchange(user, { email_verified: false })).body.user).toEqual(before.body.user);
  });

  it('are not joined by a second user of the pool with the same address: who proved it first holds it', async () => {
    const first = pool.add();
    tokensOf(await signIn(first));
    const second = pool.add({ email: first.email, username: 'second' });
    expectProblem(await exchange(second), 'forbidden');
    expect(await linkedTo(second)).toBeUndefined();
  });

  it('are nothing to a suspended account, whose user hears so only with the right password', async () => {
    const person = await verifiedPerson(service);
    const user = pool.add({ email: person.email });
    await service.sql`update accounts set status = 'suspended' where id = ${person.id}`;
    expectProblem(await signIn({ ...user, password: 'wrong by far' }), 'invalid-credentials');
    expectProblem(await signIn(user), 'account-suspended');
    expectProblem(await exchange(user), 'account-suspended');
  });

  it('ask for the second factor that is enrolled here, and are linked only with it', async () => {
    const person = await personWithTotp(service);
    const user = pool.add({ email: person.email });
    for (const asked of [await signIn(user), await exchange(user)]) {
      expect(asked.body).toMatchObject({ status: 'mfa_required' });
      expectProblem(await verifyMfa(service.api(), asked.body.pre_auth_token, 'totp', wrongCode(service, person.secret)), 'invalid-code');
      expect(await linkedTo(user)).toBeUndefined();
    }
    const asked = await exchange(user);
    const answer = await verifyMfa(service.api(), asked.body.pre_auth_token, 'totp', nextCode(service, person));
    expect(decodeJwt(tokensOf(answer).accessToken)).toMatchObject({ acr: 'aal2', amr: ['otp', 'mfa'] });
    expect(await linkedTo(user)).toBe(person.id);
  });

  it('ask for both, where Cognito and the account each hold a second factor', async () => {
    const person = await personWithTotp(service);
    const user = pool.add({ email: person.email, challenges: ['SMS_MFA'] });
    const there = await signIn(user);
    expect(there.body.methods).toEqual(['sms']);
    const here = await verifyMfa(service.api(), there.body.pre_auth_token, 'sms', STUB_CODE);
    expect(here.body).toMatchObject({ status: 'mfa_required', methods: ['totp', 'recovery_code'] });
    tokensOf(await verifyMfa(service.api(), here.body.pre_auth_token, 'totp', nextCode(service, person)));
  });

  it('are parted when the owner says of the sign-in that it was not theirs', async () => {
    const person = await verifiedPerson(service);
    tokensOf(await tryLogin(service.api(), person));
    const thief = pool.add({ email: person.email });
    tokensOf(await signIn(thief, service.api({ userAgent: 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0' })));
    expect(await linkedTo(thief)).toBe(person.id);
    const token = await service.mail.token(person.email, 'report-sign-in');
    expect((await service.api().post('/api/auth/report-sign-in', { token })).status).toBe(200);
    expect(await linkedTo(thief)).toBeUndefined();
  });

  it('are one account under fifty first sign-ins at once, half of them by token', async () => {
    const user = pool.add();
    const answers = await Promise.all(Array.from({ length: 50 }, (_, index) => (index % 2 ? signIn(user) : exchange(user))));
    expect(tally(answers)).toEqual({ '200': 50 });
    expect(new Set(answers.map(({ body }) => body.user.id)).size).toBe(1);
    const events =
      await service.sql`select from audit_events where type = 'IDENTITY_LINKED' and account_id = ${answers[0]?.body.user.id ?? ''}`;
    expect(events).toHaveLength(1);
  });

  it('take over the pool’s user name where it is one here, and leave it to who has it', async () => {
    const person = await verifiedPerson(service);
    const name = `ada${person.username.slice(1)}`;
    expect((await signIn(pool.add({ username: name }))).body.user.username).toBe(name);
    const namesake = await signIn(pool.add({ username: person.username }));
    expect(namesake.body.user.username).toBeNull();
    expect(namesake.body.user.id).not.toBe(person.id);
  });
});

describe('a sign-in at Cognito', () => {
  it('[V6.3.1] is locked by wrong passwords as one here is, together with it', async () => {
    const person = await verifiedPerson(service);
    const user = pool.add({ email: person.email });
    for (let tries = 0; tries < 3; tries++) expectProblem(await signIn({ ...user, password: 'wrong' }), 'invalid-credentials');
    for (let tries = 0; tries < 2; tries++)
      expectProblem(await tryLogin(service.api(), { ...person, password: 'wrong' }), 'invalid-credentials');
    const asked = pool.asked.length;
    expectProblem(await signIn(user), 'account-locked');
    expect(pool.asked.length).toBe(asked);
  });

  it('locks nobody’s account here by a name that somebody else has at the pool', async () => {
    const person = await verifiedPerson(service);
    const wrong = { identifier: person.username, password: 'wrong', provider: 'cognito' };
    const answers = [];
    for (let tries = 0; tries < 6; tries++) answers.push(await service.api().post('/api/auth/login', wrong));
    expect(tally(answers)).toEqual({ 'invalid-credentials': 5, 'account-locked': 1 });
    tokensOf(await service.api().post('/api/auth/login', { username: person.username, password: PASSWORD }));
  });

  it('is recorded with its provider, wrong and right, and never with what was typed', async () => {
    const user = pool.add();
    await signIn({ ...user, password: 'a wrong pass phrase' });
    const { body } = await signIn(user);
    const rows = await service.sql<{ type: string; details: object; text: string }[]>`
      select type, details, details::text as text from audit_events where session_id = ${body.session_id} or details ->> 'reason' = 'wrong-at-provider'`;
    expect(rows.find(({ type }) => type === 'LOGIN_SUCCEEDED')?.details).toMatchObject({ method: 'pwd', provider: 'cognito' });
    expect(rows.find(({ type }) => type === 'LOGIN_FAILED')?.details).toMatchObject({ reason: 'wrong-at-provider', provider: 'cognito' });
    expect(rows.map(({ text }) => text).join()).not.toContain('a wrong pass phrase');
  });

  it('goes through several challenges one after the other', async () => {
    const user = pool.add({ challenges: ['NEW_PASSWORD_REQUIRED', 'SOFTWARE_TOKEN_MFA'] });
    const first = await signIn(user);
    expect(first.body.methods).toEqual(['new_password']);
    const given = { pre_auth_token: first.body.pre_auth_token, method: 'new_password', new_password: OTHER_PASSWORD };
    const second = await service.api().post('/api/auth/verify-mfa', given);
    expect(second.body).toMatchObject({ status: 'mfa_required', methods: ['totp'] });
    const answer = await verifyMfa(service.api(), second.body.pre_auth_token, 'totp', STUB_CODE);
    expect(decodeJwt(tokensOf(answer).accessToken)).toMatchObject({ acr: 'aal2', amr: ['pwd', 'otp', 'mfa'] });
    expect(user.password).toBe(OTHER_PASSWORD);
  });

  it('goes to AWS_ENDPOINT_URL where nothing else is said, from the password to the code and the token', async () => {
    const { COGNITO_ENDPOINT = '', ...rest } = pool.settings;
    const settings = { AUTH_PROVIDER: 'both', ...rest, AWS_ENDPOINT_URL: `${COGNITO_ENDPOINT}/` };
    const other = await startService({ settings, database: service.database });
    try {
      const user = pool.add({ challenges: ['SOFTWARE_TOKEN_MFA'] });
      const asked = pool.asked.length;
      const begun = await signIn(user, other.api());
      expect(begun.body).toMatchObject({ status: 'mfa_required', methods: ['totp'] });
      const answer = await verifyMfa(other.api(), begun.body.pre_auth_token, 'totp', STUB_CODE);
      expect(decodeJwt(tokensOf(answer).accessToken)).toMatchObject({ acr: 'aal2', amr: ['pwd', 'otp', 'mfa'] });
      expect(pool.asked.slice(asked).map(({ target }) => target)).toEqual(['InitiateAuth', 'RespondToAuthChallenge']);
      const token = await pool.accessToken(user);
      const traded = await other.api().post('/api/auth/exchange', { provider: 'cognito', token });
      expect(traded.body.user).toEqual(answer.body.user);
    } finally {
      await other.stop();
    }
  });

  it('tells what the pool says of a new password that it does not take, and can be tried again', async () => {
    const asked = await signIn(pool.add({ challenges: ['NEW_PASSWORD_REQUIRED'] }));
    const given = { pre_auth_token: asked.body.pre_auth_token, method: 'new_password' };
    const refused = await service.api().post('/api/auth/verify-mfa', { ...given, new_password: 'quiet7ripe' });
    expectProblem(refused, 'password-policy');
    expect(refused.body.detail).toContain('not long enough');
    tokensOf(await service.api().post('/api/auth/verify-mfa', { ...given, new_password: OTHER_PASSWORD }));
  });

  it('refuses plainly what cannot be answered here', async () => {
    expectProblem(await signIn(pool.add({ challenges: ['MFA_SETUP'] })), 'forbidden');
    expectProblem(await signIn(pool.add({ challenges: ['CUSTOM_CHALLENGE'] })), 'forbidden');
  });

  it('[V6.6.3] ends its challenge after five wrong codes, and all codes of the user wait after ten', async () => {
    const user = pool.add({ challenges: ['SMS_MFA'] });
    const guess = async (token: string) => await verifyMfa(service.api(), token, 'sms', '000000');
    for (let begun = 0; begun < 2; begun++) {
      const token = (await signIn(user)).body.pre_auth_token;
      expect(tally(await Promise.all(Array.from({ length: 5 }, () => guess(token))))).toEqual({ 'invalid-code': 5 });
      expectProblem(await verifyMfa(service.api(), token, 'sms', STUB_CODE), 'invalid-token');
    }
    const token = (await signIn(user)).body.pre_auth_token;
    expectProblem(await verifyMfa(service.api(), token, 'sms', STUB_CODE), 'account-locked');
    expect(await service.sql`select from audit_events where type = 'MFA_LOCKED' and details ->> 'provider' = 'cognito'`).toHaveLength(1);
  });

  it('[V6.6.2] goes on only for the client that began it, and no code that nobody judged counts', async () => {
    const user = pool.add({ challenges: ['SMS_MFA'] });
    const token = (await signIn(user)).body.pre_auth_token;
    expectProblem(await verifyMfa(service.api({ ip: '203.0.113.9' }), token, 'sms', STUB_CODE), 'invalid-token');
    pool.reply = () => ({ error: 'TooManyRequestsException' });
    expectProblem(await verifyMfa(service.api(), token, 'sms', STUB_CODE), 'unavailable');
    pool.reply = null;
    tokensOf(await verifyMfa(service.api(), token, 'sms', STUB_CODE));
    expect(await service.sql`select from tickets where context::text like '%SMS_MFA%'`).toHaveLength(0);
  });

  it('begins again when the pool has forgotten it', async () => {
    const token = (await signIn(pool.add({ challenges: ['SMS_MFA'] }))).body.pre_auth_token;
    pool.reply = () => ({ error: 'NotAuthorizedException', message: 'Invalid session for the user, session is expired.' });
    expectProblem(await verifyMfa(service.api(), token, 'sms', STUB_CODE), 'invalid-token');
    pool.reply = null;
    expectProblem(await verifyMfa(service.api(), token, 'sms', STUB_CODE), 'invalid-token');
  });
});
