import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { type Answer, expectProblem } from '#tests/support/api.ts';
import { browsingPerson } from '#tests/support/cookie-client.ts';
import { OTHER_PASSWORD, signedInPerson, tokensOf, tryLogin, verifiedPerson } from '#tests/support/people.ts';
import { type Replicas, startReplicas } from '#tests/support/replicas.ts';
import {
  assertionOf,
  authenticatorOf,
  enrolPasskey,
  enrolPhone,
  nextCode,
  PHONE,
  PHONE_E164,
  personWithTotp,
  preAuthOf,
  smsCode,
  verifyMfa,
  wrongCode,
} from '#tests/support/second-factors.ts';
import type { TestService } from '#tests/support/service.ts';

/**
 * Every flow of more than one step, with each step at the other replica than the one before: what a process kept to itself would be
 * missed. And what must happen once only, asked of both at the same time.
 */

let replicas: Replicas;
let service: TestService;
let a: TestService;
let b: TestService;
beforeAll(async () => {
  replicas = await startReplicas();
  service = replicas.balanced;
  [a, b] = replicas.both;
});
afterAll(() => replicas.stop());

const statuses = (answers: readonly Answer[]) => answers.map(({ status }) => status).toSorted();
const atBoth = (ask: (replica: TestService) => Promise<Answer>) => Promise.all(replicas.both.map(ask));
const me = (token: string) => atBoth((replica) => replica.api().get('/api/auth/me', token));

describe('two replicas behind a balancer', () => {
  it('do the main job step by step: register, verify, sign in, refresh, sign out, and what ended has ended at both', async () => {
    const person = await signedInPerson(service);
    let tokens: { accessToken: string; refreshToken: string } = person;
    for (let round = 0; round < 5; round += 1) {
      tokens = tokensOf(await service.api().post('/api/auth/refresh', { refresh_token: tokens.refreshToken }));
      for (const answer of await me(tokens.accessToken)) expect(answer).toMatchObject({ status: 200, body: { id: person.id } });
    }
    expect((await service.api().post('/api/auth/logout', undefined, tokens.accessToken)).status).toBe(204);
    for (const answer of await me(tokens.accessToken)) expectProblem(answer, 'unauthenticated');
    const again = await atBoth((replica) => replica.api().post('/api/auth/refresh', { refresh_token: tokens.refreshToken }));
    for (const answer of again) expectProblem(answer, 'invalid-refresh-token');
  });

  it('know a password that was changed and a session that was ended at the other one', async () => {
    const person = await signedInPerson(service);
    expect(statuses(await me(person.accessToken))).toEqual([200, 200]); // both have verified this very token before
    const next = { current_password: person.password, new_password: OTHER_PASSWORD };
    const { accessToken } = tokensOf(await a.api().post('/api/auth/change-password', next, person.accessToken));
    expect(statuses(await me(accessToken))).toEqual([200, 200]);
    expectProblem(await tryLogin(b.api(), person), 'invalid-credentials');
    const other = tokensOf(await tryLogin(b.api(), { ...person, password: OTHER_PASSWORD }));
    expect(statuses(await me(other.accessToken))).toEqual([200, 200]);
    expect((await a.api().delete(`/api/auth/sessions/${other.sessionId}`, accessToken)).status).toBe(204);
    for (const answer of await me(other.accessToken)) expectProblem(answer, 'unauthenticated');
  });

  it('take each half of a sign-in with an app, and count wrong codes and used ones together', async () => {
    const person = await personWithTotp(service);
    const ticket = await preAuthOf(a.api(), person);
    const code = nextCode(service, person);
    tokensOf(await verifyMfa(b.api(), ticket, 'totp', code));
    expectProblem(await verifyMfa(b.api(), await preAuthOf(a.api(), person), 'totp', code), 'invalid-code'); // used at the other one
    const tried = await preAuthOf(service.api(), person);
    for (let count = 0; count < 5; count += 1)
      expectProblem(await verifyMfa(service.api(), tried, 'totp', wrongCode(service, person.secret)), 'invalid-code');
    expect((await verifyMfa(service.api(), tried, 'totp', nextCode(service, person))).status).not.toBe(200);
  });

  it('take each half of a ceremony with a passkey, and of a code by SMS', async () => {
    const person = await enrolPasskey(service, await signedInPerson(service), authenticatorOf(service));
    const credential = await assertionOf(a, person.authenticator);
    tokensOf(await b.api().post('/api/auth/webauthn/authenticate/verify', { credential }));
    expect((await a.api().post('/api/auth/webauthn/authenticate/verify', { credential })).status).not.toBe(200);
    const withPhone = await enrolPhone(service, await signedInPerson(service), PHONE);
    const ticket = await preAuthOf(a.api(), withPhone);
    expect((await b.api().post('/api/sms-mfa/send-code', { pre_auth_token: ticket })).status).toBe(202);
    tokensOf(await verifyMfa(a.api(), ticket, 'sms', await smsCode(service, PHONE_E164)));
  });

  it('take the cookie and the CSRF token that the other one gave, and a step-up that was made there', async () => {
    const { browser, password } = await browsingPerson(service);
    for (let round = 0; round < 2; round += 1) expect((await browser.post('/api/auth/token')).status).toBe(200);
    service.clock.advance(service.config.STEP_UP_MAX_AGE_SECONDS + 1);
    const exported = () => browser.get('/api/auth/me/export');
    for (let round = 0; round < 2; round += 1) expectProblem(await exported(), 'insufficient-user-authentication');
    expect((await browser.post('/api/auth/reauthenticate', { password })).status).toBe(200);
    for (let round = 0; round < 2; round += 1) expect((await exported()).status).toBe(200);
  });

  it('[V6.3.1] count failures together: a lock that the tries of both made holds at both', async () => {
    const person = await verifiedPerson(service);
    const most = service.config.MAX_LOGIN_ATTEMPTS;
    const wrong = await Promise.all(
      Array.from({ length: 4 * most }, () => tryLogin(service.api(), { ...person, password: 'not this one' })),
    );
    expect(wrong.filter(({ status }) => status === 401).length).toBeLessThanOrEqual(most);
    for (const answer of await atBoth((replica) => tryLogin(replica.api(), person))) expectProblem(answer, 'account-locked');
  });
});

describe('what must happen once, asked of both replicas at the same time,', () => {
  it('happens once: a link that is opened, a code that is used, a name that is taken', async () => {
    const person = await verifiedPerson(service);
    await service.api().post('/api/auth/forgot-password', { email: person.email });
    const token = await service.mail.token(person.email, 'reset-password');
    const reset = await atBoth((replica) => replica.api().post('/api/auth/reset-password', { token, new_password: OTHER_PASSWORD }));
    expect(statuses(reset)).toEqual([204, 400]);

    const withApp = await personWithTotp(service);
    const tickets = await Promise.all([preAuthOf(a.api(), withApp), preAuthOf(b.api(), withApp)]);
    const code = nextCode(service, withApp);
    const used = await Promise.all(tickets.map((ticket, index) => verifyMfa(replicas.both[index as 0 | 1].api(), ticket, 'totp', code)));
    expect(statuses(used)).toEqual([200, 401]);

    const two = await Promise.all([signedInPerson(service), signedInPerson(service)]);
    const username = `taken${Date.now()}`;
    const named = await Promise.all(
      two.map(({ accessToken }, index) => replicas.both[index as 0 | 1].api().patch('/api/auth/me', { username }, accessToken)),
    );
    expect(statuses(named)).toEqual([200, 409]);
  });

  it('or has one outcome: a refresh token shown to both yields the same successor, an older one ends the session at both', async () => {
    const person = await signedInPerson(service);
    const refresh = (token: string) => atBoth((replica) => replica.api().post('/api/auth/refresh', { refresh_token: token }));
    const [one, other] = (await refresh(person.refreshToken)).map(tokensOf);
    expect(one?.refreshToken).toBe(other?.refreshToken);
    const [next] = (await refresh(one?.refreshToken ?? '')).map(tokensOf);
    expectProblem(await b.api().post('/api/auth/refresh', { refresh_token: person.refreshToken }), 'refresh-token-reused');
    for (const answer of await me(next?.accessToken ?? '')) expectProblem(answer, 'unauthenticated');
  });
});

describe.runIf(inject('redisUrl') !== null)('the limits of two replicas', () => {
  it('[V2.4.1] are shared: of many at both, as many get through as one bucket holds', async () => {
    const limited = await startReplicas({ RATE_LIMIT_REGISTER: '6/hour' });
    try {
      const registering = Array.from({ length: 30 }, (_, index) =>
        limited.balanced
          .api({ ip: '192.0.2.77' })
          .post('/api/auth/register', { email: `limit${index}@example.com`, password: OTHER_PASSWORD }),
      );
      const answers = await Promise.all(registering);
      expect(answers.filter(({ status }) => status === 201)).toHaveLength(6);
      expect(answers.filter(({ status }) => status === 429)).toHaveLength(24);
    } finally {
      await limited.stop();
    }
  });
});
