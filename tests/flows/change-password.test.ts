import { afterAll, describe, expect, it } from 'vitest';
import { expectProblem, tally } from '#tests/support/api.ts';
import { MINUTE } from '#tests/support/clock.ts';
import { OTHER_PASSWORD, PASSWORD, type SignedIn, signedInPerson, signIn, tokensOf, tryLogin } from '#tests/support/people.ts';
import { startService } from '#tests/support/service.ts';

const service = await startService();
const { clock, sql, mail } = service;
const api = service.api();
afterAll(service.stop);

const change = ({ accessToken }: Pick<SignedIn, 'accessToken'>, current = PASSWORD, next = OTHER_PASSWORD) =>
  api.post('/api/auth/change-password', { current_password: current, new_password: next }, accessToken);

describe('changing the password', () => {
  it('[V6.2.2] works for a signed-in user: from then on the new one signs in and the old one does not', async () => {
    const person = await signedInPerson(service);
    expect(await change(person)).toMatchObject({ status: 200 });
    expectProblem(await tryLogin(api, person), 'invalid-credentials');
    await signIn(api, { ...person, password: OTHER_PASSWORD });
  });

  it('[V7.4.3] ends the other sessions, and gives this one new tokens while its old refresh token dies', async () => {
    const person = await signedInPerson(service);
    const other = await signIn(api, person);
    const renewed = tokensOf(await change(person));
    expect(renewed.sessionId).toBe(person.sessionId);
    expectProblem(await api.get('/api/auth/me', other.accessToken), 'unauthenticated');
    expectProblem(await api.post('/api/auth/refresh', { refresh_token: other.refreshToken }), 'invalid-refresh-token');
    expectProblem(await api.post('/api/auth/refresh', { refresh_token: person.refreshToken }), 'invalid-refresh-token');
    const next = tokensOf(await api.post('/api/auth/refresh', { refresh_token: renewed.refreshToken }));
    expect(await api.get('/api/auth/me', next.accessToken)).toMatchObject({ status: 200 });
  });

  it('[V6.3.7] is told by mail and audited', async () => {
    const person = await signedInPerson(service);
    await change(person);
    expect((await mail.to(person.email))[0]?.subject).toContain('was changed');
    const events = await sql`select session_id from audit_events where type = 'PASSWORD_CHANGED' and account_id = ${person.id}`;
    expect(events).toMatchObject([{ session_id: person.sessionId }]);
  });

  it('[V6.2.3] asks for the current password', async () => {
    const person = await signedInPerson(service);
    expectProblem(await api.post('/api/auth/change-password', { new_password: OTHER_PASSWORD }, person.accessToken), 'invalid-request');
    expectProblem(await change(person, 'wrong horse battery'), 'invalid-credentials');
    await signIn(api, person);
  });

  it('counts wrong current passwords and locks: a borrowed session cannot guess on, the right one included', async () => {
    const person = await signedInPerson(service);
    for (let time = 0; time < 5; time++) expectProblem(await change(person, 'wrong horse battery'), 'invalid-credentials');
    const locked = await change(person);
    expectProblem(locked, 'account-locked');
    expect(locked.headers['retry-after']).toBe(String(30 * MINUTE));
    expect(await sql`select 1 from audit_events where type = 'PASSWORD_CHANGE_FAILED' and account_id = ${person.id}`).toHaveLength(5);
    clock.advance(30 * MINUTE);
    const again = await signIn(api, person);
    expect(await change(again)).toMatchObject({ status: 200 });
  });

  it('holds the new password against the policy', async () => {
    const person = await signedInPerson(service);
    for (const weak of ['short', 'password1', `${person.username}1`, person.email]) {
      const answer = await change(person, PASSWORD, weak);
      expectProblem(answer, 'password-policy');
      expect(answer.body.errors[0]?.pointer).toBe('/new_password');
    }
  });

  it('kills a reset link that is on its way', async () => {
    const person = await signedInPerson(service);
    await api.post('/api/auth/forgot-password', { email: person.email });
    const token = await mail.token(person.email, 'reset-password');
    await change(person);
    expectProblem(await api.post('/api/auth/reset-password', { token, new_password: 'some other long phrase' }), 'invalid-token');
  });

  it('works for exactly one of ten at once', async () => {
    const person = await signedInPerson(service);
    const answers = await Promise.all(Array.from({ length: 10 }, (_, index) => change(person, PASSWORD, `${OTHER_PASSWORD} ${index}`)));
    expect(tally(answers)['200']).toBe(1);
    expect(await api.get('/api/auth/me', person.accessToken)).toMatchObject({ status: 200 });
  });

  it('needs a session', async () => {
    expectProblem(await api.post('/api/auth/change-password', { current_password: 'x', new_password: 'y' }), 'unauthenticated');
  });
});
