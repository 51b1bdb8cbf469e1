import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { after } from '#domain/lifetimes.ts';
import type { Handle } from '#infrastructure/postgres/connect.ts';
import { openDatabase } from '#infrastructure/postgres/database.ts';
import { endAll } from '#infrastructure/postgres/end-sessions.ts';
import { postgresStore } from '#infrastructure/postgres/store.ts';
import { until } from '#tests/support/until.ts';
import { meeting, openedForTests } from './opened.ts';
import { account, auditTally, type Bearer, DAY, event, fifty, hash, openedSession, tally, use } from './records.ts';

const here = openedForTests();
const at = new Date();
const later = (seconds: number) => after(at, seconds);

async function freshSession(more: Partial<Bearer> = {}): Promise<Bearer> {
  return await openedSession(here.store.hot, await account(here.sql, at), at, more);
}
const rotate = (...args: Parameters<typeof use>) => here.store.hot.rotate(use(...args));

describe('rotating a refresh token', () => {
  it('moves the session on: counter, times, caller', async () => {
    const opened = await freshSession();
    const rotation = await rotate(opened, 0, later(60), { client: { ip: '2001:db8::1', userAgent: 'another' } });
    expect(rotation).toMatchObject({ outcome: 'rotated', counter: 1 });
    const { refreshSecretHash: _, proofs: __, ...wanted } = opened;
    expect(rotation?.session).toEqual({
      ...wanted,
      ip: '2001:db8::1',
      userAgent: 'another',
      lastSeenAt: later(60),
      idleEndAt: later(60 + DAY),
    });
    expect(rotation?.account).toMatchObject({ id: opened.accountId, status: 'active', roles: ['user'], passwordHash: null });
  });

  it('[V10.4.5] serves fifty at once with one token: one rotates, the others get the same successor', async () => {
    const opened = await freshSession();
    const rotations = await fifty(() => rotate(opened, 0, later(1)));
    expect(tally(rotations.map((rotation) => rotation?.outcome))).toEqual({ rotated: 1, retried: 49 });
    expect(new Set(rotations.map((rotation) => rotation?.counter))).toEqual(new Set([1]));
    expect(await auditTally(here.sql)).toEqual({ LOGIN_SUCCEEDED: 1, TOKEN_REFRESHED: 50 });
  });

  it('[V15.4.2] lets one of those that wait for each other rotate, and tells the others that they came second', async () => {
    const opened = await freshSession();
    const hold = (tx: Handle) => tx`select from sessions where id = ${opened.id} for update`;
    const rotations = await meeting(
      here,
      hold,
      Array.from({ length: 8 }, () => () => rotate(opened, 0, later(1))),
    );
    expect(tally(rotations.map((rotation) => rotation?.outcome))).toEqual({ rotated: 1, retried: 7 });
  });

  it('[V10.4.5] ends the session once when fifty come at once with an old token, with one event at risk 90 and one mail', async () => {
    const opened = await freshSession();
    await rotate(opened, 0, later(1));
    await rotate(opened, 1, later(2));
    const rotations = await fifty(() => rotate(opened, 0, later(3)));
    expect(tally(rotations.map((rotation) => rotation?.outcome))).toEqual({ reused: 1, undefined: 49 });
    expect(await here.sql`select revoked_at, revoked_reason from sessions`).toEqual([
      { revoked_at: later(3), revoked_reason: 'refresh-token-reused' },
    ]);
    expect(await here.sql`select risk, account_id from audit_events where type = 'REFRESH_TOKEN_REUSED'`).toEqual([
      { risk: 90, account_id: opened.accountId },
    ]);
    expect(await here.sql`select template, account_id from outbox`).toEqual([
      { template: 'refresh-token-reused', account_id: opened.accountId },
    ]);
    expect(await rotate(opened, 2, later(4))).toBeNull();
  });

  it('never extends the grace: its window begins when the token was replaced', async () => {
    const opened = await freshSession();
    await rotate(opened, 0, later(0));
    expect(await rotate(opened, 0, later(6))).toMatchObject({ outcome: 'retried', counter: 1 });
    expect(await rotate(opened, 0, later(9.999))).toMatchObject({ outcome: 'retried', counter: 1 });
    expect(await rotate(opened, 0, later(10))).toMatchObject({ outcome: 'reused' });
  });

  it('refuses a token that came before the rotation that made it old, and ends nothing: its client asked again and went on', async () => {
    const opened = await freshSession();
    await rotate(opened, 0, later(1));
    await rotate(opened, 1, later(3));
    expect(await rotate(opened, 0, later(2.999))).toBeNull();
    expect(await rotate(opened, 2, later(4))).toMatchObject({ outcome: 'rotated', counter: 3 });
    expect(await auditTally(here.sql)).toEqual({ LOGIN_SUCCEEDED: 1, TOKEN_REFRESHED: 3 });
    expect(await rotate(opened, 0, later(4))).toMatchObject({ outcome: 'reused' });
  });

  it('sees through a thief who rotates so fast that his last rotation always comes after the owner’s token', async () => {
    const opened = await freshSession();
    await rotate(opened, 0, later(1));
    await rotate(opened, 1, later(1.1));
    await rotate(opened, 2, later(1.2));
    expect(await rotate(opened, 0, later(1.05))).toMatchObject({ outcome: 'reused' });
  });

  it('is not taken in by a clock that is behind by more than the grace', async () => {
    const opened = await freshSession();
    await rotate(opened, 0, later(20));
    await rotate(opened, 1, later(30));
    expect(await rotate(opened, 0, later(20))).toMatchObject({ outcome: 'reused' });
  });

  it('knows no grace when there is none, not even for a caller whose clock is behind', async () => {
    const opened = await freshSession();
    await rotate(opened, 0, later(1), { graceSeconds: 0 });
    expect(await rotate(opened, 0, later(0.5), { graceSeconds: 0 })).toMatchObject({ outcome: 'reused' });
  });

  it("refuses another session's secret and a counter that was never given out, and leaves the session alone", async () => {
    const opened = await freshSession();
    expect(await rotate(opened, 0, at, { secretHash: hash() })).toBeNull();
    expect(await rotate(opened, 1, at)).toBeNull();
    expect(await rotate(opened, 0, at)).toMatchObject({ outcome: 'rotated', counter: 1 });
  });

  it('[V7.3.1] [V10.4.8] refuses after the idle end, and slides that end up to the absolute one', async () => {
    const opened = await freshSession({ idleEndAt: later(100), absoluteEndAt: later(150) });
    const slid = await rotate(opened, 0, later(99), { idleSeconds: 100 });
    expect(slid?.session.idleEndAt).toEqual(later(150));
    expect(await rotate(opened, 1, later(149), { idleSeconds: 100 })).toMatchObject({ outcome: 'rotated' });
    expect(await rotate(opened, 2, later(150), { idleSeconds: 100 })).toBeNull();
    const idle = await freshSession({ idleEndAt: later(100) });
    expect(await rotate(idle, 0, later(100))).toBeNull();
  });

  it('tells that the account is suspended and leaves the refusal to the caller', async () => {
    const opened = await freshSession();
    await here.sql`update accounts set status = 'suspended'`;
    expect(await rotate(opened, 0, at)).toMatchObject({ outcome: 'rotated', account: { status: 'suspended' } });
  });

  it('does what the model of one row does, for any order of tokens and times', async () => {
    const step = fc.record({ counter: fc.integer({ min: 0, max: 4 }), waitSeconds: fc.constantFrom(0, 1, 4, 9, 10, 11, 60, 100, 700) });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), fc.constantFrom(0, 10), async (steps, graceSeconds) => {
        const lifetime = { idleEndAt: later(100), absoluteEndAt: later(600) };
        const opened = await freshSession(lifetime);
        const row = { ...lifetime, counter: 0, rotatedAt: null as Date | null, isRevoked: false };
        let seconds = 0;
        for (const { counter, waitSeconds } of steps) {
          seconds += waitSeconds;
          const now = later(seconds);
          const expected = modelled(row, counter, now, graceSeconds);
          const rotation = await rotate(opened, counter, now, { graceSeconds, idleSeconds: 100 });
          expect([rotation?.outcome ?? null, rotation?.session.idleEndAt ?? null, rotation?.counter ?? null]).toEqual(
            expected === null ? [null, null, null] : [expected, row.idleEndAt, row.counter],
          );
        }
      }),
      { numRuns: 60 },
    );
  });

  it('rewrites its row in place: no index is touched (HOT)', async () => {
    const opened = await freshSession();
    const counts = async () => {
      const [row] = await here.sql<{ updated: number; hot: number }[]>`
        select n_tup_upd::int as updated, n_tup_hot_upd::int as hot from pg_stat_user_tables where relname = 'sessions'`;
      return row ?? { updated: 0, hot: 0 };
    };
    const before = await counts();
    const own = openDatabase(here.address, { poolSize: 1, prepare: true });
    const { hot: paths } = postgresStore(own);
    for (let counter = 0; counter < 200; counter++) await paths.rotate(use(opened, counter, later(counter)));
    await own.close(); // a connection that ends hands in what it counted
    const [updated, hot] = await until('the statistics tell of the rotations', async () => {
      const now = await counts();
      return now.updated - before.updated >= 200 && [now.updated - before.updated, now.hot - before.hot];
    });
    expect(Number(hot) / Number(updated)).toBeGreaterThan(0.95);
  });
});

describe('the session of an access token', () => {
  it('[V7.4.1] is found with its account while it lives, and not a moment longer', async () => {
    const opened = await freshSession({ idleEndAt: later(100), absoluteEndAt: later(200) });
    const found = await here.store.hot.authenticate(opened.id, later(99.999));
    const { refreshSecretHash: _, proofs: __, ...wanted } = opened;
    expect(found).toEqual({ endedBecause: null, session: wanted, account: expect.objectContaining({ id: opened.accountId }) });
    expect(await here.store.hot.authenticate(opened.id, later(100))).toEqual({ endedBecause: 'expired' });
    await here.store.transaction((tx) => tx.sessions.end(opened.accountId, opened.id, 'logout', later(1)));
    expect(await here.store.hot.authenticate(opened.id, later(2))).toMatchObject({ endedBecause: 'logout' });
  });
});

describe('ending sessions', () => {
  it('[V7.4.1] ends one, of its own account only, and says whether it lived', async () => {
    const opened = await freshSession();
    const end = (accountId: string) => here.store.transaction((tx) => tx.sessions.end(accountId, opened.id, 'ended-by-user', at));
    expect(await end((await account(here.sql, at)).id)).toBe(false);
    expect(await end(opened.accountId)).toBe(true);
    expect(await end(opened.accountId)).toBe(false);
  });

  it('ends all but one, and counts those that lived', async () => {
    const owner = await account(here.sql, at);
    const kept = await openedSession(here.store.hot, owner, at);
    await openedSession(here.store.hot, owner, at);
    await openedSession(here.store.hot, owner, at, { idleEndAt: later(5) });
    await freshSession(); // another's
    const end = (when: Date) => here.store.transaction((tx) => tx.sessions.endAll(owner.id, 'ended-by-user', when, kept.id));
    expect(await end(later(10))).toBe(1);
    expect(await end(later(10))).toBe(0);
    const live = await here.store.read((records) => records.sessions.listLive(owner.id, later(10), 10));
    expect(live.map(({ id }) => id)).toEqual([kept.id]);
    expect(await here.sql`select from sessions where revoked_at is null`).toHaveLength(2);
  });

  it('[V7.4.1] leaves nothing of one that its stamp alone has ended: no verb takes it for live, none brings it back', async () => {
    const owner = await account(here.sql, at);
    const dead = await openedSession(here.store.hot, owner, at);
    const cookieHash = hash();
    await here.sql`update sessions set cookie_hash = ${cookieHash} where id = ${dead.id}`;
    await here.sql`update accounts set security_stamp = security_stamp + 1`;
    const row = () => here.sql`select * from sessions`;
    const before = await row();
    const slide = { idleSeconds: DAY, touchSeconds: 60 };
    const client = { ip: '192.0.2.7', userAgent: null };
    const { hot } = here.store;
    expect(await hot.authenticate(dead.id, later(100))).toEqual({ endedBecause: 'outdated' });
    expect(await hot.authenticateByCookie(cookieHash, client, slide, later(100))).toEqual({ endedBecause: 'outdated' });
    expect(await rotate(dead, 0, later(100))).toBeNull();
    expect(await rotate(dead, -1, later(100))).toBeNull(); // nor for stolen
    await here.store.transaction(async ({ sessions, holdings }) => {
      expect(await sessions.findLive(dead.id, at)).toBeNull();
      expect(await sessions.listLive(owner.id, at, 10)).toEqual([]);
      expect(await sessions.endOf(dead.id, dead.refreshSecretHash)).toBe('outdated');
      expect(await holdings.sessions(owner.id, null, 10)).toMatchObject([{ id: dead.id, endedAt: null, endReason: 'outdated' }]);
      expect(await sessions.end(owner.id, dead.id, 'logout', at)).toBe(false);
      expect(await sessions.endBySecret(dead.id, dead.refreshSecretHash, 'logout', at)).toBeNull();
      expect(await sessions.renewSecret(dead.id, { refreshSecretHash: hash(), cookieHash: null }, later(DAY), at)).toBeNull();
      expect(await sessions.lockWithProofs({ id: dead.id, cookieHash }, at)).toBeNull();
      expect(await sessions.endAll(owner.id, 'ended-by-user', at, dead.id)).toBe(0);
    });
    expect(await row()).toEqual(before);
    expect(await hot.authenticate(dead.id, at)).toEqual({ endedBecause: 'outdated' });
  });

  it('[V15.4.2] keeps the one to keep whatever it does meanwhile: refresh, sign out, end the others twice', async () => {
    const meanwhile: Record<string, (kept: Bearer) => Promise<unknown>> = {
      refresh: async (kept) => (await rotate(kept, 0, later(1)))?.outcome,
      'sign out': (kept) => here.store.transaction((tx) => tx.sessions.end(kept.accountId, kept.id, 'logout', later(1))),
      'end the others': (kept) => here.store.transaction((tx) => tx.sessions.endAll(kept.accountId, 'ended-by-user', later(1), kept.id)),
    };
    const met: Record<string, unknown> = {};
    for (const [name, act] of Object.entries(meanwhile)) {
      const kept = await freshSession();
      [met[name]] = await meeting(here, (tx) => endAll(tx, kept.accountId, 'ended-by-user', at, kept.id), [() => act(kept)]);
      const isAlive = (await here.store.hot.authenticate(kept.id, later(2)))?.endedBecause === null;
      expect([name, isAlive]).toEqual([name, name !== 'sign out']);
    }
    expect(met).toEqual({ refresh: 'rotated', 'sign out': true, 'end the others': 0 });
  });

  it('by the secret of its refresh tokens, and of nobody else', async () => {
    const opened = await freshSession();
    const end = (secretHash: Buffer) => here.store.transaction((tx) => tx.sessions.endBySecret(opened.id, secretHash, 'logout', at));
    expect(await end(hash())).toBeNull();
    expect(await end(opened.refreshSecretHash)).toBe(opened.accountId);
    expect(await end(opened.refreshSecretHash)).toBeNull();
  });

  it('a new secret kills every refresh token given out before, without a word of theft', async () => {
    const opened = await freshSession();
    await rotate(opened, 0, at);
    const fresh = { ...opened, refreshSecretHash: hash() };
    const renewed = await here.store.transaction((tx) => tx.sessions.renewSecret(opened.id, fresh, later(DAY), later(5)));
    expect(renewed).toMatchObject({ id: opened.id, lastSeenAt: later(5), idleEndAt: later(DAY) });
    expect(await rotate(opened, 0, later(6))).toBeNull();
    expect(await rotate(opened, 1, later(6))).toBeNull();
    expect(await rotate(fresh, 0, later(6))).toMatchObject({ outcome: 'rotated', counter: 1 });
  });

  it('lists the last used first, at most so many', async () => {
    const owner = await account(here.sql, at);
    const opened = [];
    for (let i = 0; i < 4; i++) opened.push(await openedSession(here.store.hot, owner, at, { lastSeenAt: later(i) }));
    const live = await here.store.read((records) => records.sessions.listLive(owner.id, later(5), 3));
    expect(live.map(({ id }) => id)).toEqual(
      opened
        .reverse()
        .slice(0, 3)
        .map(({ id }) => id),
    );
  });
});

describe('what is written together', () => {
  it('[V2.3.3] is undone together when the work throws, and kept when it returns a refusal', async () => {
    const opened = await freshSession();
    const attempt = (refuse: () => string) =>
      here.store.transaction(async (tx) => {
        await tx.sessions.end(opened.accountId, opened.id, 'logout', at);
        await tx.audit.record(event('LOGOUT', at));
        return refuse();
      });
    await expect(
      attempt(() => {
        throw new Error('a mistake of ours');
      }),
    ).rejects.toThrow('a mistake of ours');
    expect(await here.store.hot.authenticate(opened.id, at)).not.toBeNull();
    expect(await auditTally(here.sql)).toEqual({ LOGIN_SUCCEEDED: 1 });
    expect(await attempt(() => 'refused')).toBe('refused');
    expect(await here.store.hot.authenticate(opened.id, at)).toMatchObject({ endedBecause: 'logout' });
    expect(await auditTally(here.sql)).toEqual({ LOGIN_SUCCEEDED: 1, LOGOUT: 1 });
  });
});

type Row = { counter: number; rotatedAt: Date | null; isRevoked: boolean; idleEndAt: Date; absoluteEndAt: Date };

/** One use with pen and paper (RFC 9700 4.14.2); changes the row as the statement should. */
function modelled(row: Row, counter: number, now: Date, graceSeconds: number): 'rotated' | 'retried' | 'reused' | null {
  if (row.isRevoked || row.idleEndAt <= now || row.absoluteEndAt <= now || counter > row.counter) return null;
  if (counter === row.counter) {
    const idle = after(now, 100);
    Object.assign(row, { counter: counter + 1, rotatedAt: now, idleEndAt: idle < row.absoluteEndAt ? idle : row.absoluteEndAt });
    return 'rotated';
  }
  const isInGrace = row.rotatedAt !== null && graceSeconds > 0 && now < after(row.rotatedAt, graceSeconds);
  if (counter === row.counter - 1 && isInGrace) return 'retried';
  row.isRevoked = true;
  return 'reused';
}
