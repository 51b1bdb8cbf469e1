import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, expectProblem, tally } from '#tests/support/api.ts';
import { codeOf } from '#tests/support/openapi-check.ts';
import { signedInPerson, signIn, tokensOf, verifiedPerson } from '#tests/support/people.ts';
import {
  assertionOf,
  enrolPasskey,
  enrolPhone,
  enrolTotp,
  nextCode,
  personWithTotp,
  signInWithTotp,
  smsCode,
  wrongCode,
} from '#tests/support/second-factors.ts';
import { startService, type TestService } from '#tests/support/service.ts';
import { totpCode } from '#tests/support/totp.ts';

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

const TOO_OLD = 601;
const reauthenticate = (token: string, body: object) => service.api().post('/api/auth/reauthenticate', body, token);
const newCodes = (token: string) => service.api().post('/api/auth/mfa/recovery-codes', undefined, token);

function expectChallenge(answer: Answer, asked: string): void {
  expectProblem(answer, 'insufficient-user-authentication');
  expect(answer.headers['www-authenticate']).toMatch(/^Bearer error="insufficient_user_authentication", error_description="[^"]+"/);
  expect(answer.headers['www-authenticate']).toContain(asked);
}

describe('a sensitive route', () => {
  it('[V7.5.1] asks for a recent sign-in, as RFC 9470 says it', async () => {
    const person = await personWithTotp(service);
    service.clock.advance(TOO_OLD - 1);
    expect((await newCodes(person.accessToken)).status).toBe(200);
    service.clock.advance(1);
    expectChallenge(await newCodes(person.accessToken), 'max_age="600"');
  });

  it('[V7.5.1] every one of them does: enrolments, removals, another address, the export, the end of the account, administration', async () => {
    const person = await enrolPasskey(service, await enrolPhone(service, await personWithTotp(service)));
    await service.sql`update accounts set roles = '{user,admin}' where id = ${person.id}`;
    service.clock.advance(TOO_OLD);
    const routes = service.routes.filter(({ access }) => access !== 'public' && access.stepUp);
    expect(routes.map(({ method, path }) => `${method} ${path}`).sort()).toEqual([
      'DELETE /api/admin/ip-blocks/{id}',
      'DELETE /api/admin/users/{id}',
      'DELETE /api/admin/users/{id}/sessions',
      'DELETE /api/auth/me',
      'DELETE /api/auth/webauthn/credentials/{id}',
      'GET /api/auth/me/export',
      'PATCH /api/admin/users/{id}',
      'POST /api/admin/ip-blocks',
      'POST /api/admin/users/{id}/unlock',
      'POST /api/auth/change-email',
      'POST /api/auth/mfa/disable',
      'POST /api/auth/mfa/recovery-codes',
      'POST /api/auth/mfa/setup',
      'POST /api/auth/webauthn/register/options',
      'POST /api/sms-mfa/disable',
      'POST /api/sms-mfa/setup',
      'PUT /api/admin/users/{id}/roles',
    ]);
    for (const { method, path } of routes) {
      const answer = await service.api().request(method, path.replace('{id}', person.passkeyId), { token: person.accessToken });
      expect(`${method} ${path} ${codeOf(answer.body)}`).toBe(`${method} ${path} insufficient-user-authentication`);
    }
  });

  it('[V6.3.4] of an account with a second factor is closed to a session that has only the password', async () => {
    const person = await signedInPerson(service);
    const old = await signIn(service.api(), person); // from before the enrolment
    await enrolTotp(service, person);
    for (const path of [
      '/api/auth/mfa/disable',
      '/api/auth/mfa/recovery-codes',
      '/api/auth/mfa/setup',
      '/api/auth/webauthn/register/options',
    ]) {
      expectChallenge(await service.api().post(path, undefined, old.accessToken), 'acr_values="aal2"');
    }
    expect((await reauthenticate(old.accessToken, { password: person.password })).status).toBe(200);
    expectChallenge(await newCodes(old.accessToken), 'acr_values="aal2"'); // the password again is not a second factor
  });

  it('is open again after proving a factor', async () => {
    const person = await personWithTotp(service);
    service.clock.advance(TOO_OLD);
    expectChallenge(await newCodes(person.accessToken), 'max_age');
    const renewed = await reauthenticate(person.accessToken, { method: 'totp', code: nextCode(service, person) });
    expect(renewed.status, renewed.text).toBe(200);
    expect((await newCodes(person.accessToken)).status).toBe(200);
  });
});

describe('proving a factor again', () => {
  it('by password renews auth_time, and the access token says so', async () => {
    const person = await signIn(service.api(), await verifiedPerson(service));
    service.clock.advance(120);
    const { status, body } = await reauthenticate(person.accessToken, { password: person.password });
    expect(status).toBe(200);
    expect(body).toMatchObject({ status: 'authenticated', token_type: 'Bearer', session_id: person.sessionId, acr: 'aal1' });
    const now = service.clock.now().getTime() / 1000;
    expect(decodeJwt(body.access_token)).toMatchObject({ auth_time: Math.floor(now), sid: person.sessionId, acr: 'aal1', amr: ['pwd'] });
  });

  it('by a second factor raises a session that had only the password', async () => {
    const person = await signedInPerson(service);
    const old = await signIn(service.api(), person);
    const { secret } = await enrolTotp(service, person);
    const { body } = await reauthenticate(old.accessToken, { method: 'totp', code: nextCode(service, { secret }) });
    expect(body.acr).toBe('aal2');
    expect(decodeJwt(body.access_token)).toMatchObject({ acr: 'aal2', amr: ['pwd', 'otp', 'mfa'] });
    expect((await newCodes(old.accessToken)).status).toBe(200);
  });

  it('works by SMS, passkey and recovery code too', async () => {
    const person = await enrolPasskey(service, await enrolPhone(service, await personWithTotp(service), '+1 415 555 2690'));
    const token = person.accessToken;
    expect((await service.api().post('/api/sms-mfa/send-code', undefined, token)).status).toBe(202);
    const code = await smsCode(service, '+14155552690');
    const credential = await assertionOf(service, person.authenticator, { token });
    const recovery = (await newCodes(token)).body.recovery_codes[0];
    for (const given of [
      { method: 'sms', code },
      { method: 'webauthn', credential },
      { method: 'recovery_code', code: recovery },
    ]) {
      const answer = await reauthenticate(token, given);
      expect(answer.status, answer.text).toBe(200);
    }
  });

  it('[V6.5.1] uses the code up', async () => {
    const person = await personWithTotp(service);
    const code = nextCode(service, person);
    const answers = await Promise.all(Array.from({ length: 50 }, () => reauthenticate(person.accessToken, { method: 'totp', code })));
    expect(tally(answers)['200']).toBe(1);
  });

  it('[V6.3.1] counts what is wrong: passwords by their lane, codes by the account', async () => {
    const person = await signedInPerson(service);
    for (let failures = 0; failures < 5; failures++) {
      expectProblem(await reauthenticate(person.accessToken, { password: 'not this one' }), 'invalid-credentials');
    }
    expectProblem(await reauthenticate(person.accessToken, { password: person.password }), 'account-locked');

    const other = await personWithTotp(service);
    const wrong = wrongCode(service, other.secret);
    for (let failures = 0; failures < 10; failures++) {
      expectProblem(await reauthenticate(other.accessToken, { method: 'totp', code: wrong }), 'invalid-code');
    }
    expectProblem(await reauthenticate(other.accessToken, { method: 'totp', code: nextCode(service, other) }), 'account-locked');
    expect((await reauthenticate(other.accessToken, { password: other.password })).status).toBe(200);
  });

  it("[V8.2.2] takes nobody else's factor", async () => {
    const [ada, eve] = [
      await enrolPasskey(service, await personWithTotp(service)),
      await enrolPasskey(service, await personWithTotp(service)),
    ];
    expectProblem(await reauthenticate(ada.accessToken, { method: 'totp', code: nextCode(service, eve) }), 'invalid-code');
    const credential = await assertionOf(service, eve.authenticator, { token: eve.accessToken });
    expectProblem(await reauthenticate(ada.accessToken, { method: 'webauthn', credential }), 'invalid-code');
  });

  it('[V6.7.2] takes no challenge that another session asked for', async () => {
    const person = await enrolPasskey(service, await personWithTotp(service));
    const other = await signInWithTotp(service, person);
    const credential = await assertionOf(service, person.authenticator, { token: other.accessToken });
    expectProblem(await reauthenticate(person.accessToken, { method: 'webauthn', credential }), 'invalid-code');
  });

  it('needs a living session', async () => {
    const person = await signedInPerson(service);
    await service.api().post('/api/auth/logout', undefined, person.accessToken);
    expectProblem(await reauthenticate(person.accessToken, { password: person.password }), 'unauthenticated');
  });

  it.each([
    ['nothing', {}],
    ['two ways at once', { password: 'x', method: 'totp', code: '123456' }],
    ['a method without its code', { method: 'totp' }],
    ['a password with a code', { password: 'x', code: '123456' }],
  ])('refuses %s as a bad request', async (_, body) => {
    expectProblem(await reauthenticate((await signedInPerson(service)).accessToken, body), 'invalid-request');
  });
});

describe('what is old or weak', () => {
  it('[V7.5.1] cannot begin an enrolment: a stolen session adds no factor of its own', async () => {
    const person = await signedInPerson(service);
    service.clock.advance(TOO_OLD);
    const { accessToken } = tokensOf(await service.api().post('/api/auth/refresh', { refresh_token: person.refreshToken }));
    expectChallenge(await service.api().post('/api/auth/mfa/setup', undefined, accessToken), 'max_age');
  });

  it('[V6.3.4] an enrolment does not pass for an authentication', async () => {
    const person = await signedInPerson(service);
    const { secret } = (await service.api().post('/api/auth/mfa/setup', undefined, person.accessToken)).body;
    service.clock.advance(599);
    const answer = await service.api().post('/api/auth/mfa/activate', { code: totpCode(secret, service.clock.now()) }, person.accessToken);
    expect(answer.status).toBe(200);
    service.clock.advance(2);
    expectChallenge(await newCodes(person.accessToken), 'max_age');
  });
});
