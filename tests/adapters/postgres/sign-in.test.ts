import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PasswordTry } from '#application/ports/hot-paths.ts';
import { MOST_DEVICES } from '#domain/device.ts';
import { after } from '#domain/lifetimes.ts';
import { EVERYWHERE, type ThrottleKey } from '#domain/lockout.ts';
import { findForSignIn } from '#infrastructure/postgres/sign-in.ts';
import { uncount } from '#infrastructure/postgres/throttles.ts';
import { openedForTests } from './opened.ts';
import {
  account,
  auditTally,
  beginning,
  event,
  fifty,
  hash,
  LOCKOUT,
  lane,
  lanes,
  mail,
  session,
  sighting,
  tally,
  tried,
  username,
} from './records.ts';

const here = openedForTests();
const at = new Date();
const later = (seconds: number) => after(at, seconds);

/** One try in one lane. */
const attempt = (key: ThrottleKey, when: Date, policy = LOCKOUT) =>
  here.store.transaction((tx) => tx.throttles.tryPassword(key, policy, when));
const lockOf = (key: ThrottleKey, when: Date) => here.store.read((records) => records.accounts.findLock(key, when));
const isJudged = ({ lockedUntil, isWithheld }: PasswordTry) => lockedUntil === null && !isWithheld;

/** What is known of a device where there is no account. */
const NOBODYS = { by: 'new', hasOthers: false };

describe('looking an account up for a sign-in', () => {
  const look = async (asked: { kind: 'email' | 'username'; canonical: string }, from = lanes(), when = at, device = sighting()) =>
    await here.store.hot.findForSignIn(asked, from, LOCKOUT, device, when);
  const judgedOf = async (times: number, ...asked: Parameters<typeof look>) => {
    let judged = 0;
    for (let time = 0; time < times; time++) judged += isJudged((await look(...asked)).tried) ? 1 : 0;
    return judged;
  };

  it('finds it by address and by name, in canonical form, and counts the try', async () => {
    const name = username();
    const known = await account(here.sql, at, { username: name });
    for (const [kind, canonical] of [
      ['email', known.email.canonical],
      ['username', name.canonical],
    ] as const) {
      const found = await look({ kind, canonical });
      expect(found).toMatchObject({ account: { id: known.id, passwordHash: known.passwordHash }, tried: { lockedUntil: null } });
      expect(found.tried.lanes[0].failures).toBe(1);
    }
  });

  it('[V6.3.8] counts the same for somebody whom nobody knows', async () => {
    const known = await account(here.sql, at);
    const shape = ({ tried: { lanes: counted, lockedUntil, isWithheld } }: Awaited<ReturnType<typeof look>>) => ({
      counted: counted.map(({ network, failures, isLocking }) => ({ network, failures, isLocking })),
      lockedUntil,
      isWithheld,
    });
    const [mine, nobodys] = [lanes(), lanes()];
    for (let time = 0; time < 7; time++) {
      const seen = shape(await look({ kind: 'email', canonical: known.email.canonical }, mine));
      expect(shape(await look({ kind: 'email', canonical: 'nobody@example.com' }, nobodys))).toEqual(seen);
      expect(seen.lockedUntil).toEqual(time < 5 ? null : later(1800));
      expect(seen.counted).toHaveLength(time < 5 ? 3 : 1);
    }
    expect(await look({ kind: 'email', canonical: 'other@example.com' })).toMatchObject({
      account: null,
      secondFactors: [],
      device: NOBODYS,
    });
  });

  it('[V6.3.1] lets five of two hundred at once be judged', { timeout: 30_000 }, async () => {
    const known = await account(here.sql, at);
    const from = lanes();
    const asked = { kind: 'email', canonical: known.email.canonical } as const;
    const found = await Promise.all(Array.from({ length: 200 }, () => look(asked, from)));
    expect(found.filter((each) => isJudged(each.tried))).toHaveLength(5);
    expect(found.filter((each) => each.tried.lanes[0].isLocking)).toHaveLength(1);
  });

  it('[V6.3.1] counts the names of one account together, and does not show that they are one account’s', async () => {
    const name = username();
    const known = await account(here.sql, at, { username: name });
    const [byEmail, byName] = [lanes(), lanes()];
    expect(await judgedOf(3, { kind: 'email', canonical: known.email.canonical }, byEmail)).toBe(3);
    expect(await judgedOf(5, { kind: 'username', canonical: name.canonical }, byName)).toBe(2);
    const { tried: withheld } = await look({ kind: 'email', canonical: known.email.canonical }, byEmail);
    expect(withheld).toMatchObject({ lockedUntil: null, isWithheld: true });
  });

  it('[V6.1.1] counts what comes from everywhere, but not a stranger who is locked out already', async () => {
    const known = await account(here.sql, at);
    const asked = { kind: 'email', canonical: known.email.canonical } as const;
    const identifierHash = hash();
    const from = (network: string) => ({ ...lanes(network), identifierHash });
    expect(await judgedOf(200, asked, from('one'))).toBe(5);
    let judged = 5;
    for (let network = 0; network < 40; network++) judged += await judgedOf(5, asked, from(`network ${network}`));
    expect(judged).toBe(EVERYWHERE.policy.maxAttempts);
    expect((await look(asked, from('another'))).tried).toMatchObject({ lockedUntil: null, isWithheld: true });
  });

  it('counts as wrong what was found to be wrong: an office that signs in at nine, all at once, is no botnet', async () => {
    const device = sighting();
    const from = (name: string) => look({ kind: 'email', canonical: `${name}@example.com` }, lanes(device.network), at, device);
    const office = await Promise.all(Array.from({ length: 25 }, (_, index) => from(`desk${index}`)));
    expect((await from('latecomer')).signals.accountsFromNetwork).toBe(0);
    for (const { tried: counted } of office.slice(0, 20))
      await here.store.hot.recordFailure([event('LOGIN_FAILED', at)], null, counted.lanes[1]);
    expect((await from('next')).signals.accountsFromNetwork).toBe(20);
  });

  it('[V6.1.1] gives a device that shows its cookie a lane of its own, which no stranger locks and which locks', async () => {
    const known = await account(here.sql, at);
    const asked = { kind: 'email', canonical: known.email.canonical } as const;
    const [from, tokenHash] = [lanes(), hash()];
    await here.store.transaction((tx) =>
      tx.devices.note(known.id, { ...sighting(), id: crypto.randomUUID(), tokenHash, replaces: null, isConfirmed: false }, at),
    );
    const own = { ...sighting(), tokenHash };
    expect(await judgedOf(9, asked, from)).toBe(5);
    expect(await judgedOf(9, asked, from, at, own)).toBe(5);
    expect((await look(asked, from, at, own)).tried.lockedUntil).toEqual(later(1800));
    // Of another account it is no known device.
    const other = await account(here.sql, at);
    expect((await look({ kind: 'email', canonical: other.email.canonical }, from, at, own)).tried.lockedUntil).toEqual(later(1800));
  });

  it('[V1.2.4] takes any text for a name that nobody has, and nothing else', async () => {
    await account(here.sql, at);
    for (const text of ["' or 1=1 --", '%', '_%', '\\', '";drop table accounts;--', '$1', 'İ', '🔑'])
      expect(await look({ kind: 'username', canonical: text })).toMatchObject({ account: null, secondFactors: [], device: NOBODYS });
  });
});

describe('counting tries', () => {
  it('[V6.3.1] judges five of fifty at once, exactly', async () => {
    const key = lane();
    const tries = await fifty(() => attempt(key, at));
    expect(tries.filter(isJudged)).toHaveLength(5);
    expect(tries.filter(({ lanes: [own] }) => own.isLocking)).toHaveLength(1);
    expect(new Set(tries.filter((each) => !isJudged(each)).map(({ lockedUntil }) => Number(lockedUntil)))).toEqual(
      new Set([Number(later(1800))]),
    );
  });

  it('[V6.1.1] counts for one network only: a stranger locks nobody out', async () => {
    const key = lane('192.0.2.0');
    for (let i = 0; i < 5; i++) await attempt(key, at);
    expect(await lockOf(key, later(1))).toEqual(later(1800));
    expect(await lockOf({ ...key, network: '198.51.100.0' }, later(1))).toBeNull();
  });

  it('does what the model of one lane does, for any times', async () => {
    const policy = { maxAttempts: 3, lockSeconds: 60 };
    const DAY = 86_400;
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom(0, 1, 30, 59, 60, 61, 200, 500, DAY, 2 * DAY), { maxLength: 25 }), async (waits) => {
        const key = lane();
        let seconds = 0;
        let model = { failures: 0, lastAt: -1, lockedUntil: 0, locks: 0 };
        for (const wait of waits) {
          seconds += wait;
          const isRefused = model.lockedUntil > seconds;
          if (!isRefused) {
            const endedAt = model.lockedUntil || model.lastAt;
            const before = model.lastAt >= 0 && endedAt <= seconds - DAY ? 0 : model.locks;
            const isForgotten = model.lastAt < 0 || model.lockedUntil > 0 || model.lastAt <= seconds - 60;
            const failures = isForgotten ? 1 : model.failures + 1;
            const locks = failures >= 3;
            const lockedUntil = locks ? seconds + Math.min(DAY, 60 * 2 ** before) : 0;
            model = { failures, lastAt: seconds, lockedUntil, locks: before + (locks ? 1 : 0) };
          }
          const got = await attempt(key, later(seconds), policy);
          expect(got.lockedUntil).toEqual(isRefused ? later(model.lockedUntil) : null);
          expect(await lockOf(key, later(seconds))).toEqual(model.lockedUntil > seconds ? later(model.lockedUntil) : null);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('takes back what was not wrong: the count is as before, and so is the lock', async () => {
    const key = lane();
    for (let time = 0; time < 4; time++) await attempt(key, at);
    for (let time = 0; time < 3; time++) {
      const last = await attempt(key, at);
      expect(last.lanes[0].isLocking).toBe(true);
      await attempt(key, at);
      await here.store.transaction((tx) => tx.throttles.takeBack(last));
    }
    expect(await here.sql`select failures, locked_until, locks from login_throttles`).toEqual([
      { failures: 4, locked_until: null, locks: 0 },
    ]);
  });

  describe('a try whose answer was lost, taken back late,', () => {
    const of = (from = lanes()) => ({
      find: async (id: string, when: Date) =>
        (await findForSignIn(here.sql, id, { kind: 'email', canonical: 'x' }, from, LOCKOUT, sighting(), when)).tried.lanes,
      own: async () =>
        (await here.sql`select failures, locked_until, locks from login_throttles where identifier_hash = ${from.identifierHash}`)[0],
    });
    const ids = () => Array.from({ length: 4 }, () => randomUUID());

    it('takes the lock along that it helped to fill', async () => {
      const [{ find, own }, lost] = [of(), ids()];
      for (const id of [...lost, randomUUID()]) await find(id, at);
      expect(await own()).toMatchObject({ failures: 5, locks: 1 });
      for (const id of lost) await uncount(here.sql, await find(id, at), LOCKOUT, id);
      expect(await own()).toEqual({ failures: 1, locked_until: null, locks: 0 });
    });

    it('erases none that were judged after it was forgotten', async () => {
      const [{ find, own }, lost] = [of(), ids()];
      const forgotten = later(LOCKOUT.lockSeconds + 1);
      for (const id of lost) await find(id, at);
      for (const id of ids()) await find(id, forgotten);
      for (const id of lost) await uncount(here.sql, await find(id, at), LOCKOUT, id);
      expect(await own()).toMatchObject({ failures: 4 });
      expect((await find(randomUUID(), forgotten))[0]).toMatchObject({ isLocking: true });
    });
  });

  it('forgets the failures of an identifier from every network at once', async () => {
    const key = lane('192.0.2.0');
    const elsewhere = { ...key, network: '198.51.100.0' };
    for (const each of [key, elsewhere, lane()]) for (let i = 0; i < 5; i++) await attempt(each, at);
    await here.store.transaction((tx) => tx.accounts.clearFailures([key.identifierHash]));
    expect([await lockOf(key, later(1)), await lockOf(elsewhere, later(1))]).toEqual([null, null]);
    expect(await here.sql`select from login_throttles`).toHaveLength(1);
  });
});

describe('recording a failure', () => {
  it('tells the owner once, of fifty locks at once, and again after a day; nobody where there is no owner', async () => {
    const known = await account(here.sql, at);
    const laneHash = hash();
    const tell = (accountId: string | null, when: Date) =>
      here.store.hot.recordFailure([event('LOGIN_FAILED', when), event('ACCOUNT_LOCKED', when)], { accountId, laneHash, mail: mail(when) });
    const told = () => here.sql`select recipient from outbox`;
    await fifty(() => tell(known.id, at));
    expect(await told()).toEqual([{ recipient: known.email.given }]);
    await tell(known.id, later(86_400));
    expect(await told()).toHaveLength(2);
    await tell(null, later(2 * 86_400));
    expect(await told()).toHaveLength(2);
    expect(await auditTally(here.sql)).toEqual({ LOGIN_FAILED: 52, ACCOUNT_LOCKED: 52 });
  });
});

describe('opening a session', () => {
  const open = (of: { id: string; passwordHash: string }, given = tried(), rehashed: string | null = null) =>
    here.store.hot.openSession({
      accountId: of.id,
      begun: beginning(session(of.id, at), at),
      tried: given,
      seenPasswordHash: of.passwordHash,
      rehashed,
      event: event('LOGIN_SUCCEEDED', at, { accountId: of.id, risk: 0 }),
    });

  it('stores it, forgets the failures of its lanes and records the event', async () => {
    const [known, other] = [await account(here.sql, at), lane()];
    await attempt(other, at);
    const from = lanes();
    const look = () => here.store.hot.findForSignIn({ kind: 'email', canonical: known.email.canonical }, from, LOCKOUT, sighting(), at);
    await look();
    expect(await open(known, (await look()).tried)).toBe('opened');
    expect(await here.sql`select network, failures from login_throttles order by network`).toEqual([
      { network: other.network, failures: 1 },
      { network: EVERYWHERE.network, failures: 1 },
    ]);
    expect(await auditTally(here.sql)).toEqual({ LOGIN_SUCCEEDED: 1 });
  });

  it('refuses when the password or the status changed since it was looked up', async () => {
    const known = await account(here.sql, at);
    expect(await open({ ...known, passwordHash: 'the hash of a while ago' })).toBe('changed');
    await here.sql`update accounts set status = 'suspended'`;
    expect(await open(known)).toBe('changed');
    expect(await here.sql`select from sessions`).toHaveLength(0);
  });

  it('stores the same password under the parameters of today, and says so', async () => {
    const known = await account(here.sql, at);
    expect(await open(known, tried(), 'hashed anew')).toBe('opened');
    expect(await here.sql`select password_hash from accounts`).toEqual([{ password_hash: 'hashed anew' }]);
    expect(await auditTally(here.sql)).toEqual({ LOGIN_SUCCEEDED: 1, PASSWORD_REHASHED: 1 });
  });

  it('gives the new cookie of a browser to the accounts last seen there, and not to thousands', async () => {
    const shown = hash();
    const owners = await Promise.all(Array.from({ length: MOST_DEVICES + 3 }, () => account(here.sql, at)));
    for (const [age, { id }] of owners.entries())
      await here.sql`
        insert into devices (id, account_id, token_hash, kind, network, created_at, last_seen_at)
        values (${randomUUID()}, ${id}, ${shown}, 'a browser', 'a network', ${at}, ${later(-age)})`;
    const known = await account(here.sql, at);
    const device = { ...sighting(), id: randomUUID(), tokenHash: hash(), replaces: shown, isConfirmed: false };
    await here.store.hot.openSession({
      accountId: known.id,
      begun: beginning(session(known.id, at, { deviceId: device.id }), at, { device }),
      tried: tried(),
      seenPasswordHash: known.passwordHash,
      rehashed: null,
      event: event('LOGIN_SUCCEEDED', at),
    });
    const left = await here.sql<{ account_id: string }[]>`select account_id from devices where token_hash = ${shown}`;
    expect(left.map((row) => row.account_id).toSorted()).toEqual(
      owners
        .slice(MOST_DEVICES)
        .map(({ id }) => id)
        .toSorted(),
    );
    expect(await here.sql`select from devices where token_hash = ${device.tokenHash}`).toHaveLength(MOST_DEVICES + 1);
  });

  it('[V15.4.2] leaves no session behind when it meets a password reset', async () => {
    for (let round = 0; round < 10; round++) {
      const known = await account(here.sql, at);
      const reset = here.store.transaction(async (tx) => {
        await tx.accounts.setPassword(known.id, 'a new hash', at, { provesEmail: true });
        await tx.sessions.endAll(known.id, 'password-reset', at);
      });
      const outcomes = await Promise.all([...Array.from({ length: 8 }, () => open(known)), reset.then(() => 'reset')]);
      expect(tally(outcomes)['reset']).toBe(1);
      expect(await here.store.read((records) => records.sessions.listLive(known.id, at, 10))).toEqual([]);
    }
  });
});
