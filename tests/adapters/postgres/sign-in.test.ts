import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { after } from '#domain/lifetimes.ts';
import type { LockoutPolicy, ThrottleKey } from '#domain/lockout.ts';
import { openedForTests } from './opened.ts';
import { account, auditTally, beginning, event, fifty, lane, session, sighting, tally, username } from './records.ts';

const here = openedForTests();
const at = new Date();
const later = (seconds: number) => after(at, seconds);
const POLICY: LockoutPolicy = { maxAttempts: 5, lockSeconds: 1800 };

const fail = (key: ThrottleKey, when: Date, policy = POLICY) => here.store.hot.countFailure(key, policy, event('LOGIN_FAILED', when));
const lockOf = (key: ThrottleKey, when: Date) => here.store.read((records) => records.accounts.findLock(key, when));

/** What is known of a device where there is no account. */
const NOBODYS = { by: 'new', hasOthers: false };

describe('looking an account up for a sign-in', () => {
  it('finds it by address and by name, in canonical form, with the lock of the lane', async () => {
    const name = username();
    const known = await account(here.sql, at, { username: name });
    const key = lane();
    for (const [kind, canonical] of [
      ['email', known.email.canonical],
      ['username', name.canonical],
    ] as const) {
      const found = await here.store.hot.findForSignIn({ kind, canonical }, key, sighting(), at);
      expect(found).toMatchObject({ account: { id: known.id, passwordHash: known.passwordHash }, lockedUntil: null });
    }
    for (let i = 0; i < 5; i++) await fail(key, at);
    const look = (canonical: string) => here.store.hot.findForSignIn({ kind: 'email', canonical }, key, sighting(), later(1));
    expect((await look(known.email.canonical)).lockedUntil).toEqual(later(1800));
    expect(await look('nobody@example.com')).toEqual({ account: null, lockedUntil: later(1800), secondFactors: [], device: NOBODYS });
  });

  it('[V1.2.4] takes any text for a name that nobody has, and nothing else', async () => {
    await account(here.sql, at);
    for (const text of ["' or 1=1 --", '%', '_%', '\\', '";drop table accounts;--', '$1', 'İ', '🔑'])
      expect(await here.store.hot.findForSignIn({ kind: 'username', canonical: text }, lane(), sighting(), at)).toEqual({
        account: null,
        lockedUntil: null,
        secondFactors: [],
        device: NOBODYS,
      });
  });
});

describe('counting failures', () => {
  it('[V6.3.1] locks with the fifth of fifty at once, exactly once', async () => {
    const key = lane();
    const locks = await fifty(() => fail(key, at));
    expect(locks.filter((lock) => lock === null)).toHaveLength(4);
    expect(new Set(locks.filter((lock) => lock !== null).map(Number))).toEqual(new Set([Number(later(1800))]));
    expect(await auditTally(here.sql)).toEqual({ LOGIN_FAILED: 50, ACCOUNT_LOCKED: 1 });
    expect(await here.sql`select risk, details from audit_events where type = 'ACCOUNT_LOCKED'`).toEqual([
      { risk: 50, details: { lock_seconds: 1800 } },
    ]);
  });

  it('[V6.1.1] counts for one network only: a stranger locks nobody out', async () => {
    const key = lane('192.0.2.0');
    for (let i = 0; i < 5; i++) await fail(key, at);
    expect(await lockOf(key, later(1))).toEqual(later(1800));
    expect(await lockOf({ ...key, network: '198.51.100.0' }, later(1))).toBeNull();
  });

  it('does what the model of one lane does, for any times', async () => {
    const policy = { maxAttempts: 3, lockSeconds: 60 };
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom(0, 1, 30, 59, 60, 61, 200), { maxLength: 15 }), async (waits) => {
        const key = lane();
        let seconds = 0;
        let lane_ = { failures: 0, lastAt: 0, lockedUntil: 0 };
        for (const wait of waits) {
          seconds += wait;
          if (lane_.lockedUntil <= seconds) {
            const isForgotten = lane_.lockedUntil > 0 || lane_.lastAt <= seconds - 60;
            const failures = isForgotten ? 1 : lane_.failures + 1;
            lane_ = { failures, lastAt: seconds, lockedUntil: failures >= 3 ? seconds + 60 : 0 };
          }
          expect(await fail(key, later(seconds), policy)).toEqual(lane_.lockedUntil > 0 ? later(lane_.lockedUntil) : null);
        }
      }),
      { numRuns: 40 },
    );
  });

  it('forgets the failures of an identifier from every network at once', async () => {
    const key = lane('192.0.2.0');
    const elsewhere = { ...key, network: '198.51.100.0' };
    for (const each of [key, elsewhere, lane()]) for (let i = 0; i < 5; i++) await fail(each, at);
    await here.store.transaction((tx) => tx.accounts.clearFailures([key.identifierHash]));
    expect([await lockOf(key, later(1)), await lockOf(elsewhere, later(1))]).toEqual([null, null]);
    expect(await here.sql`select from login_throttles`).toHaveLength(1);
  });
});

describe('opening a session', () => {
  const open = (of: { id: string; passwordHash: string }, key: ThrottleKey, rehashed: string | null = null) =>
    here.store.hot.openSession({
      accountId: of.id,
      begun: beginning(session(of.id, at), at),
      key,
      seenPasswordHash: of.passwordHash,
      rehashed,
      event: event('LOGIN_SUCCEEDED', at, { accountId: of.id, risk: 0 }),
    });

  it('stores it, forgets the failures of its lane and records the event', async () => {
    const [known, key, other] = [await account(here.sql, at), lane(), lane()];
    await fail(key, at);
    await fail(other, at);
    expect(await open(known, key)).toBe('opened');
    expect(await here.sql`select identifier_hash from login_throttles`).toEqual([{ identifier_hash: other.identifierHash }]);
    expect(await auditTally(here.sql)).toEqual({ LOGIN_FAILED: 2, LOGIN_SUCCEEDED: 1 });
  });

  it('refuses while the lane is locked, and writes nothing', async () => {
    const [known, key] = [await account(here.sql, at), lane()];
    for (let i = 0; i < 5; i++) await fail(key, at);
    expect(await open(known, key)).toBe('locked');
    expect(await here.sql`select from sessions`).toHaveLength(0);
    expect(await auditTally(here.sql)).toEqual({ LOGIN_FAILED: 5, ACCOUNT_LOCKED: 1 });
    expect(await here.sql`select from login_throttles`).toHaveLength(1);
  });

  it('refuses when the password or the status changed since it was looked up', async () => {
    const known = await account(here.sql, at);
    expect(await open({ ...known, passwordHash: 'the hash of a while ago' }, lane())).toBe('changed');
    await here.sql`update accounts set status = 'suspended'`;
    expect(await open(known, lane())).toBe('changed');
    expect(await here.sql`select from sessions`).toHaveLength(0);
  });

  it('stores the same password under the parameters of today, and says so', async () => {
    const known = await account(here.sql, at);
    expect(await open(known, lane(), 'hashed anew')).toBe('opened');
    expect(await here.sql`select password_hash from accounts`).toEqual([{ password_hash: 'hashed anew' }]);
    expect(await auditTally(here.sql)).toEqual({ LOGIN_SUCCEEDED: 1, PASSWORD_REHASHED: 1 });
  });

  it('[V15.4.2] leaves no session behind when it meets a password reset', async () => {
    for (let round = 0; round < 10; round++) {
      const known = await account(here.sql, at);
      const reset = here.store.transaction(async (tx) => {
        await tx.accounts.setPassword(known.id, 'a new hash', at, { provesEmail: true });
        await tx.sessions.endAll(known.id, 'password-reset', at);
      });
      const outcomes = await Promise.all([...Array.from({ length: 8 }, () => open(known, lane())), reset.then(() => 'reset')]);
      expect(tally(outcomes)['reset']).toBe(1);
      expect(await here.store.read((records) => records.sessions.listLive(known.id, at, 10))).toEqual([]);
    }
  });
});
