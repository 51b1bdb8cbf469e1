import { afterAll, describe, expect, it } from 'vitest';
import { expectProblem } from '#tests/support/api.ts';
import { DAY, MINUTE } from '#tests/support/clock.ts';
import { signedInPerson, signIn, tokensOf } from '#tests/support/people.ts';
import { startService } from '#tests/support/service.ts';

const service = await startService();
const { clock, sql } = service;
const api = service.api();
afterAll(service.stop);

describe('signing out', () => {
  it('[V7.4.1] with the access token ends the session at once: neither token works any more', async () => {
    const { accessToken, refreshToken } = await signedInPerson(service);
    expect(await api.post('/api/auth/logout', undefined, accessToken)).toMatchObject({ status: 204, text: '' });
    expectProblem(await api.get('/api/auth/me', accessToken), 'unauthenticated');
    expectProblem(await api.post('/api/auth/refresh', { refresh_token: refreshToken }), 'invalid-refresh-token');
  });

  it('[V7.4.1] with the refresh token does the same, and once more is fine', async () => {
    const { accessToken, refreshToken } = await signedInPerson(service);
    const logout = () => api.post('/api/auth/logout', { refresh_token: refreshToken });
    expect(await logout()).toMatchObject({ status: 204 });
    expectProblem(await api.get('/api/auth/me', accessToken), 'unauthenticated');
    expectProblem(await api.post('/api/auth/refresh', { refresh_token: refreshToken }), 'invalid-refresh-token');
    expect(await logout()).toMatchObject({ status: 204 });
  });

  it('works with a refresh token that was replaced already: a client that signs out means it', async () => {
    const { refreshToken } = await signedInPerson(service);
    const next = tokensOf(await api.post('/api/auth/refresh', { refresh_token: refreshToken }));
    expect(await api.post('/api/auth/logout', { refresh_token: refreshToken })).toMatchObject({ status: 204 });
    expectProblem(await api.post('/api/auth/refresh', { refresh_token: next.refreshToken }), 'invalid-refresh-token');
  });

  it('takes an empty object for a body too', async () => {
    const { accessToken } = await signedInPerson(service);
    expect(await api.post('/api/auth/logout', {}, accessToken)).toMatchObject({ status: 204 });
  });

  it('with the refresh token is not kept from it by an access token that has expired, or that nobody made', async () => {
    for (const other of [null, 'a.b.c']) {
      const { accessToken, refreshToken } = await signedInPerson(service);
      clock.advance(15 * MINUTE);
      expect(await api.post('/api/auth/logout', { refresh_token: refreshToken }, other ?? accessToken)).toMatchObject({ status: 204 });
      expectProblem(await api.post('/api/auth/refresh', { refresh_token: refreshToken }), 'invalid-refresh-token');
    }
  });

  it('with the access token is done, whatever stands beside it for a refresh token', async () => {
    const { accessToken } = await signedInPerson(service);
    expect(await api.post('/api/auth/logout', { refresh_token: 'lk_rt_x' }, accessToken)).toMatchObject({ status: 204 });
    expectProblem(await api.get('/api/auth/me', accessToken), 'unauthenticated');
  });

  it('takes no cookie back for a token that is none', async () => {
    const { accessToken } = await signedInPerson(service);
    clock.advance(15 * MINUTE);
    const headers = { cookie: '__Host-session=somebody', authorization: `Bearer ${accessToken}` };
    const answer = await api.request('POST', '/api/auth/logout', { headers });
    expectProblem(answer, 'unauthenticated');
    expect(answer.headers['set-cookie']).toBeUndefined();
  });

  it('ends this session only', async () => {
    const person = await signedInPerson(service);
    const other = await signIn(api, person);
    await api.post('/api/auth/logout', undefined, person.accessToken);
    expect(await api.get('/api/auth/me', other.accessToken)).toMatchObject({ status: 200 });
  });

  it('is audited once', async () => {
    const { accessToken, refreshToken, sessionId, id } = await signedInPerson(service);
    await api.post('/api/auth/logout', undefined, accessToken);
    await api.post('/api/auth/logout', { refresh_token: refreshToken });
    const events = await sql`select account_id from audit_events where type = 'LOGOUT' and session_id = ${sessionId}`;
    expect(events).toMatchObject([{ account_id: id }]);
  });

  it('is refused without a credential, with an expired one, and with one that nobody made', async () => {
    const nobody = await api.post('/api/auth/logout');
    expectProblem(nobody, 'unauthenticated');
    expect(nobody.headers['www-authenticate']).toBe('Bearer');
    const madeUp = await api.post('/api/auth/logout', {}, 'a.b.c');
    expectProblem(madeUp, 'unauthenticated');
    expect(madeUp.headers['www-authenticate']).toBe('Bearer error="invalid_token"'); // RFC 6750 3.1
    expectProblem(await api.post('/api/auth/logout', { refresh_token: 'lk_rt_x' }), 'invalid-refresh-token');
    const { accessToken } = await signedInPerson(service);
    clock.advance(15 * MINUTE);
    expectProblem(await api.post('/api/auth/logout', undefined, accessToken), 'unauthenticated');
  });

  it('with the refresh token of a session that has expired is fine: it is over', async () => {
    const { refreshToken } = await signedInPerson(service);
    clock.advance(8 * DAY);
    expect(await api.post('/api/auth/logout', { refresh_token: refreshToken })).toMatchObject({ status: 204 });
  });
});
