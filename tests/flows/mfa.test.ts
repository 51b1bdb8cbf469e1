import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectProblem, tally } from '#tests/support/api.ts';
import { HOUR, MINUTE } from '#tests/support/clock.ts';
import { OTHER_PASSWORD, signedInPerson, tokensOf, tryLogin } from '#tests/support/people.ts';
import {
  assertionOf,
  enrolPasskey,
  enrolPhone,
  enrolTotp,
  nextCode,
  personWithTotp,
  preAuthOf,
  signInWithTotp,
  smsCode,
  verifyMfa,
  wrongCode,
} from '#tests/support/second-factors.ts';
import { startService, type TestService } from '#tests/support/service.ts';
import { totpCode } from '#tests/support/totp.ts';

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

const FIFTY = Array.from({ length: 50 });

describe('signing in with a second factor', () => {
  it('[V6.3.3] asks for it after the right password, and only then tells that there is one', async () => {
    const person = await personWithTotp(service);
    const wrong = await tryLogin(service.api(), { ...person, password: 'not the right one' });
    expectProblem(wrong, 'invalid-credentials');
    const answer = await tryLogin(service.api(), person);
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({
      status: 'mfa_required',
      pre_auth_token: expect.stringMatching(/^[\w-]{43}$/),
      expires_in: 300,
      methods: ['totp', 'recovery_code'],
    });
  });

  it('names what this user may use, strongest first', async () => {
    const everything = await enrolPhone(service, await enrolPasskey(service, await personWithTotp(service)));
    expect((await tryLogin(service.api(), everything)).body.methods).toEqual(['webauthn', 'totp', 'sms', 'recovery_code']);
    const passkeyAlone = await enrolPasskey(service, await signedInPerson(service));
    expect((await tryLogin(service.api(), passkeyAlone)).body.methods).toEqual(['webauthn', 'recovery_code']);
  });

  it('ends in a session that is aal2 and says how', async () => {
    const person = await personWithTotp(service);
    const session = await signInWithTotp(service, person);
    expect(decodeJwt(session.accessToken)).toMatchObject({ acr: 'aal2', amr: ['pwd', 'otp', 'mfa'], sid: session.sessionId });
    const { sessions } = (await service.api().get('/api/auth/sessions', session.accessToken)).body;
    expect(sessions.find(({ current }) => current)).toMatchObject({ acr: 'aal2' });
    const refreshed = tokensOf(await service.api().post('/api/auth/refresh', { refresh_token: session.refreshToken }));
    expect(decodeJwt(refreshed.accessToken)).toMatchObject({ acr: 'aal2', amr: ['pwd', 'otp', 'mfa'] });
  });

  it('goes on after a wrong code, and after a code of another method', async () => {
    const person = await enrolPhone(service, await personWithTotp(service));
    const preAuth = await preAuthOf(service.api(), person);
    expectProblem(await verifyMfa(service.api(), preAuth, 'totp', wrongCode(service, person.secret)), 'invalid-code');
    expectProblem(await verifyMfa(service.api(), preAuth, 'sms', '000000'), 'invalid-code');
    await service.api().post('/api/sms-mfa/send-code', { pre_auth_token: preAuth });
    tokensOf(await verifyMfa(service.api(), preAuth, 'sms', await smsCode(service)));
  });

  it('takes the device name of its first half', async () => {
    const person = await personWithTotp(service);
    const body = { email: person.email, password: person.password, device_name: 'The old laptop' };
    const { pre_auth_token } = (await service.api().post('/api/auth/login', body)).body;
    const { accessToken } = tokensOf(await verifyMfa(service.api(), pre_auth_token, 'totp', nextCode(service, person)));
    const { sessions } = (await service.api().get('/api/auth/sessions', accessToken)).body;
    expect(sessions.find(({ current }) => current)?.device).toBe('The old laptop');
  });

  it.each([
    ['no method', { code: '123456' }],
    ['an unknown method', { method: 'email', code: '123456' }],
    ['no code', { method: 'totp' }],
    ['a credential for a code', { method: 'totp', credential: { id: 'x', type: 'public-key', response: { clientDataJSON: 'x' } } }],
    ['a code for a credential', { method: 'webauthn', code: '123456' }],
    ['a field that nobody knows', { method: 'totp', code: '123456', remember: true }],
  ])('refuses %s as a bad request', async (_, body) => {
    expectProblem(await service.api().post('/api/auth/verify-mfa', { pre_auth_token: 'x'.repeat(43), ...body }), 'invalid-request');
  });
});

describe('the ticket between the two halves', () => {
  it('[V6.6.3] [V2.3.2] takes five tries of whatever method, and not even the right code after that', async () => {
    const person = await enrolPhone(service, await personWithTotp(service));
    const preAuth = await preAuthOf(service.api(), person);
    const wrong = wrongCode(service, person.secret);
    for (const method of ['totp', 'sms', 'recovery_code', 'totp', 'totp']) {
      expectProblem(await verifyMfa(service.api(), preAuth, method, wrong), 'invalid-code');
    }
    expectProblem(await verifyMfa(service.api(), preAuth, 'totp', nextCode(service, person)), 'invalid-token');
  });

  it('[V15.4.2] counts tries that come at once: fifty wrong codes are five', async () => {
    const person = await personWithTotp(service);
    const preAuth = await preAuthOf(service.api(), person);
    const wrong = wrongCode(service, person.secret);
    const answers = await Promise.all(FIFTY.map(() => verifyMfa(service.api(), preAuth, 'totp', wrong)));
    expect(tally(answers)).toEqual({ 'invalid-code': 5, 'invalid-token': 45 });
  });

  it('[V2.3.4] [V6.5.1] is good for one session, though fifty come with it and the right code', async () => {
    const person = await personWithTotp(service);
    const preAuth = await preAuthOf(service.api(), person);
    const code = nextCode(service, person);
    const answers = await Promise.all(FIFTY.map(() => verifyMfa(service.api(), preAuth, 'totp', code)));
    const { '200': granted, ...refused } = tally(answers);
    expect(granted).toBe(1);
    expect(Object.keys(refused).every((code) => code === 'invalid-code' || code === 'invalid-token')).toBe(true);
    expectProblem(await verifyMfa(service.api(), preAuth, 'totp', nextCode(service, person)), 'invalid-token');
  });

  it('[V6.5.5] ends after five minutes', async () => {
    const person = await personWithTotp(service);
    const [inTime, late] = [await preAuthOf(service.api(), person), await preAuthOf(service.api(), person)];
    service.clock.advance(5 * MINUTE - 31);
    tokensOf(await verifyMfa(service.api(), inTime, 'totp', nextCode(service, person)));
    service.clock.advance(1);
    expectProblem(await verifyMfa(service.api(), late, 'totp', nextCode(service, person)), 'invalid-token');
  });

  it('[V6.6.2] is bound to the client that began: the same program from the same network', async () => {
    const person = await personWithTotp(service);
    const began = service.api({ ip: '198.51.100.7', userAgent: 'Browser/1' });
    const preAuth = await preAuthOf(began, person);
    for (const thief of [
      service.api({ ip: '203.0.113.9', userAgent: 'Browser/1' }),
      service.api({ ip: '198.51.100.7', userAgent: 'curl' }),
    ]) {
      expectProblem(await verifyMfa(thief, preAuth, 'totp', nextCode(service, person)), 'invalid-token');
      expectProblem(await thief.post('/api/sms-mfa/send-code', { pre_auth_token: preAuth }), 'invalid-token');
      expectProblem(await thief.post('/api/auth/webauthn/authenticate/options', { pre_auth_token: preAuth }), 'invalid-token');
    }
    tokensOf(await verifyMfa(began, preAuth, 'totp', nextCode(service, person)));
  });

  it('[V8.2.2] is worth nothing with the code of somebody else', async () => {
    const [ada, eve] = [await personWithTotp(service), await personWithTotp(service)];
    const preAuth = await preAuthOf(service.api(), ada);
    expectProblem(await verifyMfa(service.api(), preAuth, 'totp', nextCode(service, eve)), 'invalid-code');
    expectProblem(await verifyMfa(service.api(), preAuth, 'recovery_code', eve.recoveryCodes[0] ?? ''), 'invalid-code');
  });

  it('[V6.4.3] ends with a new password, however it was set', async () => {
    const person = await personWithTotp(service);
    const before = await preAuthOf(service.api(), person);
    const body = { current_password: person.password, new_password: OTHER_PASSWORD };
    tokensOf(await service.api().post('/api/auth/change-password', body, person.accessToken));
    expectProblem(await verifyMfa(service.api(), before, 'totp', nextCode(service, person)), 'invalid-token');

    const again = await preAuthOf(service.api(), { ...person, password: OTHER_PASSWORD });
    await service.api().post('/api/auth/forgot-password', { email: person.email });
    const token = await service.mail.token(person.email, 'reset-password');
    expect((await service.api().post('/api/auth/reset-password', { token, new_password: person.password })).status).toBe(204);
    expectProblem(await verifyMfa(service.api(), again, 'totp', nextCode(service, person)), 'invalid-token');
  });

  it('[V6.4.3] a reset opens no session and switches no factor off', async () => {
    const person = await personWithTotp(service);
    await service.api().post('/api/auth/forgot-password', { email: person.email });
    const token = await service.mail.token(person.email, 'reset-password');
    const reset = await service.api().post('/api/auth/reset-password', { token, new_password: OTHER_PASSWORD });
    expect([reset.status, reset.text]).toEqual([204, '']);
    expect((await tryLogin(service.api(), { ...person, password: OTHER_PASSWORD })).body.status).toBe('mfa_required');
  });

  it('[V7.4.2] ends with a suspension, and says so to who has both factors', async () => {
    const person = await personWithTotp(service);
    const preAuth = await preAuthOf(service.api(), person);
    await service.sql`update accounts set status = 'suspended' where id = ${person.id}`;
    expectProblem(await verifyMfa(service.api(), preAuth, 'totp', nextCode(service, person)), 'account-suspended');
    expect(
      await service.sql`select from sessions where account_id = ${person.id} and acr = 'aal2' and created_at = ${service.clock.now()}`,
    ).toEqual([]);
  });

  it('ends when a factor is added or removed meanwhile', async () => {
    const person = await personWithTotp(service);
    const preAuth = await preAuthOf(service.api(), person);
    await enrolPasskey(service, person);
    expectProblem(await verifyMfa(service.api(), preAuth, 'totp', nextCode(service, person)), 'invalid-token');
  });

  it('[V2.3.1] is not stored as it is, and is nothing as an access token, a refresh token or another ticket', async () => {
    const person = await personWithTotp(service);
    const preAuth = await preAuthOf(service.api(), person);
    const api = service.api();
    const rows = await service.sql`select t::text as row from tickets t where account_id = ${person.id}`;
    expect(rows.some((row) => String(row['row']).includes(preAuth))).toBe(false);
    expectProblem(await api.get('/api/auth/me', preAuth), 'unauthenticated');
    expectProblem(await api.post('/api/auth/refresh', { refresh_token: preAuth }), 'invalid-refresh-token');
    expectProblem(await api.post('/api/auth/verify-email', { token: preAuth }), 'invalid-token');
    expectProblem(await api.post('/api/auth/reset-password', { token: preAuth, new_password: OTHER_PASSWORD }), 'invalid-token');
    tokensOf(await verifyMfa(api, preAuth, 'totp', nextCode(service, person)));
  });

  it('uses up no recovery code for a sign-in that is over', async () => {
    const person = await personWithTotp(service);
    const preAuth = await preAuthOf(service.api(), person);
    const answers = await Promise.all(
      person.recoveryCodes.slice(0, 5).map((code) => verifyMfa(service.api(), preAuth, 'recovery_code', code)),
    );
    expect(tally(answers)).toEqual({ '200': 1, 'invalid-token': 4 });
    expect(await service.sql`select from recovery_codes where account_id = ${person.id} and used_at is null`).toHaveLength(9);
  });

  it('[V6.3.4] of a passkey that did not verify its user is finished with another factor, not with the same key', async () => {
    const { recoveryCodes, ...app } = await personWithTotp(service);
    const person = await enrolPasskey(service, app);
    const how = { userVerified: false };
    const first = await assertionOf(service, person.authenticator, { how });
    const { body } = await service.api().post('/api/auth/webauthn/authenticate/verify', { credential: first });
    expect(body).toMatchObject({ status: 'mfa_required', methods: ['totp'] });
    const preAuthToken = body.pre_auth_token;
    const second = await assertionOf(service, person.authenticator, { preAuthToken, how });
    const again = { pre_auth_token: preAuthToken, credential: second };
    expectProblem(await service.api().post('/api/auth/webauthn/authenticate/verify', again), 'invalid-code');
    expectProblem(await verifyMfa(service.api(), preAuthToken, 'recovery_code', recoveryCodes[0] ?? ''), 'invalid-code');
    tokensOf(await verifyMfa(service.api(), preAuthToken, 'totp', nextCode(service, person)));
  });

  it('cannot be made without the password: a session of that moment waits for the factor that was just enrolled', async () => {
    const person = await signedInPerson(service);
    await enrolTotp(service, person);
    const answers = await Promise.all(Array.from({ length: 10 }, () => tryLogin(service.api(), person)));
    expect(new Set(answers.map(({ body }) => body.status))).toEqual(new Set(['mfa_required']));
  });
});

describe('wrong second factors', () => {
  it('[V6.6.3] [V6.3.1] are counted over tickets, methods and addresses: the eleventh waits an hour, though it were right', async () => {
    const person = await personWithTotp(service);
    const wrong = wrongCode(service, person.secret);
    for (let failures = 0; failures < 10; failures++) {
      const api = service.api({ ip: `198.51.100.${failures + 1}` });
      const method = failures % 2 ? 'totp' : 'recovery_code';
      expectProblem(await verifyMfa(api, await preAuthOf(api, person), method, wrong), 'invalid-code');
    }
    const preAuth = await preAuthOf(service.api(), person);
    const answer = await verifyMfa(service.api(), preAuth, 'totp', totpCode(person.secret, service.clock.now()));
    expectProblem(answer, 'account-locked');
    expect(Number(answer.headers['retry-after'])).toBeGreaterThan(3000);
    const [mail] = await service.mail.to(person.email);
    expect(mail?.subject).toContain('Too many wrong codes');

    service.clock.advance(HOUR);
    await signInWithTotp(service, person);
  });

  it('[V6.6.3] [V15.4.2] are judged ten times an hour, though a hundred come at once over twenty sign-ins, with one mail', async () => {
    const person = await personWithTotp(service);
    const wrong = wrongCode(service, person.secret);
    const tickets = await Promise.all(Array.from({ length: 20 }, () => preAuthOf(service.api(), person)));
    const guesses = tickets.flatMap((ticket) => Array.from({ length: 5 }, () => verifyMfa(service.api(), ticket, 'totp', wrong)));
    expect(tally(await Promise.all(guesses))).toEqual({ 'invalid-code': 10, 'account-locked': 90 });
    const mails = await service.mail.to(person.email);
    expect(mails.filter(({ subject }) => subject.includes('Too many wrong codes'))).toHaveLength(1);
  });

  it('[V6.3.1] in a row, however slowly, end at a hundred: then codes that can be guessed are no use until another factor was right', async () => {
    const person = await personWithTotp(service);
    for (let hour = 0; hour < 10; hour++) {
      service.clock.advance(HOUR + 1);
      for (let failures = 0; failures < 10; failures++) {
        await verifyMfa(service.api(), await preAuthOf(service.api(), person), 'totp', wrongCode(service, person.secret));
      }
    }
    service.clock.advance(HOUR + 1);
    expectProblem(
      await verifyMfa(service.api(), await preAuthOf(service.api(), person), 'totp', nextCode(service, person)),
      'account-locked',
    );
    tokensOf(await verifyMfa(service.api(), await preAuthOf(service.api(), person), 'recovery_code', person.recoveryCodes[0] ?? ''));
    await signInWithTotp(service, person);
  });

  it('[V6.1.1] never lock the password', async () => {
    const person = await personWithTotp(service);
    const wrong = wrongCode(service, person.secret);
    const answers = [];
    for (let failures = 0; failures < 12; failures++) {
      answers.push(await verifyMfa(service.api(), await preAuthOf(service.api(), person), 'totp', wrong));
    }
    expect(tally(answers)).toEqual({ 'invalid-code': 10, 'account-locked': 2 });
    expect((await tryLogin(service.api(), person)).body.status).toBe('mfa_required');
  });

  it('are forgotten with a right one', async () => {
    const person = await personWithTotp(service);
    for (let round = 0; round < 3; round++) {
      const preAuth = await preAuthOf(service.api(), person);
      for (let failures = 0; failures < 4; failures++) {
        expectProblem(await verifyMfa(service.api(), preAuth, 'recovery_code', 'wrong'), 'invalid-code');
      }
      tokensOf(await verifyMfa(service.api(), preAuth, 'totp', nextCode(service, person)));
    }
  });

  it('[V2.4.1] are limited by address', async () => {
    const strict = await startService({ settings: { RATE_LIMIT_MFA: '3/minute' }, database: service.database, clock: service.clock });
    try {
      const api = strict.api({ ip: '192.0.2.77' });
      const answers = [];
      for (let tries = 0; tries < 4; tries++) answers.push(await verifyMfa(api, 'x'.repeat(43), 'totp', '000000'));
      expect(tally(answers)).toEqual({ 'invalid-token': 3, 'rate-limited': 1 });
      expect(Number(answers.at(-1)?.headers['retry-after'])).toBeGreaterThan(0);
    } finally {
      await strict.stop();
    }
  });
});

describe('where a second factor is required of everybody', () => {
  let strict: TestService;
  beforeAll(async () => {
    strict = await startService({ settings: { MFA_REQUIRED: 'true' } });
  });
  afterAll(() => strict.stop());

  it('[V6.3.3] a session without one can enrol one and see and end sessions, and nothing else', async () => {
    const person = await signedInPerson(strict);
    const change = { current_password: person.password, new_password: OTHER_PASSWORD };
    const refused = await strict.api().post('/api/auth/change-password', change, person.accessToken);
    expectProblem(refused, 'insufficient-user-authentication');
    expect(refused.headers['www-authenticate']).toContain('acr_values="aal2"');
    for (const path of ['me', 'sessions', 'mfa'])
      expect((await strict.api().get(`/api/auth/${path}`, person.accessToken)).status).toBe(200);
    await enrolTotp(strict, person);
    expect((await strict.api().post('/api/auth/change-password', change, person.accessToken)).status).toBe(200);
  });

  it('the last one cannot be removed', async () => {
    const person = await personWithTotp(strict);
    const refused = await strict.api().post('/api/auth/mfa/disable', undefined, person.accessToken);
    expectProblem(refused, 'conflict');
    const both = await enrolPasskey(strict, person);
    expect((await strict.api().post('/api/auth/mfa/disable', undefined, both.accessToken)).status).toBe(204);
    const last = await strict.api().delete(`/api/auth/webauthn/credentials/${both.passkeyId}`, both.accessToken);
    expectProblem(last, 'conflict');
  });

  it('of many removals at once one factor stays', async () => {
    const person = await enrolPasskey(strict, await personWithTotp(strict));
    const api = strict.api();
    const answers = await Promise.all([
      api.post('/api/auth/mfa/disable', undefined, person.accessToken),
      api.delete(`/api/auth/webauthn/credentials/${person.passkeyId}`, person.accessToken),
    ]);
    expect(tally(answers)).toEqual({ '204': 1, conflict: 1 });
  });
});

describe('a passkey as the second factor', () => {
  it('finishes a sign-in by password', async () => {
    const person = await enrolPasskey(service, await signedInPerson(service));
    const preAuthToken = await preAuthOf(service.api(), person);
    const credential = await assertionOf(service, person.authenticator, { preAuthToken });
    const body = { pre_auth_token: preAuthToken, method: 'webauthn', credential };
    const { accessToken } = tokensOf(await service.api().post('/api/auth/verify-mfa', body));
    expect(decodeJwt(accessToken)).toMatchObject({ acr: 'aal2', amr: ['pwd', 'pop', 'mfa'] });
  });
});
