import { createHash } from 'node:crypto';
import { decodeJwt } from 'jose';
import type { TransactionSql } from 'postgres';
import { afterAll, describe, expect, it } from 'vitest';
import { type Answer, type Api, expectProblem, tally } from '#tests/support/api.ts';
import { HOUR, MINUTE } from '#tests/support/clock.ts';
import { heldUp } from '#tests/support/held-up.ts';
import { type Person, type SignedIn, signedInPerson, signIn, tokensOf, tryLogin } from '#tests/support/people.ts';
import { enrolPhone, enrolTotp, personWithTotp, preAuthOf, smsCode, verifyMfa } from '#tests/support/second-factors.ts';
import { startService, type TestService } from '#tests/support/service.ts';
import { until } from '#tests/support/until.ts';

const PLENTY = '1000000/second';
const service = await startService({
  settings: { RATE_LIMIT_SMS_NUMBER: PLENTY, RATE_LIMIT_SMS_PREFIX: PLENTY, RATE_LIMIT_SMS_TOTAL: PLENTY },
});
const { clock, sql, mail } = service;
const api = service.api();
/** More instances of the same service, set otherwise; mail is left to the first. */
const beside = (settings: Record<string, string>) =>
  startService({ settings: { ROLE: 'web', ...settings }, database: service.database, clock });
const started: TestService[] = [];
const other = async (starting: Promise<TestService>) => {
  const one = await starting;
  started.push(one);
  return one;
};
afterAll(async () => {
  for (const one of started) await one.stop();
  await service.stop();
});

type WithPhone = SignedIn & { number: string; recoveryCodes: string[] };

const CODE_SECONDS = 5 * MINUTE;
let lastDigits = 1000;
/** Nobody has it yet. */
const newNumber = () => `+1415555${lastDigits++}`;

const personWithPhone = async (): Promise<WithPhone> => {
  const number = newNumber();
  return { ...(await enrolPhone(service, await signedInPerson(service), number)), number };
};

const setUp = ({ accessToken }: SignedIn, number: string, from = api) =>
  from.post('/api/sms-mfa/setup', { phone_number: number }, accessToken);
const finish = ({ accessToken }: SignedIn, code: string) => api.post('/api/sms-mfa/verify', { code }, accessToken);
const disable = ({ accessToken }: SignedIn, from = api) => from.post('/api/sms-mfa/disable', undefined, accessToken);
const enrolled = async ({ accessToken }: SignedIn) => (await api.get('/api/auth/mfa', accessToken)).body as unknown as Enrolled;
type Enrolled = { methods: string[]; sms: { enabled: boolean; phone_number: string | null; last_used_at: string | null } };

const sendCode = (preAuthToken: string, from = api) => from.post('/api/sms-mfa/send-code', { pre_auth_token: preAuthToken });
const sendStepUpCode = ({ accessToken }: SignedIn, from = api) => from.post('/api/sms-mfa/send-code', undefined, accessToken);
const stepUp = ({ accessToken }: SignedIn, code: string) => api.post('/api/auth/reauthenticate', { method: 'sms', code }, accessToken);
const another = (code: string) => (code === '000000' ? '111111' : '000000');

/** The code that was sent for this sign-in. */
const codeFor = async ({ number }: WithPhone, preAuthToken: string): Promise<string> => {
  expect(await sendCode(preAuthToken)).toMatchObject({ status: 202 });
  return await smsCode(service, number);
};
/** Codes are six digits: one in a million is the one before again. */
const differing = async (before: string, take: () => Promise<string>): Promise<string> => {
  const code = await take();
  return code === before ? await differing(before, take) : code;
};
const sessionsOf = async ({ id }: Person) => (await sql`select 1 from sessions where account_id = ${id}`).length;
const events = ({ id }: Person, type: string, on = sql) =>
  on`select session_id, details from audit_events where account_id = ${id} and type = ${type} order by id`;
const numberOf = async ({ id }: Person, on = sql) =>
  (await on`select number from phones where account_id = ${id}`).map((row) => row['number']);

describe('enrolling a phone', () => {
  it('[V6.6.1] takes a code that is sent to it, tells of the risk, and makes it a factor: audited, and told by mail', async () => {
    const person = await signedInPerson(service);
    const number = newNumber();
    const sent = await setUp(person, number);
    expect(sent).toMatchObject({ status: 202, body: { status: 'code_sent', expires_in: CODE_SECONDS } });
    expect(sent.text).toContain('passkey or an authenticator app');
    expect(await enrolled(person)).toMatchObject({ methods: [], sms: { enabled: false } });
    expectProblem(await sendStepUpCode(person), 'conflict');
    expect(await tryLogin(api, person)).toMatchObject({ body: { status: 'authenticated' } });

    const messages = await mail.to(number);
    expect(messages).toMatchObject([{ kind: 'sms', links: [] }]);
    const answer = await finish(person, await smsCode(service, number));
    expect(answer).toMatchObject({ status: 200, body: { status: 'enrolled' } });
    expect(answer.text).toContain('can be intercepted');
    expect(answer.body.recovery_codes).toHaveLength(10);
    expect((await api.get('/api/auth/sessions', person.accessToken)).body.sessions).toContainEqual(
      expect.objectContaining({ current: true, acr: 'aal2' }),
    );
    expect(await events(person, 'FACTOR_ENROLLED')).toMatchObject([{ session_id: person.sessionId, details: { method: 'sms' } }]);
    expect((await mail.to(person.email))[0]?.text).toContain('a phone');
    expect((await tryLogin(api, person)).body).toMatchObject({ status: 'mfa_required', methods: ['sms', 'recovery_code'] });
  });

  it('shows the number masked, and gives recovery codes with the first factor alone', async () => {
    const person = await personWithTotp(service);
    const withPhone = await enrolPhone(service, person, '+1 (415) 555-2671');
    expect(withPhone.recoveryCodes).toEqual([]);
    const answer = await api.get('/api/auth/mfa', person.accessToken);
    expect(answer.body).toMatchObject({ sms: { enabled: true, phone_number: '+14*******71' } });
    expect(answer.text).not.toContain('555');
    expect(answer.headers['cache-control']).toBe('no-store');
  });

  const forms = [
    ['+1 (415) 555-2671', '+14155552671'],
    ['tel:+1-415-555-2671', '+14155552671'],
    ['+1.415.555.2671', '+14155552671'],
    ['+49 (0) 151 23456789', '+4915123456789'],
    ['+49 151 / 234 567 89', '+4915123456789'],
    ['+４４ ７４００ １２３４５６', '+447400123456'],
    ['  +33 6 12 34 56 78  ', '+33612345678'],
  ] as const;
  it.each(forms)('understands %j and keeps %s', async (typed, number) => {
    const person = await signedInPerson(service);
    expect(await setUp(person, typed)).toMatchObject({ status: 202 });
    expect(await finish(person, await smsCode(service, number))).toMatchObject({ status: 200 });
    expect(await numberOf(person)).toEqual([number]);
  });

  it('refuses what is no mobile number, naming the field, and sends nothing', async () => {
    const person = await signedInPerson(service);
    const refused = {
      landline: ['+49 30 901820', '+44 20 7946 0018', '+33 1 42 68 53 00'],
      premium: ['+49 900 1234567', '+1 900 234 5678', '+44 909 879 0000'],
      'toll-free': ['+1 800 234 5678', '+49 800 1234567'],
      extension: ['+1 415 555 2671 ext. 5', '+1 415 555 2671 x5', 'tel:+1-415-555-2671;ext=5'],
      national: ['0151 23456789', '(415) 555-2671'],
      nothing: ['+1 415', '+999 123456789', 'phone', '+1 415 555 26711234', '112', '+'.repeat(20), '../../etc/passwd'],
      'two lines': ['+49 151 23456789\r\nx', '+49 151 2345\n6789', '\t+4915123456789'],
    };
    for (const [kind, numbers] of Object.entries(refused)) {
      for (const typed of numbers) {
        const answer = await setUp(person, typed);
        expect(answer.body.errors, `${kind}: ${typed} ${answer.text}`).toMatchObject([{ pointer: '/phone_number' }]);
        expectProblem(answer, 'invalid-request');
      }
    }
    for (const typed of ['', '1'.repeat(65), 4155552671, null, ['+14155552671']]) {
      expectProblem(await api.post('/api/sms-mfa/setup', { phone_number: typed }, person.accessToken), 'invalid-request');
    }
    expect(await sql`select from outbox where account_id = ${person.id} and kind = 'sms'`).toEqual([]);
    expect(await events(person, 'SMS_CODE_SENT')).toEqual([]);
  });

  it('replaces the number only when the new one is proved', async () => {
    const person = await personWithPhone();
    const next = newNumber();
    await setUp(person, next);
    expect(await numberOf(person)).toEqual([person.number]);
    await finish(person, await smsCode(service, next));
    expect(await numberOf(person)).toEqual([next]);
  });

  it('[V6.6.2] [V6.5.1] takes the code of the last set-up of this session alone, once', async () => {
    const person = await signedInPerson(service);
    const [second, stranger] = [await signIn(api, person), await signedInPerson(service)];
    const [old, number] = [newNumber(), newNumber()];
    await setUp(person, old);
    const oldCode = await smsCode(service, old);
    const code = await differing(oldCode, async () => {
      await setUp(person, number);
      return await smsCode(service, number);
    });
    expectProblem(await finish(person, oldCode), 'invalid-code');
    for (const thief of [second, stranger]) expectProblem(await finish(thief, code), 'invalid-code');
    expect(await numberOf(person)).toEqual([]);
    expect(await finish(person, code)).toMatchObject({ status: 200 });
    expectProblem(await finish(person, code), 'invalid-code');
    expect(await numberOf(person)).toEqual([number]);
  });

  it('[V6.5.1] gives one enrolment for fifty at once', async () => {
    const person = await signedInPerson(service);
    const number = newNumber();
    await setUp(person, number);
    const code = await smsCode(service, number);
    const answers = await Promise.all(Array.from({ length: 50 }, () => finish(person, code)));
    expect(tally(answers)['200']).toBe(1);
    expect(await events(person, 'FACTOR_ENROLLED')).toHaveLength(1);
  });

  it('[V6.5.5] takes the code for five minutes', async () => {
    const people = [await signedInPerson(service), await signedInPerson(service)] as const;
    const codes: string[] = [];
    for (const person of people) {
      const number = newNumber();
      await setUp(person, number);
      codes.push(await smsCode(service, number));
    }
    clock.advance(CODE_SECONDS - 1);
    expect(await finish(people[0], codes[0] ?? '')).toMatchObject({ status: 200 });
    clock.advance(1);
    expectProblem(await finish(people[1], codes[1] ?? ''), 'invalid-code');
  });

  it('[V6.6.3] takes five tries; another number begins no new count', async () => {
    const person = await signedInPerson(service);
    const [first, second] = [newNumber(), newNumber()];
    await setUp(person, first);
    const wrong = another(await smsCode(service, first));
    for (let time = 0; time < 3; time++) expectProblem(await finish(person, wrong), 'invalid-code');
    await setUp(person, second);
    const code = await smsCode(service, second);
    for (let time = 0; time < 2; time++) expectProblem(await finish(person, another(code)), 'invalid-code');
    expectProblem(await finish(person, code), 'invalid-code');
    const refused = await setUp(person, newNumber());
    expectProblem(refused, 'rate-limited');
    expect(refused.headers['retry-after']).toBe(String(CODE_SECONDS));
    expect(await events(person, 'FACTOR_ENROLMENT_FAILED')).toHaveLength(6);
    expect(await numberOf(person)).toEqual([]);
  });

  it('[V7.5.1] asks for a fresh sign-in, and for both factors where there are two, at its end as well as at its beginning', async () => {
    const thief = await signedInPerson(service);
    const number = newNumber();
    await setUp(thief, number);
    await enrolTotp(service, await signIn(api, thief));
    expectProblem(await finish(thief, await smsCode(service, number)), 'insufficient-user-authentication');
    expectProblem(await setUp(thief, newNumber()), 'insufficient-user-authentication');
    expect(await numberOf(thief)).toEqual([]);
    const person = await signedInPerson(service);
    clock.advance(10 * MINUTE + 1);
    expectProblem(await setUp(person, newNumber()), 'insufficient-user-authentication');
  });

  it('[V7.4.1] leaves nothing behind when the session ends meanwhile', async () => {
    const person = await signedInPerson(service);
    const number = newNumber();
    await setUp(person, number);
    const code = await smsCode(service, number);
    const end = (tx: TransactionSql) =>
      tx`update sessions set revoked_at = ${clock.now()}, revoked_reason = 'ended-by-user' where id = ${person.sessionId}`;
    const [answer] = await heldUp(service, person.id, [() => finish(person, code)], end);
    expectProblem(answer, 'unauthenticated');
    expect(await numberOf(person)).toEqual([]);
  });

  it('needs a session', async () => {
    for (const [route, body] of [
      ['setup', { phone_number: newNumber() }],
      ['verify', { code: '123456' }],
      ['disable', undefined],
      ['send-code', undefined],
    ] as const) {
      expectProblem(await api.post(`/api/sms-mfa/${route}`, body), 'unauthenticated');
    }
  });
});

describe('signing in with a code by SMS', () => {
  it('[V6.3.3] is the second factor: aal2, last use noted, audited', async () => {
    const person = await personWithPhone();
    clock.advance(MINUTE);
    const preAuth = await preAuthOf(api, person);
    const answer = await verifyMfa(api, preAuth, 'sms', await codeFor(person, preAuth));
    const { acr, amr } = decodeJwt(tokensOf(answer).accessToken);
    expect({ acr, amr }).toEqual({ acr: 'aal2', amr: ['pwd', 'sms', 'mfa'] });
    expect(await enrolled(person)).toMatchObject({ sms: { last_used_at: clock.now().toISOString() } });
    expect(await events(person, 'LOGIN_SUCCEEDED')).toContainEqual(
      expect.objectContaining({ session_id: answer.body.session_id, details: expect.objectContaining({ method: 'pwd+sms+mfa' }) }),
    );
  });

  it('steps up a session that is old', async () => {
    const person = await personWithPhone();
    clock.advance(10 * MINUTE + 1);
    expectProblem(await disable(person), 'insufficient-user-authentication');
    await sendStepUpCode(person);
    const answer = await stepUp(person, await smsCode(service, person.number));
    expect(answer.body).toMatchObject({ acr: 'aal2', session_id: person.sessionId });
    expect(await disable(person)).toMatchObject({ status: 204 });
  });

  it('[V6.5.1] takes a code once', async () => {
    const person = await personWithPhone();
    const preAuth = await preAuthOf(api, person);
    const code = await codeFor(person, preAuth);
    tokensOf(await verifyMfa(api, preAuth, 'sms', code));
    expectProblem(await verifyMfa(api, preAuth, 'sms', code), 'invalid-token');
    expectProblem(await verifyMfa(api, await preAuthOf(api, person), 'sms', code), 'invalid-code');
    await sendStepUpCode(person);
    const stepUpCode = await smsCode(service, person.number);
    expect(await stepUp(person, stepUpCode)).toMatchObject({ status: 200 });
    expectProblem(await stepUp(person, stepUpCode), 'invalid-code');
  });

  it('[V6.5.1] gives one session for fifty at once', async () => {
    const person = await personWithPhone();
    const preAuth = await preAuthOf(api, person);
    const code = await codeFor(person, preAuth);
    const before = await sessionsOf(person);
    const answers = await Promise.all(Array.from({ length: 50 }, () => verifyMfa(api, preAuth, 'sms', code)));
    expect(tally(answers)['200']).toBe(1);
    expect(await sessionsOf(person)).toBe(before + 1);
  });

  it('[V6.5.1] steps up once for five at once', async () => {
    const person = await personWithPhone();
    await sendStepUpCode(person);
    const code = await smsCode(service, person.number);
    const answers = await Promise.all(Array.from({ length: 5 }, () => stepUp(person, code)));
    expect(tally(answers)).toEqual({ '200': 1, 'invalid-code': 4 });
  });

  it('[V6.5.5] takes a code for five minutes', async () => {
    const [inTime, late] = [await personWithPhone(), await personWithPhone()];
    const codes: string[] = [];
    for (const person of [inTime, late]) {
      await sendStepUpCode(person);
      codes.push(await smsCode(service, person.number));
    }
    clock.advance(CODE_SECONDS - 1);
    expect(await stepUp(inTime, codes[0] ?? '')).toMatchObject({ status: 200 });
    clock.advance(1);
    expectProblem(await stepUp(late, codes[1] ?? ''), 'invalid-code');
  });

  it('[V6.6.2] takes the code of this sign-in alone: not of another one, a step-up, an enrolment or another account', async () => {
    const [person, stranger] = [await personWithPhone(), await personWithPhone()];
    const [first, second] = [await preAuthOf(api, person), await preAuthOf(api, person)];
    const code = await codeFor(person, first);
    expectProblem(await verifyMfa(api, second, 'sms', code), 'invalid-code');
    expectProblem(await verifyMfa(api, await preAuthOf(api, stranger), 'sms', code), 'invalid-code');
    expectProblem(await stepUp(person, code), 'invalid-code');
    expectProblem(await finish(person, code), 'invalid-code');
    expectProblem(await verifyMfa(api, first, 'totp', code), 'invalid-code');
    expectProblem(await verifyMfa(api, first, 'recovery_code', code), 'invalid-code');
    tokensOf(await verifyMfa(api, first, 'sms', code));

    await sendStepUpCode(person);
    const forStepUp = await smsCode(service, person.number);
    expectProblem(await verifyMfa(api, second, 'sms', forStepUp), 'invalid-code');
    const elsewhere = {
      ...person,
      ...tokensOf(await verifyMfa(api, await preAuthOf(api, person), 'recovery_code', person.recoveryCodes[0] ?? '')),
    };
    expectProblem(await stepUp(elsewhere, forStepUp), 'invalid-code');
    expect(await stepUp(person, forStepUp)).toMatchObject({ status: 200 });

    const next = newNumber();
    await setUp(person, next);
    const forEnrolment = await smsCode(service, next);
    expectProblem(await verifyMfa(api, await preAuthOf(api, person), 'sms', forEnrolment), 'invalid-code');
    expectProblem(await stepUp(person, forEnrolment), 'invalid-code');
  });

  it('[V6.6.2] takes the last code only when another was sent', async () => {
    const person = await personWithPhone();
    const preAuth = await preAuthOf(api, person);
    const before = await codeFor(person, preAuth);
    const after = await differing(before, () => codeFor(person, preAuth));
    expectProblem(await verifyMfa(api, preAuth, 'sms', before), 'invalid-code');
    tokensOf(await verifyMfa(api, preAuth, 'sms', after));
  });

  it('[V6.6.3] takes five tries of a code; neither another code nor another sign-in begins a new count', async () => {
    const person = await personWithPhone();
    const first = await preAuthOf(api, person);
    const wrong = another(await codeFor(person, first));
    for (let time = 0; time < 2; time++) expectProblem(await verifyMfa(api, first, 'sms', wrong), 'invalid-code');
    const again = another(await codeFor(person, first));
    expectProblem(await verifyMfa(api, first, 'sms', again), 'invalid-code');
    const second = await preAuthOf(api, person);
    const code = await codeFor(person, second);
    for (let time = 0; time < 2; time++) expectProblem(await verifyMfa(api, second, 'sms', another(code)), 'invalid-code');
    expectProblem(await verifyMfa(api, second, 'sms', code), 'invalid-code');

    const third = await preAuthOf(api, person);
    const refused = await sendCode(third);
    expectProblem(refused, 'rate-limited');
    expect(refused.headers['retry-after']).toBe(String(CODE_SECONDS));
    expectProblem(await sendStepUpCode(person), 'rate-limited');
    expectProblem(await verifyMfa(api, third, 'sms', code), 'invalid-code');
    tokensOf(await verifyMfa(api, third, 'recovery_code', person.recoveryCodes[0] ?? ''));

    clock.advance(CODE_SECONDS);
    const later = await preAuthOf(api, person);
    tokensOf(await verifyMfa(api, later, 'sms', await codeFor(person, later)));
  });

  it('[V6.6.3] counts tries that come all at once: of fifty guesses five are looked at', async () => {
    const person = await personWithPhone();
    const preAuth = await preAuthOf(api, person);
    const code = await codeFor(person, preAuth);
    const guesses = await Promise.all(Array.from({ length: 50 }, () => verifyMfa(api, preAuth, 'sms', another(code))));
    expect(tally(guesses)).toEqual({ 'invalid-code': 5, 'invalid-token': 45 });
    expectProblem(await verifyMfa(api, preAuth, 'sms', code), 'invalid-token');
    expect(await sql`select tries from tickets where account_id = ${person.id} and purpose = 'sms-code'`).toMatchObject([{ tries: 5 }]);
  });

  it('sends a code to nobody who has no phone, no live token, or another network than gave the password', async () => {
    const person = await personWithTotp(service);
    const preAuth = await preAuthOf(api, person);
    expectProblem(await sendCode(preAuth), 'conflict');
    expectProblem(await sendStepUpCode(person), 'conflict');
    expectProblem(await api.post('/api/sms-mfa/send-code', {}), 'unauthenticated');
    expectProblem(await api.post('/api/sms-mfa/send-code', undefined, 'x'), 'unauthenticated');
    expectProblem(await sendCode('x'.repeat(43)), 'invalid-token');

    const withPhone = await personWithPhone();
    const theirs = await preAuthOf(api, withPhone);
    expectProblem(await sendCode(theirs, service.api({ ip: '203.0.113.50' })), 'invalid-token');
    expectProblem(await sendCode(theirs, service.api({ userAgent: 'thief/1.0' })), 'invalid-token');
    clock.advance(CODE_SECONDS);
    expectProblem(await sendCode(theirs), 'invalid-token');
    await api.post('/api/auth/logout', undefined, withPhone.accessToken);
    expectProblem(await sendStepUpCode(withPhone), 'unauthenticated');
    expect(await mail.to(withPhone.number)).toHaveLength(1); // that of the enrolment
  });

  it('sends no code to a suspended account', async () => {
    const person = await personWithPhone();
    await sql`update accounts set status = 'suspended' where id = ${person.id}`;
    expectProblem(await sendStepUpCode(person), 'account-suspended');
    expect(await mail.to(person.number)).toHaveLength(1);
  });

  it('gives no session to an account that was suspended meanwhile', async () => {
    const person = await personWithPhone();
    const preAuth = await preAuthOf(api, person);
    const code = await codeFor(person, preAuth);
    const before = await sessionsOf(person);
    await sql`update accounts set status = 'suspended' where id = ${person.id}`;
    expectProblem(await verifyMfa(api, preAuth, 'sms', code), 'account-suspended');
    expect(await sessionsOf(person)).toBe(before);
  });
});

describe('removing the phone', () => {
  it('[V6.5.6] ends it at once: the code on its way too, and the recovery codes go along', async () => {
    const person = await personWithPhone();
    const preAuth = await preAuthOf(api, person);
    const code = await codeFor(person, preAuth);
    expect(await disable(person)).toMatchObject({ status: 204 });
    expectProblem(await verifyMfa(api, preAuth, 'sms', code), 'invalid-token');
    expect(await enrolled(person)).toMatchObject({ methods: [], sms: { enabled: false, phone_number: null } });
    expect(await events(person, 'FACTOR_REMOVED')).toMatchObject([{ session_id: person.sessionId, details: { method: 'sms' } }]);
    expect((await mail.to(person.email))[0]?.subject).toContain('removed');
    expectProblem(await disable(person), 'conflict');
    await signIn(api, person);
  });

  it('leaves the other factors in force', async () => {
    const person = await enrolPhone(service, await personWithTotp(service), newNumber());
    expect(await disable(person)).toMatchObject({ status: 204 });
    expect((await tryLogin(api, person)).body).toMatchObject({ status: 'mfa_required', methods: ['totp', 'recovery_code'] });
  });
});

describe('what codes cost', () => {
  it('[V6.6.3] is capped by account, number, range and day; who waits for a code can still use another method', async () => {
    const capped = await other(
      startService({
        settings: {
          RATE_LIMIT_SMS_NUMBER: '2/hour',
          RATE_LIMIT_SMS_PREFIX: '3/hour',
          RATE_LIMIT_SMS_TOTAL: '6/day',
          SMS_DEFAULT_COUNTRY: 'DE',
          MFA_REQUIRED: 'true',
        },
      }),
    );
    const client: Api = capped.api();
    const person = await enrolPhone(capped, await signedInPerson(capped), '+4915123456789');
    const stranger = await signedInPerson(capped);
    const refusedBy = async (answer: Answer, cap: string, longestSeconds: number, of: Person) => {
      expectProblem(answer, 'rate-limited');
      expect(Number(answer.headers['retry-after'])).toBeGreaterThan(longestSeconds - MINUTE);
      expect(Number(answer.headers['retry-after'])).toBeLessThanOrEqual(longestSeconds);
      expect((await events(of, 'SMS_REFUSED', capped.sql)).at(-1)).toMatchObject({ details: { cap } });
    };

    const crowd = await Promise.all(Array.from({ length: 20 }, () => setUp(stranger, '0151 / 23 45 67 89', client)));
    expect(tally(crowd)).toEqual({ '202': 1, 'rate-limited': 19 });
    await refusedBy(await setUp(stranger, '+49 151 23456789', client), 'sms-number', HOUR / 2, stranger);
    // Whoever enrols somebody's number keeps nobody from signing in.
    const preAuth = await preAuthOf(client, person);
    expect(await sendCode(preAuth, client)).toMatchObject({ status: 202 });
    expect(await sendCode(preAuth, client)).toMatchObject({ status: 202 });
    await refusedBy(await sendCode(preAuth, client), 'sms-number', HOUR / 2, person);
    tokensOf(await verifyMfa(client, preAuth, 'recovery_code', person.recoveryCodes[0] ?? ''));

    const byNobodyYet = async (typed: string) => {
      const somebody = await signedInPerson(capped);
      return { somebody, answer: await setUp(somebody, typed, client) };
    };
    expect((await byNobodyYet('0151 23456788')).answer).toMatchObject({ status: 202 });
    const ranged = await byNobodyYet('0151 23456787');
    await refusedBy(ranged.answer, 'sms-prefix', HOUR / 3, ranged.somebody);
    for (const typed of ['0171 2345678', '0172 2345678', '0175 2345678']) {
      expect((await byNobodyYet(typed)).answer).toMatchObject({ status: 202 });
    }
    const last = await byNobodyYet('0176 23456789');
    await refusedBy(last.answer, 'sms-total', (24 * HOUR) / 6, last.somebody);

    expectProblem(await setUp(stranger, '030 901820', client), 'invalid-request');
    expect(await capped.mail.to('+4915123456789')).toHaveLength(4);
    const sent = await capped.sql`select from audit_events where type = 'SMS_CODE_SENT'`;
    expect(sent).toHaveLength(8);
    expectProblem(await disable(person, client), 'conflict'); // the last one, and one is required
    expect(await numberOf(person, capped.sql)).toEqual(['+4915123456789']);
  });
});

describe('what a day may cost', () => {
  const PER_DAY = 10;
  const settings = {
    RATE_LIMIT_SMS_NUMBER: PLENTY,
    RATE_LIMIT_SMS_PREFIX: PLENTY,
    RATE_LIMIT_SMS_TOTAL: PLENTY,
    SMS_MAX_PER_DAY: String(PER_DAY),
    METRICS_TOKEN: 'the token of the tests for metrics',
  };
  const metrics = async ({ origin }: TestService) =>
    await (await fetch(`${origin}/metrics`, { headers: { authorization: `Bearer ${settings.METRICS_TOKEN}` } })).text();

  it('[V6.6.3] [V15.4.2] is counted by all replicas together: of fifty at once half the day is sent to new numbers, sign-ins keep the rest', async () => {
    const one = await other(startService({ settings }));
    const two = await other(startService({ settings: { ...settings, ROLE: 'web' }, database: one.database, clock: one.clock }));
    // The buckets of the two are apart, as those of a Redis that was emptied; the count is not.
    const person = await enrolPhone(one, await signedInPerson(one), newNumber());
    const strangers = await Promise.all(Array.from({ length: 5 }, () => signedInPerson(one)));
    const crowd = await Promise.all(
      Array.from({ length: 50 }, (_, i) => setUp(strangers[i % 5] as SignedIn, newNumber(), (i % 2 ? one : two).api())),
    );
    expect(tally(crowd)).toEqual({ '202': PER_DAY / 2 - 1, 'rate-limited': 50 - PER_DAY / 2 + 1 });

    const preAuth = await preAuthOf(one.api(), person);
    const codes = await Promise.all(Array.from({ length: 20 }, (_, i) => sendCode(preAuth, (i % 2 ? one : two).api())));
    expect(tally(codes)).toEqual({ '202': PER_DAY / 2, 'rate-limited': 20 - PER_DAY / 2 });
    const refused = await sendCode(preAuth, two.api());
    expectProblem(refused, 'rate-limited');
    expect(refused.body.detail).toBe('No more codes are sent by SMS today; use another method.');
    const midnight = Date.parse(`${one.clock.now().toISOString().slice(0, 10)}T24:00:00Z`);
    expect(Number(refused.headers['retry-after'])).toBe(Math.ceil((midnight - one.clock.now().getTime()) / 1000));

    expect(await one.sql`select sent, to_new_numbers from sms_days`).toEqual([{ sent: PER_DAY, to_new_numbers: PER_DAY / 2 }]);
    expect(await one.sql`select from outbox where kind = 'sms'`).toHaveLength(PER_DAY);
    expect((await events(person, 'SMS_DAY_SPENT', one.sql)).at(-1)).toMatchObject({ details: { purpose: 'sms-code' } });
    const told = await until('the metric tells', async () => {
      const text = await metrics(one);
      return text.includes(`latchkey_audit_events_total{type="SMS_DAY_SPENT"} ${50 + 20 + 1 - PER_DAY + 1}`) && text;
    });
    expect(told).toContain(`latchkey_sms_today ${PER_DAY}`);
    expect(told).toContain(`latchkey_sms_per_day ${PER_DAY}`);
    tokensOf(await verifyMfa(one.api(), preAuth, 'recovery_code', person.recoveryCodes[0] ?? ''));
  });

  it('begins anew with the next day (UTC), and a restart forgets nothing', async () => {
    const first = await startService({ settings: { ...settings, SMS_MAX_PER_DAY: '1' }, database: service.database, clock });
    await sql`delete from sms_days`;
    const person = await signedInPerson(first);
    expect(await setUp(person, newNumber(), first.api())).toMatchObject({ status: 202 });
    await first.stop();
    const again = (await other(startService({ settings: { ...settings, SMS_MAX_PER_DAY: '1' }, database: service.database, clock }))).api();
    expectProblem(await setUp(person, newNumber(), again), 'rate-limited');
    await sql`update sms_days set day = day - 1`;
    expect(await setUp(person, newNumber(), again)).toMatchObject({ status: 202 });
  });
});

describe.each([
  ['SMS_MFA=false', { SMS_MFA: 'false' }],
  ['SECURITY_PROFILE=strict', { SECURITY_PROFILE: 'strict' }],
])('under %s', (_, settings) => {
  it('[V6.6.1] a phone is no factor to enrol, and opens no account; nor does the password alone', async () => {
    const without = (await other(beside(settings))).api();
    expectProblem(await setUp(await signedInPerson(service), newNumber(), without), 'forbidden');

    const person = await personWithPhone();
    const before = await sessionsOf(person);
    const answer = await tryLogin(without, person);
    expect(answer.body).toMatchObject({ status: 'mfa_required', methods: ['recovery_code'] });
    expect(answer.body).not.toHaveProperty('access_token');
    const preAuth = answer.body.pre_auth_token;
    expectProblem(await sendCode(preAuth, without), 'forbidden');
    expectProblem(await sendStepUpCode(person, without), 'forbidden');
    const code = await codeFor(person, preAuth); // by a replica that was not told yet
    expectProblem(await verifyMfa(without, preAuth, 'sms', code), 'invalid-code');
    expectProblem(await without.post('/api/auth/reauthenticate', { method: 'sms', code }, person.accessToken), 'invalid-code');
    expect(await sessionsOf(person)).toBe(before);
    tokensOf(await verifyMfa(without, preAuth, 'recovery_code', person.recoveryCodes[0] ?? ''));
  });
});

describe('without Redis', () => {
  it('[V16.5.2] [V16.5.3] no code is sent and none is taken: 503', async () => {
    const person = await personWithPhone();
    const preAuth = await preAuthOf(api, person);
    const code = await codeFor(person, preAuth);
    const cut = (await other(beside({ REDIS_URL: 'redis://127.0.0.1:1', LOG_LEVEL: 'silent' }))).api();
    const before = await sessionsOf(person);
    const answers = [
      await setUp(person, newNumber(), cut),
      await sendCode(preAuth, cut),
      await sendStepUpCode(person, cut),
      await verifyMfa(cut, preAuth, 'sms', code),
      await cut.post('/api/sms-mfa/verify', { code }, person.accessToken),
    ];
    for (const answer of answers) {
      expectProblem(answer, 'unavailable');
      expect(answer.headers['retry-after']).toMatch(/^\d+$/);
    }
    expect(await sessionsOf(person)).toBe(before);
    expect(await mail.to(person.number)).toHaveLength(2);
    tokensOf(await verifyMfa(api, preAuth, 'sms', code));
  });
});

describe('a code', () => {
  it('[V6.5.2] [V14.2.1] stands in no row of any table as it is, nor as a hash that anybody could make, the message that waits included', async () => {
    await sql`create table seen (row text)`;
    await sql`create function see() returns trigger language plpgsql as $$ begin insert into seen values ((to_jsonb(new) - 'position')::text); return new; end $$`;
    for (const table of ['outbox', 'tickets', 'audit_events']) {
      await sql`create trigger see after insert or update on ${sql(table)} for each row execute function see()`;
    }
    const person = await personWithPhone();
    const codes: string[] = [];
    for (let time = 0; time < 3; time++) {
      const preAuth = await preAuthOf(api, person);
      const code = await codeFor(person, preAuth);
      tokensOf(await verifyMfa(api, preAuth, 'sms', code));
      codes.push(code);
    }
    const tables = await sql`select table_name as name from information_schema.tables where table_schema = 'public'`;
    const dumps = await Promise.all(
      tables.map(({ name }) => sql`select (to_jsonb(t) - 'position')::text as row from ${sql(String(name))} t`),
    );
    const rows = dumps.flatMap((table) => table.map(({ row }) => String(row)));
    expect(rows.some((row) => row.includes(person.number))).toBe(true);
    expect(rows.some((row) => row.includes('sms-code') && row.includes('sealed'))).toBe(true);
    for (const code of codes) {
      const alone = new RegExp(`(?<![0-9a-f])${code}(?![0-9a-f])`);
      const digest = (algorithm: string) => createHash(algorithm).update(code).digest();
      const forms = ['sha256', 'sha1', 'md5'].flatMap((algorithm) => [
        digest(algorithm).toString('hex'),
        digest(algorithm).toString('base64'),
      ]);
      forms.push(Buffer.from(`${code} `).toString('hex'));
      expect(rows.filter((row) => alone.test(row) || forms.some((form) => row.includes(form)))).toEqual([]);
    }
  });

  it('[V6.5.4] has six digits, leading zeros included, and is not the one before', async () => {
    const person = await personWithPhone();
    const seen = new Set<string>();
    for (let time = 0; time < 20; time++) {
      await sendStepUpCode(person);
      seen.add(await smsCode(service, person.number));
    }
    expect(seen.size).toBeGreaterThan(15);
    for (const code of seen) expect(code).toMatch(/^\d{6}$/);
  });
});
