import { get } from 'node:http';
import { afterAll, describe, expect, it } from 'vitest';
import { holderOf } from '#tests/support/admins.ts';
import { expectProblem } from '#tests/support/api.ts';
import { newEmail, registeredPerson, tryLogin } from '#tests/support/people.ts';
import { startService } from '#tests/support/service.ts';

const service = await startService();
const { sql, clock } = service;
const api = service.api();
afterAll(service.stop);

const EVENTS = '/api/admin/audit-events';
const staff = await holderOf(service, 'staff');
const asked = async (query = '') => {
  const answer = await api.get(`${EVENTS}?${query}`, staff.accessToken);
  expect(answer.status, answer.text).toBe(200);
  return answer.body;
};
const lines = (query = '') =>
  api.request('GET', `${EVENTS}?${query}`, { token: staff.accessToken, headers: { accept: 'application/x-ndjson' } });

/** Many events at once, all of one type: a second apart, two at a time. */
async function fill(count: number, type: string): Promise<void> {
  await sql`insert into audit_events (id, occurred_at, type, account_id, ip, request_id, risk, details)
    select gen_random_uuid(), ${clock.now()}::timestamptz - (i / 2) * interval '1 second', ${type}, null, '192.0.2.77', 'x', i % 100,
      jsonb_build_object('padding', repeat('x', 200)) from generate_series(1, ${count}) i`;
}

describe('the audit trail', () => {
  it('is read page by page, the newest first, each event once, also those of one instant', async () => {
    await fill(9, 'PASSKEY_RENAMED');
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const page: { events: { id: string }[]; next_cursor: string | null } = await asked(
        `type=PASSKEY_RENAMED&limit=2${cursor === null ? '' : `&cursor=${cursor}`}`,
      );
      seen.push(...page.events.map(({ id }) => id));
      cursor = page.next_cursor;
    } while (cursor !== null);
    const all = await sql<{ id: string }[]>`select id from audit_events where type = 'PASSKEY_RENAMED' order by occurred_at desc, id desc`;
    expect(seen).toEqual(all.map(({ id }) => id));
  });

  it('is narrowed by type, user, address, risk and time', async () => {
    const person = await registeredPerson(service);
    const stranger = service.api({ ip: '203.0.113.77' });
    clock.advance(60);
    const from = clock.now().toISOString();
    await tryLogin(stranger, { ...person, password: 'wrong' });
    clock.advance(60);
    const to = clock.now().toISOString();
    await tryLogin(stranger, { email: newEmail(), password: 'wrong' });
    const types = async (query: string) => (await asked(query)).events.map(({ type }) => type);
    expect(await types(`user_id=${person.id}`)).toEqual(['LOGIN_FAILED', 'ACCOUNT_REGISTERED']);
    expect(await types(`user_id=${person.id}&min_risk=20`)).toEqual(['LOGIN_FAILED']);
    expect(await types(`user_id=${person.id}&min_risk=21`)).toEqual([]);
    expect(await types('ip=203.0.113.77')).toEqual(['LOGIN_FAILED', 'LOGIN_FAILED']);
    expect(await types(`ip=203.0.113.77&from=${from}&to=${to}`)).toEqual(['LOGIN_FAILED']);
    expect(await types(`ip=203.0.113.77&from=${to}`)).toEqual(['LOGIN_FAILED']);
    expect(await types(`ip=203.0.113.77&from=${encodeURIComponent(from.replace('Z', '+00:00'))}&type=LOGIN_SUCCEEDED`)).toEqual([]);
    const risks = (await asked('min_risk=50&limit=100')).events.map(({ risk }) => risk);
    expect(Math.min(...risks, 100)).toBeGreaterThanOrEqual(50);
  });

  it('keeps and finds an IPv4 address as one, however it came', async () => {
    for (const ip of ['::ffff:203.0.113.78', '::FFFF:203.0.113.78', '203.0.113.78']) {
      await tryLogin(service.api({ ip }), { email: newEmail(), password: 'wrong' });
    }
    for (const ip of ['203.0.113.78', '::ffff:203.0.113.78']) expect((await asked(`ip=${ip}`)).events).toHaveLength(3);
  });

  it.each([
    'type=GONE',
    'user_id=x',
    'ip=localhost',
    'min_risk=101',
    'from=yesterday',
    'from=0000-01-01T00:00:00Z',
    'to=9999-12-31T23:59:59-14:00',
    `cursor=${Buffer.from('[1,"0000-01-01T00:00:00Z","00000000-0000-7000-8000-000000000000"]').toString('base64url')}`,
    'to=2026-13-01T00:00:00Z',
    'cursor=x',
    `cursor=${Buffer.from('[1,"2026-01-01T00:00:00Z","x"]').toString('base64url')}`,
    'q=1',
  ])('refuses %s as a bad request', async (query) =>
    expectProblem(await api.get(`${EVENTS}?${query}`, staff.accessToken), 'invalid-request'),
  );

  it('[V8.2.1] is not for users and moderators', async () => {
    const moderator = await holderOf(service, 'moderator');
    expectProblem(await api.get(EVENTS, moderator.accessToken), 'forbidden');
    const answer = await api.request('GET', EVENTS, { token: moderator.accessToken, headers: { accept: 'application/x-ndjson' } });
    expectProblem(answer, 'forbidden');
  });
});

describe('all of the audit trail', () => {
  it('comes as lines, each event once, by the same filters', async () => {
    await fill(1201, 'PASSWORD_REHASHED');
    const answer = await lines('type=PASSWORD_REHASHED');
    expect(answer.headers['content-type']).toBe('application/x-ndjson');
    const ids = answer.text
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { id: string }).id);
    const all = await sql<
      { id: string }[]
    >`select id from audit_events where type = 'PASSWORD_REHASHED' order by occurred_at desc, id desc`;
    expect(ids).toEqual(all.map(({ id }) => id));
    expect((await lines('ip=198.51.100.1')).text).toBe('');
  });

  it('goes on from a cursor', async () => {
    const { events, next_cursor } = await asked('limit=3');
    const ids = (await lines(`cursor=${next_cursor}`)).text
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { id: string }).id);
    const [row] = await sql<{ n: number }[]>`select count(*)::int as n from audit_events`;
    expect(ids).toHaveLength((row?.n ?? 0) - 3 - 1); // the export itself is newer than the cursor
    for (const { id } of events) expect(ids).not.toContain(id);
  });

  it('[V16.3.3] is itself in the trail, with what was asked for', async () => {
    await lines('type=LOGOUT&min_risk=50');
    const [event] = (await asked('type=AUDIT_EXPORTED')).events;
    expect(event).toMatchObject({ user_id: staff.id, details: { filter: { type: 'LOGOUT', minRisk: '50' } } });
  });

  it('[V7.4.1] is cut when the session ends meanwhile', async () => {
    await fill(60_000, 'TOKEN_REFRESHED');
    const reader = await holderOf(service, 'staff');
    const url = `${service.origin}${EVENTS}?type=TOKEN_REFRESHED`;
    const headers = { authorization: `Bearer ${reader.accessToken}`, accept: 'application/x-ndjson' };
    const outcome = await new Promise<{ error: unknown; read: number }>((resolve, reject) => {
      let read = 0;
      get(url, { headers }, (answer) => {
        answer.once('data', () => {
          answer.pause();
          api.post('/api/auth/logout', undefined, reader.accessToken).then(() => answer.resume(), reject);
        });
        answer.on('data', (chunk: Buffer) => {
          read += chunk.length;
        });
        answer.on('error', (error) => resolve({ error, read })).on('end', () => resolve({ error: null, read }));
      }).on('error', reject);
    });
    expect(outcome.error).toBeInstanceOf(Error);
    expect(outcome.read).toBeLessThan(60_000 * 400);
  });
});
