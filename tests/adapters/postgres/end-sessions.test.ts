import { describe, expect, it } from 'vitest';
import { after, MOST_MARKED } from '#domain/lifetimes.ts';
import { openDatabase } from '#infrastructure/postgres/database.ts';
import { postgresStore } from '#infrastructure/postgres/store.ts';
import { until } from '#tests/support/until.ts';
import { openedForTests } from './opened.ts';
import { account, type Bearer, DAY, openedSession, session, use } from './records.ts';

const here = openedForTests();
const at = new Date();
const later = (seconds: number) => after(at, seconds);
const MANY = 50_000;

/** So many sessions of a script that never signs out, each a second newer; the last is returned. */
async function openMany(accountId: string, count: number): Promise<Bearer> {
  const end = later(30 * DAY);
  await here.sql`
    insert into sessions (id, account_id, transport, ip, amr, acr, auth_time, created_at, last_seen_at, idle_end_at, absolute_end_at,
      refresh_secret_hash)
    select md5(${accountId}::text || i)::uuid, ${accountId}, 'bearer', '192.0.2.1', '{pwd}', 'aal1', ${at},
      ${at}::timestamptz - (${count} - i) * interval '1 second', ${at}, ${end}, ${end}, sha256(('secret' || i)::bytea)
    from generate_series(1, ${count}::int) i`;
  const [last] = await here.sql<{ id: string; refresh_secret_hash: Buffer }[]>`
    select id, refresh_secret_hash from sessions where id = md5(${accountId}::text || ${count}::int)::uuid`;
  return session(accountId, at, { id: last?.id ?? '', refreshSecretHash: last?.refresh_secret_hash ?? Buffer.of() });
}

/** How the rows of an account are marked, as `{ 'password-reset': 5000, null: 45000 }`. */
async function marks(accountId: string): Promise<Record<string, number>> {
  const rows = await here.sql<{ reason: string; n: number }[]>`
    select coalesce(revoked_reason, 'null') as reason, count(*)::int as n from sessions
    where account_id = ${accountId} and (revoked_at is null) = (revoked_reason is null) group by 1`;
  return Object.fromEntries(rows.map(({ reason, n }) => [reason, n]));
}

/** How many of its sessions any reader would take for live. */
async function countLive(accountId: string): Promise<number> {
  return (await here.store.read((records) => records.sessions.listLive(accountId, at, MANY * 2))).length;
}

const oneLeft = async (accountId: string) => {
  const [row] = await here.sql<{ id: string; secretHash: Buffer }[]>`
    select id, refresh_secret_hash as "secretHash" from sessions where account_id = ${accountId} and revoked_at is null
      and security_stamp < (select security_stamp from accounts where id = ${accountId}) limit 1`;
  return session(accountId, at, { id: row?.id ?? '', refreshSecretHash: row?.secretHash ?? Buffer.of() });
};

describe('an account with more sessions than can be marked', () => {
  it('[V7.4.3] loses them all at once, but for the one to keep, and each time some are marked', async () => {
    const owner = await account(here.sql, at);
    const kept = await openedSession(here.store.hot, owner, at);
    const newest = await openMany(owner.id, MANY);
    const end = () => here.store.transaction((tx) => tx.sessions.endAll(owner.id, 'password-reset', at, kept.id));

    expect(await end()).toBe(MOST_MARKED);
    expect(await marks(owner.id)).toEqual({ 'password-reset': MOST_MARKED, null: MANY - MOST_MARKED + 1 });
    expect(await countLive(owner.id)).toBe(1);
    expect(await here.store.hot.authenticate(kept.id, at)).toMatchObject({ endedBecause: null });
    expect(await here.store.hot.authenticate(newest.id, at)).toEqual({ endedBecause: 'password-reset' });
    const left = await oneLeft(owner.id);
    expect(await here.store.hot.authenticate(left.id, at)).toEqual({ endedBecause: 'outdated' });
    expect(await here.store.hot.rotate(use(left, 0, at))).toBeNull();

    expect(await end()).toBe(0); // none lived any more
    expect(await marks(owner.id)).toEqual({
      'password-reset': MOST_MARKED,
      outdated: MOST_MARKED,
      null: MANY - 2 * MOST_MARKED + 1,
    });
    expect(await here.store.hot.rotate(use(kept, 0, at))).toMatchObject({ outcome: 'rotated' });
  });

  it('[V7.1.2] holds to the most it may have with the next sign-in, and keeps the newest', async () => {
    const owner = await account(here.sql, at);
    const newest = await openMany(owner.id, MANY);
    const endBeyond = () => here.store.transaction((tx) => tx.sessions.endBeyond(owner.id, 3, at));
    const list = async () => (await here.store.read((records) => records.sessions.listLive(owner.id, at, 10))).map(({ id }) => id);

    expect(await endBeyond()).toBe(MOST_MARKED);
    expect(await marks(owner.id)).toEqual({ superseded: MOST_MARKED, null: MANY - MOST_MARKED });
    const three = await list();
    expect(three).toHaveLength(3);
    expect(three).toContain(newest.id);
    const left = await oneLeft(owner.id);
    expect(await here.store.hot.rotate(use(left, 0, at))).toBeNull();
    expect(await here.store.hot.rotate(use(newest, 0, at))).toMatchObject({ outcome: 'rotated' });

    expect(await endBeyond()).toBe(0);
    expect(await marks(owner.id)).toEqual({ superseded: MOST_MARKED, outdated: MOST_MARKED, null: MANY - 2 * MOST_MARKED });
    expect((await list()).sort()).toEqual(three.sort());
  });

  it('[V7.1.2] counts those that a stamp has ended for none, though they be newer than those that live', async () => {
    const owner = await account(here.sql, at);
    const first = await openedSession(here.store.hot, owner, at, { createdAt: later(-2 * DAY) });
    await openMany(owner.id, 2 * MOST_MARKED + 10);
    await here.store.transaction((tx) => tx.sessions.endAll(owner.id, 'password-changed', at, first.id));
    const second = await openedSession(here.store.hot, owner, at, { createdAt: later(-DAY) });
    expect(await here.store.transaction((tx) => tx.sessions.endBeyond(owner.id, 1, at))).toBe(1);
    expect(await marks(owner.id)).toEqual({ 'password-changed': MOST_MARKED, superseded: 1, outdated: MOST_MARKED - 1, null: 12 });
    expect(await here.store.hot.authenticate(first.id, at)).toEqual({ endedBecause: 'superseded' });
    expect(await here.store.hot.authenticate(second.id, at)).toMatchObject({ endedBecause: null });
  });

  it('changes its stamp for sessions beyond the most only when it cannot mark them all', async () => {
    const owner = await account(here.sql, at);
    await openMany(owner.id, MOST_MARKED + 3);
    const stamp = async () => (await here.sql`select security_stamp from accounts`)[0]?.['security_stamp'];
    const endBeyond = (most: number) => here.store.transaction((tx) => tx.sessions.endBeyond(owner.id, most, at));
    expect(await endBeyond(3)).toBe(MOST_MARKED);
    expect(await stamp()).toBe(0);
    await here.sql`update sessions set revoked_at = null, revoked_reason = null`;
    expect(await endBeyond(2)).toBe(MOST_MARKED);
    expect([await stamp(), await countLive(owner.id)]).toEqual([1, 2]);
  });

  it('is erased whole', async () => {
    const owner = await account(here.sql, at);
    const other = await openedSession(here.store.hot, await account(here.sql, at), at);
    await openMany(owner.id, MANY);
    await here.store.transaction(async (tx) => {
      await tx.sessions.endAll(owner.id, 'account-deleted', at);
      await tx.accounts.erase(owner.id);
    });
    expect(await here.sql`select id from sessions`).toEqual([{ id: other.id }]);
  });
});

it.each(['before anybody counted the rows', 'when they are analyzed'])(
  'ending all sessions reads as few of very many as it marks, %s',
  async (when) => {
    const owner = await account(here.sql, at);
    const other = await account(here.sql, at);
    const own = openDatabase(here.address, { poolSize: 1, prepare: true });
    const store = postgresStore(own);
    const end = () => store.transaction((tx) => tx.sessions.endAll(owner.id, 'password-reset', at, other.id));
    await end(); // planned while the table is empty
    await openMany(owner.id, MANY);
    if (when === 'when they are analyzed') await here.sql`analyze sessions`;
    const read = async () => {
      const [row] = await here.sql<{ n: number }[]>`
        select (seq_tup_read + idx_tup_fetch)::int as n from pg_stat_user_tables where relname = 'sessions'`;
      return row?.n ?? 0;
    };
    const before = await read();
    for (let time = 0; time < 3; time++) await end();
    await own.close(); // a connection that ends hands in what it counted
    const grown = await until('the statistics tell of it', async () => {
      const n = (await read()) - before;
      return n >= 3 * MOST_MARKED && n;
    });
    expect(grown).toBeLessThan(3 * MOST_MARKED * 3);
  },
);
