import { randomUUID } from 'node:crypto';
import { afterAll, describe, expect, it } from 'vitest';
import { expectProblem } from '#tests/support/api.ts';
import { DAY, MINUTE } from '#tests/support/clock.ts';
import { PASSWORD, signedInPerson, signIn, tokensOf, verifiedPerson } from '#tests/support/people.ts';
import { startService } from '#tests/support/service.ts';

const service = await startService();
const { clock, sql } = service;
const api = service.api();
afterAll(service.stop);

const list = async (token: string) => (await api.get('/api/auth/sessions', token)).body.sessions;

describe('the sessions of an account', () => {
  it('[V7.5.2] are listed with device, address, times and strength, the last used first, without any secret', async () => {
    const person = await verifiedPerson(service);
    const phone = service.api({ ip: '198.51.100.7', userAgent: 'Phone/1.0\tbeta' });
    const login = { email: person.email, password: PASSWORD, device_name: 'My phone' };
    const old = tokensOf(await phone.post('/api/auth/login', login));
    clock.advance(MINUTE);
    const current = await signIn(api, person);
    const now = clock.now();
    expect(await list(current.accessToken)).toEqual([
      expect.objectContaining({
        id: current.sessionId,
        current: true,
        device: 'another program',
        ip: '127.0.0.1',
        created_at: now.toISOString(),
      }),
      {
        id: old.sessionId,
        current: false,
        transport: 'bearer',
        device: 'My phone',
        ip: '198.51.100.7',
        user_agent: 'Phone/1.0 beta',
        created_at: new Date(now.getTime() - 60_000).toISOString(),
        last_seen_at: new Date(now.getTime() - 60_000).toISOString(),
        expires_at: new Date(now.getTime() - 60_000 + 7 * DAY * 1000).toISOString(),
        acr: 'aal1',
      },
    ]);
    clock.advance(MINUTE);
    await phone.post('/api/auth/refresh', { refresh_token: old.refreshToken });
    expect((await list(current.accessToken)).map(({ id }) => id)).toEqual([old.sessionId, current.sessionId]);
  });

  it('are those of the caller alone, and only while they live', async () => {
    const person = await signedInPerson(service);
    await signedInPerson(service);
    clock.advance(6 * DAY);
    const later = await signIn(api, person);
    clock.advance(DAY);
    const now = await signIn(api, person);
    expect((await list(now.accessToken)).map(({ id }) => id)).toEqual([now.sessionId, later.sessionId]);
  });
});

describe('ending sessions', () => {
  it('[V7.5.2] ends one of them at once', async () => {
    const person = await signedInPerson(service);
    const other = await signIn(api, person);
    expect(await api.delete(`/api/auth/sessions/${other.sessionId}`, person.accessToken)).toMatchObject({ status: 204 });
    expectProblem(await api.get('/api/auth/me', other.accessToken), 'unauthenticated');
    expectProblem(await api.post('/api/auth/refresh', { refresh_token: other.refreshToken }), 'invalid-refresh-token');
    expect(await api.get('/api/auth/me', person.accessToken)).toMatchObject({ status: 200 });
    const events = await sql`select details from audit_events where type = 'SESSION_ENDED' and session_id = ${other.sessionId}`;
    expect(events).toMatchObject([{ details: { by: person.sessionId } }]);
  });

  it('ends the one that asks, too', async () => {
    const { accessToken, sessionId } = await signedInPerson(service);
    expect(await api.delete(`/api/auth/sessions/${sessionId}`, accessToken)).toMatchObject({ status: 204 });
    expectProblem(await api.get('/api/auth/me', accessToken), 'unauthenticated');
  });

  it("answers 404 for another account's, an ended and an unknown one alike, and touches none", async () => {
    const [person, stranger] = [await signedInPerson(service), await signedInPerson(service)];
    const ended = await signIn(api, person);
    await api.post('/api/auth/logout', undefined, ended.accessToken);
    for (const id of [stranger.sessionId, ended.sessionId, randomUUID()]) {
      expectProblem(await api.delete(`/api/auth/sessions/${id}`, person.accessToken), 'not-found');
    }
    expect(await api.get('/api/auth/me', stranger.accessToken)).toMatchObject({ status: 200 });
  });

  it('refuses an id that is none', async () => {
    const { accessToken } = await signedInPerson(service);
    for (const id of ['1', 'current', "'%20or%201=1", '%00', 'f'.repeat(100)]) {
      expectProblem(await api.delete(`/api/auth/sessions/${id}`, accessToken), 'invalid-request');
    }
  });

  it('[V7.4.3] ends all the others', async () => {
    const person = await signedInPerson(service);
    const others = [await signIn(api, person), await signIn(api, person)];
    const stranger = await signedInPerson(service);
    expect(await api.delete('/api/auth/sessions', person.accessToken)).toMatchObject({ status: 204 });
    for (const { accessToken } of others) expectProblem(await api.get('/api/auth/me', accessToken), 'unauthenticated');
    for (const { accessToken } of [person, stranger]) expect(await api.get('/api/auth/me', accessToken)).toMatchObject({ status: 200 });
    expect(await list(person.accessToken)).toHaveLength(1);
    const events = await sql`select details from audit_events where type = 'OTHER_SESSIONS_ENDED' and account_id = ${person.id}`;
    expect(events).toMatchObject([{ details: { ended: 2 } }]);
  });
});
