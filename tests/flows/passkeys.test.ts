import { randomBytes } from 'node:crypto';
import { decodeJwt } from 'jose';
import type { TransactionSql } from 'postgres';
import { afterAll, describe, expect, it } from 'vitest';
import { type Answer, expectProblem, tally } from '#tests/support/api.ts';
import { cbor } from '#tests/support/authenticator.ts';
import { MINUTE } from '#tests/support/clock.ts';
import { heldUp } from '#tests/support/held-up.ts';
import { type SignedIn, signedInPerson, signIn, tokensOf, tryLogin } from '#tests/support/people.ts';
import {
  type Authenticator,
  assertionOf,
  authenticatorOf,
  enrolPasskey,
  enrolTotp,
  nextCode,
  preAuthOf,
  verifyMfa,
} from '#tests/support/second-factors.ts';
import { startService, type TestService } from '#tests/support/service.ts';

const service = await startService();
/** Where everybody must hold a second factor, and a passkey that counts backwards is refused. */
const strict = await startService({ settings: { MFA_REQUIRED: 'true', PASSKEY_COUNTER: 'refuse', SMS_MFA: 'false' } });
const { clock, sql, mail } = service;
const api = service.api();
afterAll(async () => {
  await strict.stop();
  await service.stop();
});

type Lie = NonNullable<Parameters<Authenticator['get']>[1]>;
type WithPasskey = Awaited<ReturnType<typeof enrolPasskey<SignedIn>>>;

const CEREMONY_SECONDS = 5 * MINUTE;
const URL_OF = '/api/auth/webauthn';
const OTHER_ID = '01900000-0000-7000-8000-000000000000';

const personWithPasskey = async (of: TestService = service, how: Lie = {}): Promise<WithPasskey> =>
  await enrolPasskey(of, await signedInPerson(of), authenticatorOf(of), how);

const creationOptions = async ({ accessToken }: SignedIn) => (await api.post(`${URL_OF}/register/options`, undefined, accessToken)).body;
const register = ({ accessToken }: SignedIn, credential: object, name?: string) =>
  api.post(`${URL_OF}/register/verify`, { credential, name }, accessToken);
const requestOptions = async (preAuthToken?: string, token?: string) =>
  (await api.post(`${URL_OF}/authenticate/options`, preAuthToken && { pre_auth_token: preAuthToken }, token)).body;
const verify = (credential: object, preAuthToken?: string, from = api) =>
  from.post(`${URL_OF}/authenticate/verify`, { credential, pre_auth_token: preAuthToken });
const verifyMfaWith = (preAuthToken: string, credential: object) =>
  api.post('/api/auth/verify-mfa', { pre_auth_token: preAuthToken, method: 'webauthn', credential });
const stepUp = ({ accessToken }: SignedIn, credential: object) =>
  api.post('/api/auth/reauthenticate', { method: 'webauthn', credential }, accessToken);
const list = async ({ accessToken }: SignedIn, from = api) => (await from.get(`${URL_OF}/credentials`, accessToken)).body.credentials;
const rename = ({ accessToken }: SignedIn, id: string, name: string) =>
  api.request('PATCH', `${URL_OF}/credentials/${id}`, { body: { name }, token: accessToken });
const remove = ({ accessToken }: SignedIn, id: string, from = api) => from.delete(`${URL_OF}/credentials/${id}`, accessToken);

const assurance = (answer: Answer) => {
  const { acr, amr } = decodeJwt(tokensOf(answer).accessToken);
  return { acr, amr };
};
const sessionsOf = async ({ id }: { id: string }, on = sql) => (await on`select 1 from sessions where account_id = ${id}`).length;
const events = ({ id }: { id: string }, type: string, on = sql) =>
  on`select session_id, risk, details from audit_events where account_id = ${id} and type = ${type} order by id`;

/** A session that the account has beside its own by one factor only: that of a passkey which verified nobody. */
const weakSession = async (person: WithPasskey): Promise<SignedIn> => ({
  ...person,
  ...tokensOf(await verify(await assertionOf(service, person.authenticator, { how: { userVerified: false } }))),
});

describe('registering a passkey', () => {
  it('makes it a factor: listed, audited, told by mail, and the session holds it from now on', async () => {
    const person = await signedInPerson(service);
    const credential = authenticatorOf(service).create(await creationOptions(person));
    const answer = await register(person, credential, 'Blue key');
    expect(answer).toMatchObject({
      status: 201,
      body: { name: 'Blue key', last_used_at: null, flagged_at: null, backed_up: false, transports: ['hybrid', 'internal'] },
    });
    expect(answer.body.recovery_codes).toHaveLength(10);
    const { recovery_codes: _, ...shown } = answer.body;
    expect(await list(person)).toEqual([shown]);
    expect((await api.get('/api/auth/mfa', person.accessToken)).body).toMatchObject({ methods: ['webauthn', 'recovery_code'] });
    expect((await api.get('/api/auth/sessions', person.accessToken)).body.sessions).toMatchObject([{ acr: 'aal2' }]);
    expect(await events(person, 'FACTOR_ENROLLED')).toMatchObject([{ session_id: person.sessionId, details: { method: 'webauthn' } }]);
    expect((await mail.to(person.email))[0]?.text).toContain('passkey');
    expect((await tryLogin(api, person)).body).toMatchObject({ status: 'mfa_required', methods: ['webauthn', 'recovery_code'] });
  });

  it('may be done for several devices, with recovery codes for the first alone', async () => {
    const first = await personWithPasskey(service, { backupState: 'backed-up' });
    const second = await enrolPasskey(service, first, authenticatorOf(service));
    expect(second.recoveryCodes).toEqual([]);
    expect(await list(first)).toMatchObject([
      { id: first.passkeyId, name: 'Passkey', backed_up: true },
      { id: second.passkeyId, backed_up: false },
    ]);
    for (const [{ authenticator }, how] of [
      [first, { backupState: 'backed-up' }],
      [second, {}],
    ] as const) {
      expect((await verify(await assertionOf(service, authenticator, { how }))).body.user.id).toBe(first.id);
    }
  });

  it('is refused for the same authenticator twice: by itself, and by the service when it lies', async () => {
    const person = await personWithPasskey();
    const options = await creationOptions(person);
    expect(() => person.authenticator.create(options)).toThrow('InvalidStateError');
    const [known] = await sql`select credential_id from passkeys where id = ${person.passkeyId}`;
    const credentialId = known?.['credential_id'];
    expectProblem(await register(person, authenticatorOf(service).create(options, { credentialId })), 'conflict');
    const stranger = await signedInPerson(service);
    const stolen = authenticatorOf(service).create(await creationOptions(stranger), { credentialId });
    expectProblem(await register(stranger, stolen), 'conflict');
    expect(await list(stranger)).toEqual([]);
    expect((await verify(await assertionOf(service, person.authenticator))).body.user.id).toBe(person.id);
  });

  it('ends at twenty, for two at once too', async () => {
    const person = await personWithPasskey();
    for (let count = 1; count < 19; count++) await enrolPasskey(service, person, authenticatorOf(service));
    const elsewhere = { ...person, ...tokensOf(await verify(await assertionOf(service, person.authenticator))) };
    const ceremonies = [person, elsewhere].map(async (by) => [by, authenticatorOf(service).create(await creationOptions(by))] as const);
    const both = (await Promise.all(ceremonies)).map(
      ([by, credential]) =>
        () =>
          register(by, credential),
    );
    const answers = await heldUp(service, person.id, both);
    expect(tally(answers)).toEqual({ '201': 1, conflict: 1 });
    expectProblem(await api.post(`${URL_OF}/register/options`, undefined, person.accessToken), 'conflict');
    expect(await list(person)).toHaveLength(20);
  });

  it('[V7.5.1] asks for a fresh sign-in, and for both factors where there are two', async () => {
    const person = await personWithPasskey();
    const weak = await weakSession(person);
    const lacking = await api.post(`${URL_OF}/register/options`, undefined, weak.accessToken);
    expectProblem(lacking, 'insufficient-user-authentication');
    expect(lacking.headers['www-authenticate']).toContain('acr_values="aal2"');
    clock.advance(10 * MINUTE + 1);
    const stale = await api.post(`${URL_OF}/register/options`, undefined, person.accessToken);
    expectProblem(stale, 'insufficient-user-authentication');
    expect(stale.headers['www-authenticate']).toContain('max_age="600"');
  });

  it('[V7.5.1] is not finished with a password alone once the account holds a second factor', async () => {
    const thief = await signedInPerson(service);
    const options = await creationOptions(thief);
    await enrolTotp(service, await signIn(api, thief));
    const answer = await register(thief, authenticatorOf(service).create(options));
    expectProblem(answer, 'insufficient-user-authentication');
    expect(await list(thief)).toEqual([]);
  });

  it('[V7.4.1] leaves nothing behind when the session ends meanwhile', async () => {
    const person = await signedInPerson(service);
    const credential = authenticatorOf(service).create(await creationOptions(person));
    const end = (tx: TransactionSql) =>
      tx`update sessions set revoked_at = ${clock.now()}, revoked_reason = 'ended-by-user' where id = ${person.sessionId}`;
    const [answer] = await heldUp(service, person.id, [() => register(person, credential)], end);
    expectProblem(answer, 'unauthenticated');
    expect(await sql`select from passkeys where account_id = ${person.id}`).toEqual([]);
  });

  const noNames = ['', 'a\nb', 'a\u0000b', 'a\u2028b', '\u001b[31mred', 'x'.repeat(101)];
  it.each(noNames)('[V2.2.1] is refused under the name %j, and the challenge is still good', async (name) => {
    const person = await signedInPerson(service);
    const credential = authenticatorOf(service).create(await creationOptions(person));
    expectProblem(await register(person, credential, name), 'invalid-request');
    expect(await register(person, credential, 'Ключ 🔑')).toMatchObject({ status: 201, body: { name: 'Ключ 🔑' } });
  });

  it('counts as one more factor when it verifies nobody: never as two by itself', async () => {
    const person = await personWithPasskey(service, { userVerified: false });
    const credential = await assertionOf(service, person.authenticator, { how: { userVerified: false } });
    expect(assurance(await verify(credential))).toEqual({ acr: 'aal1', amr: ['pop'] });
  });
});

describe('a registration that an attacker sends', () => {
  const lies: [string, Lie][] = [
    ['an http origin', { origin: 'http://app.example.com' }],
    ['the origin of a subdomain', { origin: 'https://evil.app.example.com' }],
    ['a look-alike origin', { origin: 'https://app.example.com.evil.test' }],
    ['another port', { origin: 'https://app.example.com:8443' }],
    ['another relying party', { rpId: 'example.com' }],
    ['the type of a sign-in', { type: 'webauthn.get' }],
    ['a frame of another site', { crossOrigin: true }],
    ['a page above the frame', { topOrigin: 'https://evil.test' }],
    ['nobody present', { userPresent: false }],
    ['an impossible backup state', { backupState: 'impossible' }],
    ['an id of 1024 bytes', { credentialId: randomBytes(1024) }],
    ['bytes behind the authenticator data', { trailingBytes: Buffer.of(0xa0) }],
    ['CBOR behind the attestation', { trailingCbor: cbor(new Map([['fmt', 'none']])) }],
    ['a challenge that nobody gave', { challenge: randomBytes(32).toString('base64url') }],
  ];
  it.each(lies)('[V6.7.2] is refused with %s, and stores nothing', async (_, how) => {
    const person = await signedInPerson(service);
    const credential = authenticatorOf(service).create(await creationOptions(person), how);
    expectProblem(await register(person, credential), 'invalid-code');
    expect(await list(person)).toEqual([]);
    expect(await events(person, 'FACTOR_ENROLMENT_FAILED')).toHaveLength(1);
    await signIn(api, person);
  });

  it('[V6.7.2] is refused on a challenge that was used up, by a failure too', async () => {
    const person = await signedInPerson(service);
    const options = await creationOptions(person);
    expectProblem(await register(person, authenticatorOf(service).create(options, { userPresent: false })), 'invalid-code');
    expectProblem(await register(person, authenticatorOf(service).create(options)), 'invalid-code');
    const credential = authenticatorOf(service).create(await creationOptions(person));
    const answers = await Promise.all(Array.from({ length: 20 }, () => register(person, credential)));
    expect(tally(answers)['201']).toBe(1);
    expect(await list(person)).toHaveLength(1);
  });

  it('[V6.7.2] is refused five minutes after the challenge was given', async () => {
    const [early, late] = [await signedInPerson(service), await signedInPerson(service)];
    const credentials = [
      authenticatorOf(service).create(await creationOptions(early)),
      authenticatorOf(service).create(await creationOptions(late)),
    ] as const;
    clock.advance(CEREMONY_SECONDS - 1);
    expect(await register(early, credentials[0])).toMatchObject({ status: 201 });
    clock.advance(1);
    expectProblem(await register(late, credentials[1]), 'invalid-code');
  });

  it('[V6.7.2] is refused on the challenge of another session, of another account, and of a sign-in', async () => {
    const person = await signedInPerson(service);
    const others = [await signIn(api, person), await signedInPerson(service)];
    const user = (await creationOptions(person)) as { user?: object; rp?: object };
    for (const other of others) {
      const credential = authenticatorOf(service).create(await creationOptions(other));
      expectProblem(await register(person, credential), 'invalid-code');
      expectProblem(await register(other, credential), 'invalid-code'); // used up
    }
    for (const token of [undefined, person.accessToken]) {
      const { challenge } = await requestOptions(undefined, token);
      expectProblem(await register(person, authenticatorOf(service).create({ ...user, challenge })), 'invalid-code');
    }
    expect(await list(person)).toEqual([]);
  });

  it('needs a session', async () => {
    expectProblem(await api.post(`${URL_OF}/register/options`), 'unauthenticated');
    expectProblem(await api.post(`${URL_OF}/register/verify`, { credential: {} }), 'unauthenticated');
  });
});

describe('managing passkeys', () => {
  it('renames one, for its owner alone', async () => {
    const [person, stranger] = [await personWithPasskey(), await personWithPasskey()];
    expect(await rename(person, person.passkeyId, 'Work laptop')).toMatchObject({ status: 200, body: { name: 'Work laptop' } });
    for (const id of [person.passkeyId, OTHER_ID]) expectProblem(await rename(stranger, id, 'Mine'), 'not-found');
    for (const name of ['a\r\nSet-Cookie: x=1', 'a\u0085b', 'tab\there']) {
      expectProblem(await rename(person, person.passkeyId, name), 'invalid-request');
    }
    expectProblem(await rename(person, "1' or '1'='1", 'Mine'), 'invalid-request');
    expect(await list(person)).toMatchObject([{ name: 'Work laptop' }]);
    expect(await events(person, 'PASSKEY_RENAMED')).toMatchObject([{ session_id: person.sessionId }]);
  });

  it('[V6.5.6] removes one: it opens nothing from then on, nor does a sign-in that waited for it; the other stays', async () => {
    const lost = await personWithPasskey();
    const kept = await enrolPasskey(service, lost, authenticatorOf(service));
    const preAuth = await preAuthOf(api, lost);
    const inTime = await assertionOf(service, lost.authenticator);
    const waiting = lost.authenticator.get(await requestOptions(preAuth));
    expect(await remove(lost, lost.passkeyId)).toMatchObject({ status: 204 });
    expect(await list(lost)).toMatchObject([{ id: kept.passkeyId }]);
    expectProblem(await verify(inTime), 'invalid-code');
    expectProblem(await verifyMfaWith(preAuth, waiting), 'invalid-token');
    expectProblem(await verify(await assertionOf(service, lost.authenticator)), 'invalid-code');
    const next = await preAuthOf(api, lost);
    expectProblem(
      await verifyMfaWith(next, lost.authenticator.get({ ...(await requestOptions(next)), allowCredentials: [] })),
      'invalid-code',
    );
    expect(await verify(await assertionOf(service, kept.authenticator))).toMatchObject({ status: 200 });
    expectProblem(await remove(lost, lost.passkeyId), 'not-found');
    expect(await events(lost, 'FACTOR_REMOVED')).toMatchObject([{ details: { method: 'webauthn' } }]);
    expect((await mail.to(lost.email))[0]?.subject).toContain('removed');
  });

  it('takes the recovery codes along with the last one, and the password is enough again', async () => {
    const person = await personWithPasskey();
    expect(await remove(person, person.passkeyId)).toMatchObject({ status: 204 });
    expect((await api.get('/api/auth/mfa', person.accessToken)).body).toMatchObject({ methods: [], recovery_codes: { remaining: 0 } });
    await signIn(api, person);
  });

  it('does not remove one of somebody else, and does not tell it from none', async () => {
    const [person, stranger] = [await personWithPasskey(), await personWithPasskey()];
    const answers = [await remove(stranger, person.passkeyId), await remove(stranger, OTHER_ID)];
    for (const answer of answers) expectProblem(answer, 'not-found');
    expect(answers[0]?.body.detail).toBe(answers[1]?.body.detail);
    expect(await list(person)).toHaveLength(1);
  });

  it('[V7.5.1] removes none for a session that is old, or that proved one factor', async () => {
    const person = await personWithPasskey();
    const weak = await weakSession(person);
    expectProblem(await remove(weak, person.passkeyId), 'insufficient-user-authentication');
    clock.advance(10 * MINUTE + 1);
    expectProblem(await remove(person, person.passkeyId), 'insufficient-user-authentication');
    expect(await stepUp(person, await assertionOf(service, person.authenticator, { token: person.accessToken }))).toMatchObject({
      status: 200,
    });
    expect(await remove(person, person.passkeyId)).toMatchObject({ status: 204 });
  });

  it('keeps the last one where a second factor is required', async () => {
    const person = await personWithPasskey(strict);
    expectProblem(await remove(person, person.passkeyId, strict.api()), 'conflict');
    const second = await enrolPasskey(strict, person, authenticatorOf(strict));
    expect(await remove(person, person.passkeyId, strict.api())).toMatchObject({ status: 204 });
    expectProblem(await remove(person, second.passkeyId, strict.api()), 'conflict');
    expect(await list(person, strict.api())).toHaveLength(1);
  });

  it('keeps the last one that counts where SMS is none: a phone from before does not stand in for it', async () => {
    const person = await personWithPasskey(strict);
    await strict.sql`insert into phones (account_id, number, verified_at) values (${person.id}, '+14155552671', ${strict.clock.now()})`;
    expectProblem(await remove(person, person.passkeyId, strict.api()), 'conflict');
  });

  it('keeps one of two that are removed at once where a second factor is required', async () => {
    const first = await personWithPasskey(strict);
    const second = await enrolPasskey(strict, first, authenticatorOf(strict));
    const both = [first, second].map(
      ({ passkeyId }) =>
        () =>
          remove(first, passkeyId, strict.api()),
    );
    const answers = await heldUp(strict, first.id, both);
    expect(tally(answers)).toEqual({ '204': 1, conflict: 1 });
  });
});

describe('signing in by a passkey alone', () => {
  it('[V6.3.3] is two factors when it verified its user: aal2, without a name or a password', async () => {
    const person = await personWithPasskey();
    clock.advance(MINUTE);
    const answer = await verify(await assertionOf(service, person.authenticator));
    expect(assurance(answer)).toEqual({ acr: 'aal2', amr: ['pop', 'mfa'] });
    expect(answer.body.user).toMatchObject({ id: person.id, email: person.email });
    expect(await api.get('/api/auth/me', answer.body.access_token)).toMatchObject({ status: 200 });
    expect(await list(person)).toMatchObject([{ last_used_at: clock.now().toISOString(), flagged_at: null }]);
    expect(await sql`select sign_count from passkeys where id = ${person.passkeyId}`).toMatchObject([{ sign_count: '2' }]);
    expect((await events(person, 'LOGIN_SUCCEEDED')).at(-1)).toMatchObject({
      session_id: answer.body.session_id,
      details: { method: 'pop+mfa' },
    });
  });

  it('needs a user handle: who was not named before is named by the authenticator', async () => {
    const person = await personWithPasskey();
    const answer = await verify(await assertionOf(service, person.authenticator, { how: { userHandle: null } }));
    expectProblem(answer, 'invalid-code');
  });

  it('[V6.5.7] is one factor when it verified nobody: aal1, and nothing sensitive is open to it', async () => {
    const person = await personWithPasskey();
    const answer = await verify(await assertionOf(service, person.authenticator, { how: { userVerified: false } }));
    expect(assurance(answer)).toEqual({ acr: 'aal1', amr: ['pop'] });
    const weak = { ...person, ...tokensOf(answer) };
    const again = await stepUp(
      weak,
      await assertionOf(service, person.authenticator, { token: weak.accessToken, how: { userVerified: false } }),
    );
    expect(again.body.acr).toBe('aal1');
    expectProblem(await remove(weak, person.passkeyId), 'insufficient-user-authentication');
  });

  it('[V6.3.4] [V6.5.7] asks for another factor when it verified nobody and there is one; the same passkey is no other', async () => {
    const person = await enrolTotp(service, await personWithPasskey());
    const unverified = { how: { userVerified: false } };
    const before = await sessionsOf(person);
    const answer = await verify(await assertionOf(service, person.authenticator, unverified));
    expect(answer.body).toMatchObject({ status: 'mfa_required', methods: ['totp'] });
    const preAuthToken = answer.body.pre_auth_token;
    expectProblem(
      await verifyMfaWith(preAuthToken, await assertionOf(service, person.authenticator, { preAuthToken, ...unverified })),
      'invalid-code',
    );
    expectProblem(
      await verify(await assertionOf(service, person.authenticator, { preAuthToken, ...unverified }), preAuthToken),
      'invalid-code',
    );
    expect(await sessionsOf(person)).toBe(before);
    const finished = await verifyMfa(api, preAuthToken, 'totp', nextCode(service, person));
    expect(assurance(finished)).toEqual({ acr: 'aal1', amr: ['pop', 'otp'] });
  });

  it('[V6.3.4] is enough when it verified its user, an authenticator app beside it or not', async () => {
    const person = await enrolTotp(service, await personWithPasskey());
    expect(assurance(await verify(await assertionOf(service, person.authenticator)))).toEqual({ acr: 'aal2', amr: ['pop', 'mfa'] });
  });

  it('is refused for a suspended account and an unverified address, and the refusal is audited', async () => {
    const person = await personWithPasskey();
    const before = await sessionsOf(person);
    await sql`update accounts set status = 'suspended' where id = ${person.id}`;
    expectProblem(await verify(await assertionOf(service, person.authenticator)), 'account-suspended');
    await sql`update accounts set status = 'active', email_verified_at = null where id = ${person.id}`;
    expectProblem(await verify(await assertionOf(service, person.authenticator)), 'email-not-verified');
    expect((await events(person, 'LOGIN_REFUSED')).map(({ details }) => details)).toEqual([
      { reason: 'account-suspended' },
      { reason: 'email-not-verified' },
    ]);
    expect(await sessionsOf(person)).toBe(before);
  });
});

describe('a passkey as the second factor', () => {
  it.each([
    ['verify-mfa', verifyMfaWith],
    ['authenticate/verify', (preAuthToken: string, credential: object) => verify(credential, preAuthToken)],
  ])('[V6.3.3] finishes a sign-in through %s: aal2, verified or not', async (_, finish) => {
    for (const userVerified of [true, false]) {
      const person = await personWithPasskey();
      const preAuthToken = await preAuthOf(api, person);
      const credential = await assertionOf(service, person.authenticator, { preAuthToken, how: { userVerified } });
      expect(assurance(await finish(preAuthToken, credential))).toEqual({ acr: 'aal2', amr: ['pwd', 'pop', 'mfa'] });
      expectProblem(await finish(preAuthToken, credential), 'invalid-token');
    }
  });

  it('is asked for by name: the options hold the passkeys of this account and no others', async () => {
    const person = await personWithPasskey();
    const options = (await requestOptions(await preAuthOf(api, person))) as { allowCredentials?: { id: string }[] };
    const rows = await sql`select credential_id from passkeys where account_id = ${person.id}`;
    expect(options.allowCredentials?.map(({ id }) => id)).toEqual(rows.map((row) => row['credential_id'].toString('base64url')));
    expect(await requestOptions()).not.toHaveProperty('allowCredentials.0');
  });

  it('steps up: its session is fresh again, and no other', async () => {
    const person = await personWithPasskey();
    clock.advance(10 * MINUTE + 1);
    const answer = await stepUp(person, await assertionOf(service, person.authenticator, { token: person.accessToken }));
    expect(answer.body).toMatchObject({ acr: 'aal2', session_id: person.sessionId });
    expect(await api.post(`${URL_OF}/register/options`, undefined, answer.body.access_token)).toMatchObject({ status: 200 });
  });

  it('[V6.6.3] [V6.7.2] gives exactly one session for one assertion sent fifty times at once', async () => {
    const person = await personWithPasskey();
    const preAuthToken = await preAuthOf(api, person);
    const credential = await assertionOf(service, person.authenticator, { preAuthToken });
    const before = await sessionsOf(person);
    const answers = await Promise.all(Array.from({ length: 50 }, () => verifyMfaWith(preAuthToken, credential)));
    expect(tally(answers)['200']).toBe(1);
    expect(await sessionsOf(person)).toBe(before + 1);
  });
});

describe('a signature counter that goes backwards', () => {
  const backwards = async (person: WithPasskey, of: TestService, preAuthToken?: string) => {
    const good = await assertionOf(of, person.authenticator, { how: { signCount: 9 } });
    expect(await verify(good, undefined, of.api())).toMatchObject({ status: 200 });
    of.clock.advance(MINUTE);
    const how = { signCount: 8 };
    return await assertionOf(of, person.authenticator, preAuthToken === undefined ? { how } : { how, preAuthToken });
  };

  it('flags the passkey, is audited, and is worth one factor alone', async () => {
    const person = await personWithPasskey();
    expect(assurance(await verify(await backwards(person, service)))).toEqual({ acr: 'aal1', amr: ['pop'] });
    expect(await list(person)).toMatchObject([{ flagged_at: clock.now().toISOString() }]);
    expect(await events(person, 'PASSKEY_COUNTER_REGRESSED')).toMatchObject([
      { details: { passkey: person.passkeyId, before: 9, sent: 8 } },
    ]);
    const repeated = await assertionOf(service, person.authenticator, { how: { signCount: 9 } });
    expect(assurance(await verify(repeated))).toEqual({ acr: 'aal1', amr: ['pop'] });
    const ahead = await assertionOf(service, person.authenticator, { how: { signCount: 10 } });
    expect(assurance(await verify(ahead))).toEqual({ acr: 'aal2', amr: ['pop', 'mfa'] });
  });

  it('asks for another factor where there is one', async () => {
    const person = await enrolTotp(service, await personWithPasskey());
    const answer = await verify(await backwards(person, service));
    expect(answer.body).toMatchObject({ status: 'mfa_required', methods: ['totp'] });
  });

  it('is nothing at all for authenticators that do not count', async () => {
    const person = await personWithPasskey(service, { signCount: 0 });
    for (let time = 0; time < 2; time++) {
      const answer = await verify(await assertionOf(service, person.authenticator, { how: { signCount: 0 } }));
      expect(assurance(answer).acr).toBe('aal2');
    }
    expect(await list(person)).toMatchObject([{ flagged_at: null }]);
  });

  it('is refused where PASSKEY_COUNTER says so, flagged and audited all the same', async () => {
    const person = await personWithPasskey(strict);
    const client = strict.api();
    const preAuthToken = await preAuthOf(client, person);
    const asSecond = await backwards(person, strict, preAuthToken);
    const before = await sessionsOf(person, strict.sql);
    expectProblem(await verify(asSecond, preAuthToken, client), 'invalid-code');
    const alone = await assertionOf(strict, person.authenticator, { how: { signCount: 9 } });
    expectProblem(await verify(alone, undefined, client), 'invalid-code');
    expect(await sessionsOf(person, strict.sql)).toBe(before);
    expect(await events(person, 'PASSKEY_COUNTER_REGRESSED', strict.sql)).toHaveLength(2);
    expect(await list(person, client)).toMatchObject([{ flagged_at: strict.clock.now().toISOString() }]);
  });
});

describe('an assertion that an attacker sends', () => {
  const lies: [string, Lie][] = [
    ['an http origin', { origin: 'http://app.example.com' }],
    ['the origin of a subdomain', { origin: 'https://evil.app.example.com' }],
    ['a look-alike origin', { origin: 'https://app.example.com.evil.test' }],
    ['another relying party', { rpId: 'example.com' }],
    ['the type of a registration', { type: 'webauthn.create' }],
    ['a frame of another site', { crossOrigin: true }],
    ['a page above the frame', { topOrigin: 'https://evil.test' }],
    ['nobody present', { userPresent: false }],
    ['a tampered signature', { tamperSignature: true }],
    ['a challenge that nobody gave', { challenge: randomBytes(32).toString('base64url') }],
    ['a credential id that nobody has', { credentialId: randomBytes(32) }],
    ['the user handle of nobody', { userHandle: OTHER_ID }],
    ['a user handle of 15 bytes', { userHandle: randomBytes(15) }],
    ['an impossible backup state', { backupState: 'impossible' }],
    ['bytes behind the authenticator data', { trailingBytes: Buffer.of(0xa0) }],
  ];
  it.each(lies)('[V6.7.2] opens nothing with %s: alone, as second factor or as step-up', async (_, how) => {
    const person = await personWithPasskey();
    const before = await sessionsOf(person);
    const preAuthToken = await preAuthOf(api, person);
    const token = person.accessToken;
    expectProblem(await verify(await assertionOf(service, person.authenticator, { how })), 'invalid-code');
    expectProblem(
      await verifyMfaWith(preAuthToken, await assertionOf(service, person.authenticator, { how, preAuthToken })),
      'invalid-code',
    );
    expectProblem(await verify(await assertionOf(service, person.authenticator, { how, preAuthToken }), preAuthToken), 'invalid-code');
    expectProblem(await stepUp(person, await assertionOf(service, person.authenticator, { how, token })), 'invalid-code');
    expect(await sessionsOf(person)).toBe(before);
    expect(await events(person, 'MFA_FAILED')).toHaveLength(2);
    expect(await list(person)).toMatchObject([{ last_used_at: null }]);
  });

  it('[V6.7.2] opens nothing when it is replayed', async () => {
    const person = await personWithPasskey();
    const credential = await assertionOf(service, person.authenticator);
    tokensOf(await verify(credential));
    expectProblem(await verify(credential), 'invalid-code');
    expectProblem(await verify(credential, await preAuthOf(api, person)), 'invalid-code');
    expectProblem(await stepUp(person, credential), 'invalid-code');
  });

  it('[V6.7.2] opens one session of fifty at once', async () => {
    const person = await personWithPasskey();
    const credential = await assertionOf(service, person.authenticator);
    const before = await sessionsOf(person);
    const answers = await Promise.all(Array.from({ length: 50 }, () => verify(credential)));
    expect(tally(answers)).toEqual({ '200': 1, 'invalid-code': 49 });
    expect(await sessionsOf(person)).toBe(before + 1);
  });

  it('[V6.7.2] uses its challenge up when it fails: a good one for it comes too late', async () => {
    const person = await personWithPasskey();
    const options = await requestOptions();
    expectProblem(await verify(person.authenticator.get(options, { tamperSignature: true })), 'invalid-code');
    expectProblem(await verify(person.authenticator.get(options)), 'invalid-code');
    const preAuth = await preAuthOf(api, person);
    const second = await requestOptions(preAuth);
    expectProblem(await verifyMfaWith(preAuth, person.authenticator.get(second, { origin: 'https://evil.test' })), 'invalid-code');
    expectProblem(await verifyMfaWith(preAuth, person.authenticator.get(second)), 'invalid-code');
  });

  it('[V6.7.2] opens nothing five minutes after its challenge was given', async () => {
    const person = await personWithPasskey();
    const [inTime, late] = [await assertionOf(service, person.authenticator), await assertionOf(service, person.authenticator)];
    clock.advance(CEREMONY_SECONDS - 1);
    tokensOf(await verify(inTime));
    clock.advance(1);
    expectProblem(await verify(late), 'invalid-code');
  });

  it('[V6.7.2] opens nothing on the challenge of a registration', async () => {
    const person = await personWithPasskey();
    const { challenge } = await creationOptions(person);
    const credential = () => person.authenticator.get({ rpId: service.config.WEBAUTHN_RP_ID, challenge });
    expectProblem(await verify(credential()), 'invalid-code');
    const preAuth = await preAuthOf(api, person);
    expectProblem(await verifyMfaWith(preAuth, credential()), 'invalid-code');
    const sameSession = await creationOptions(person);
    expectProblem(await stepUp(person, person.authenticator.get({ ...sameSession, rpId: service.config.WEBAUTHN_RP_ID })), 'invalid-code');
  });

  it('[V6.7.2] [V6.6.2] opens nothing for another sign-in or session than its challenge was asked for', async () => {
    const person = await personWithPasskey();
    const [first, second] = [await preAuthOf(api, person), await preAuthOf(api, person)];
    const other = { ...person, ...tokensOf(await verify(await assertionOf(service, person.authenticator))) };
    const before = await sessionsOf(person);
    const forFirst = () => assertionOf(service, person.authenticator, { preAuthToken: first });
    const forSession = () => assertionOf(service, person.authenticator, { token: person.accessToken });

    expectProblem(await verifyMfaWith(second, await forFirst()), 'invalid-code');
    expectProblem(await verify(await forFirst(), second), 'invalid-code');
    expectProblem(await verify(await forFirst()), 'invalid-code');
    expectProblem(await stepUp(person, await forFirst()), 'invalid-code');
    expectProblem(await verify(await forSession()), 'invalid-code');
    expectProblem(await verifyMfaWith(second, await forSession()), 'invalid-code');
    expectProblem(await stepUp(other, await forSession()), 'invalid-code');
    expectProblem(await verifyMfaWith(second, await assertionOf(service, person.authenticator)), 'invalid-code');
    expect(await sessionsOf(person)).toBe(before);
    tokensOf(await verifyMfaWith(second, await assertionOf(service, person.authenticator, { preAuthToken: second })));
  });

  it('[V6.3.4] opens nothing of another account: its own passkey on their sign-in, their id, their user handle, their session', async () => {
    const [victim, thief] = [await personWithPasskey(), await personWithPasskey()];
    const before = await sessionsOf(victim);
    const preAuthToken = await preAuthOf(api, victim);
    const options = async () => ({ ...(await requestOptions(preAuthToken)), allowCredentials: [] });
    const [row] = await sql`select credential_id from passkeys where id = ${victim.passkeyId}`;
    const credentialId = row?.['credential_id'];

    expectProblem(await verifyMfaWith(preAuthToken, thief.authenticator.get(await options())), 'invalid-code');
    expectProblem(await verify(thief.authenticator.get(await options(), { userHandle: victim.id }), preAuthToken), 'invalid-code');
    expectProblem(
      await verify(thief.authenticator.get(await options(), { credentialId, userHandle: victim.id }), preAuthToken),
      'invalid-code',
    );
    for (const how of [{ userHandle: victim.id }, { credentialId }, { credentialId, userHandle: victim.id }]) {
      expectProblem(await verify(await assertionOf(service, thief.authenticator, { how })), 'invalid-code');
    }
    expectProblem(await stepUp(victim, await assertionOf(service, thief.authenticator)), 'invalid-code');
    expect(await sessionsOf(victim)).toBe(before);
  });

  it('[V6.6.3] ends the sign-in after five, and the right one comes too late', async () => {
    const person = await personWithPasskey();
    const preAuthToken = await preAuthOf(api, person);
    const bad = () => assertionOf(service, person.authenticator, { preAuthToken, how: { tamperSignature: true } });
    const good = await assertionOf(service, person.authenticator, { preAuthToken });
    for (let time = 0; time < 5; time++) expectProblem(await verifyMfaWith(preAuthToken, await bad()), 'invalid-code');
    expectProblem(await verifyMfaWith(preAuthToken, good), 'invalid-token');
    expectProblem(await api.post(`${URL_OF}/authenticate/options`, { pre_auth_token: preAuthToken }), 'invalid-token');
  });

  it('[V6.6.2] opens nothing from another network or program than gave the password', async () => {
    const person = await personWithPasskey();
    const preAuthToken = await preAuthOf(api, person);
    const elsewhere = service.api({ ip: '203.0.113.77' });
    expectProblem(await elsewhere.post(`${URL_OF}/authenticate/options`, { pre_auth_token: preAuthToken }), 'invalid-token');
    const credential = await assertionOf(service, person.authenticator, { preAuthToken });
    expectProblem(await verify(credential, preAuthToken, elsewhere), 'invalid-token');
    expectProblem(await verify(credential, preAuthToken, service.api({ userAgent: 'thief/1.0' })), 'invalid-token');
  });

  it('is refused without a trace of why when it is no credential at all', async () => {
    const person = await personWithPasskey();
    const good = (await assertionOf(service, person.authenticator)) as { response: object };
    expectProblem(await api.post(`${URL_OF}/authenticate/verify`, { credential: 'x' }), 'invalid-request');
    expectProblem(await verify({ ...good, response: { ...good.response, signature: '!' } }), 'invalid-code');
    expectProblem(await verify({ ...good, response: { ...good.response, clientDataJSON: 'bm8ganNvbg' } }), 'invalid-code');
    expectProblem(await verify({ ...good, id: 'AAAA' }), 'invalid-code');
  });

  it('cannot have its challenge asked for with a dead token', async () => {
    const person = await personWithPasskey();
    expectProblem(await api.post(`${URL_OF}/authenticate/options`, { pre_auth_token: 'x'.repeat(43) }), 'invalid-token');
    expectProblem(await api.post(`${URL_OF}/authenticate/options`, undefined, `${person.accessToken}x`), 'unauthenticated');
    await api.post('/api/auth/logout', undefined, person.accessToken);
    expectProblem(await api.post(`${URL_OF}/authenticate/options`, undefined, person.accessToken), 'unauthenticated');
  });
});

describe('challenges', () => {
  it('[V6.7.2] are 32 bytes each, never the same, and kept as hashes', async () => {
    const asked = await Promise.all(Array.from({ length: 200 }, () => requestOptions()));
    const challenges = asked.map(({ challenge }) => challenge);
    expect(new Set(challenges).size).toBe(200);
    for (const challenge of challenges) expect(Buffer.from(challenge, 'base64url')).toHaveLength(32);
    const rows = await sql`select to_jsonb(t)::text as row from tickets t where purpose = 'webauthn-authentication'`;
    expect(rows.length).toBeGreaterThanOrEqual(200);
    const [first = ''] = challenges;
    const written = [first, Buffer.from(first, 'base64url').toString('hex')];
    expect(rows.filter(({ row }) => written.some((form) => String(row).includes(form)))).toEqual([]);
  });
});
