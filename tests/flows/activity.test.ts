import { randomUUID } from 'node:crypto';
import { afterAll, describe, expect, it } from 'vitest';
import { ACTIVITY } from '#domain/activity.ts';
import { writeCursor } from '#http/cursor.ts';
import { type Api, expectProblem } from '#tests/support/api.ts';
import { MINUTE } from '#tests/support/clock.ts';
import { PASSWORD, signedInPerson, signIn, tokensOf, tryLogin, verifiedPerson } from '#tests/support/people.ts';
import { startService } from '#tests/support/service.ts';

const service = await startService();
const { clock, sql } = service;
const api = service.api();
afterAll(service.stop);

const page = async (token: string, query = '') => await api.get(`/api/auth/me/activity${query}`, token);

/** Every page, one after the other. */
async function all(token: string, limit: number, from: Api = api) {
  const ids: string[] = [];
  for (let cursor = ''; ; ) {
    const { body } = await from.get(`/api/auth/me/activity?limit=${limit}${cursor}`, token);
    ids.push(...body.events.map(({ id }) => id));
    if (body.next_cursor === null) return ids;
    expect(body.events).toHaveLength(limit);
    cursor = `&cursor=${body.next_cursor}`;
  }
}

/** Events at one and the same instant, as a flood would make them. */
async function flood(accountId: string, count: number, type = 'LOGIN_FAILED') {
  await sql`insert into audit_events (id, occurred_at, type, account_id, ip, request_id, risk, details)
    select gen_random_uuid(), ${clock.now()}, ${type}, ${accountId}, '192.0.2.1', 'r', 0, '{}' from generate_series(1, ${count})`;
}

describe('the activity of an account', () => {
  it('shows sign-ins, right and wrong, from where and with what, the newest first', async () => {
    const person = await verifiedPerson(service);
    clock.advance(MINUTE);
    const stranger = service.api({ ip: '198.51.100.7', userAgent: 'Phone/1.0\tbeta' });
    await tryLogin(stranger, { ...person, password: 'wrong horse battery' });
    clock.advance(MINUTE);
    const { accessToken, sessionId } = await signIn(api, person);
    const { body } = await page(accessToken);
    expect(body.next_cursor).toBeNull();
    expect(body.events.map(({ type }) => type)).toEqual(['LOGIN_SUCCEEDED', 'LOGIN_FAILED', 'EMAIL_VERIFIED', 'ACCOUNT_REGISTERED']);
    expect(body.events.slice(0, 2)).toEqual([
      {
        id: expect.any(String),
        type: 'LOGIN_SUCCEEDED',
        occurred_at: clock.now().toISOString(),
        ip: '127.0.0.1',
        user_agent: 'latchkey-tests',
        session_id: sessionId,
      },
      expect.objectContaining({ ip: '198.51.100.7', user_agent: 'Phone/1.0 beta', session_id: null }),
    ]);
  });

  it('leaves out what happened inside, and every type that nobody decided to show', async () => {
    const person = await signedInPerson(service);
    const renewed = tokensOf(await api.post('/api/auth/refresh', { refresh_token: person.refreshToken }));
    await flood(person.id, 3, 'A_TYPE_OF_TOMORROW');
    const types = (await page(renewed.accessToken)).body.events.map(({ type }) => type);
    expect(types).not.toContain('TOKEN_REFRESHED');
    expect(types.filter((type) => !ACTIVITY.some((shown) => shown === type))).toEqual([]);
  });

  it('comes in pages that hold every event once, though all of them happened at the same instant', async () => {
    const person = await signedInPerson(service);
    await flood(person.id, 45);
    const expected = await sql<{ id: string }[]>`
      select id from audit_events where account_id = ${person.id} order by occurred_at desc, id desc`;
    for (const limit of [1, 7, 16, 24, 48, 100]) expect(await all(person.accessToken, limit)).toEqual(expected.map(({ id }) => id));
  });

  it('goes on where it was, though more happens meanwhile', async () => {
    const person = await signedInPerson(service);
    await flood(person.id, 4);
    const first = (await page(person.accessToken, '?limit=3')).body;
    const before = await all(person.accessToken, 100);
    clock.advance(1);
    await flood(person.id, 5);
    const second = (await page(person.accessToken, `?limit=3&cursor=${first.next_cursor}`)).body;
    expect(second.events.map(({ id }) => id)).toEqual(before.slice(3, 6));
  });

  it('sends fifty unless asked for up to a hundred', async () => {
    const person = await signedInPerson(service);
    await flood(person.id, 120);
    expect((await page(person.accessToken)).body.events).toHaveLength(50);
    expect((await page(person.accessToken, '?limit=100')).body.events).toHaveLength(100);
    for (const limit of ['0', '101', '-1', '1.5', 'all', '1e9', '']) {
      expectProblem(await page(person.accessToken, `?limit=${limit}`), 'invalid-request');
    }
  });

  it('[V8.2.2] is nobody else’s: a position within the events of another leads to the own ones', async () => {
    const [person, other] = [await signedInPerson(service), await signedInPerson(service)];
    await flood(other.id, 9);
    await flood(person.id, 2);
    const foreign = (await page(other.accessToken, '?limit=5')).body.next_cursor;
    const { body } = await page(person.accessToken, `?limit=100&cursor=${foreign}`);
    const own = new Set((await sql`select id from audit_events where account_id = ${person.id}`).map(({ id }) => id));
    expect(body.events.filter(({ id }) => !own.has(id))).toEqual([]);
    expectProblem(await page(person.accessToken, `?user_id=${other.id}`), 'invalid-request');
    expectProblem(await page(person.accessToken, `?account_id=${other.id}`), 'invalid-request');
  });

  it.each([
    '',
    'null',
    'A'.repeat(31),
    'A'.repeat(33),
    `${'A'.repeat(31)}=`,
    '_'.repeat(32),
    `f${'_'.repeat(31)}`,
    "' or 1=1 --' or 1=1 --' or 1=1 -",
    randomUUID(),
  ])('refuses the cursor %j', async (cursor) => {
    const { accessToken } = await signedInPerson(service);
    expectProblem(await page(accessToken, `?cursor=${encodeURIComponent(cursor)}`), 'invalid-request');
  });

  it('ends at the position of the beginning of time', async () => {
    const { accessToken } = await signedInPerson(service);
    expect(
      (await page(accessToken, `?cursor=${writeCursor([new Date(0).toISOString(), '00000000-0000-7000-8000-000000000000'])}`)).body,
    ).toEqual({ events: [], next_cursor: null });
  });

  it('has the sign-in of a session that must still enrol its second factor', async () => {
    const strict = await startService({ settings: { MFA_REQUIRED: 'true' } });
    try {
      const person = await verifiedPerson(strict);
      const { accessToken } = tokensOf(await strict.api().post('/api/auth/login', { email: person.email, password: PASSWORD }));
      expect((await strict.api().get('/api/auth/me/activity', accessToken)).body.events[0]?.type).toBe('LOGIN_SUCCEEDED');
    } finally {
      await strict.stop();
    }
  });
});
