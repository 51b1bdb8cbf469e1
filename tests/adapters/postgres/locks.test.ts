import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { MOST_DEVICES } from '#domain/device.ts';
import { after } from '#domain/lifetimes.ts';
import { EVERYWHERE } from '#domain/lockout.ts';
import type { Handle } from '#infrastructure/postgres/connect.ts';
import { until } from '#tests/support/until.ts';
import { meeting, openedForTests } from './opened.ts';
import {
  account,
  beginning,
  email,
  event,
  HOUR,
  hash,
  LOCKOUT,
  lane,
  mail,
  openedSession,
  registration,
  session,
  sighting,
  tally,
  ticket,
  tried,
  use,
} from './records.ts';

const here = openedForTests();
const at = new Date();
const later = (seconds: number) => after(at, seconds);
const opened = (of: { id: string; passwordHash: string }) => openedSession(here.store.hot, of, at);

async function note({ id, accountId, lastSeenAt, tokenHash }: { id: string; accountId: string; lastSeenAt: Date; tokenHash?: Buffer }) {
  await here.sql`
    insert into devices (id, account_id, token_hash, kind, network, created_at, last_seen_at)
    values (${id}, ${accountId}, ${tokenHash ?? hash()}, 'another program', 'a network', ${at}, ${lastSeenAt})`;
}

const someoneWaits = () =>
  until('somebody waits for a lock', async () => {
    const waiting = await here.sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
    return waiting.length > 0;
  });

/** What comes of a verb that begins when somebody else holds the account to erase it, and goes on when it is gone. */
async function whileErased<T>(accountId: string, verb: () => Promise<T>, also: (tx: Handle) => PromiseLike<unknown> = async () => {}) {
  let outcome: Promise<T> | undefined;
  await here.sql.begin(async (tx) => {
    await tx`select from accounts where id = ${accountId} for update`;
    outcome = verb();
    outcome.catch(() => {}); // heard below
    await someoneWaits();
    await also(tx);
    await tx`delete from accounts where id = ${accountId}`;
  });
  return await outcome;
}

/** A session of a browser. */
function inJar(accountId: string, cookieHash: Buffer | undefined) {
  return { ...session(accountId, at), transport: 'cookie' as const, refreshSecretHash: null, cookieHash: cookieHash ?? hash() };
}

describe('verbs that meet on one account', () => {
  it('[V15.4.3] never wait for each other in a circle: two verification links opened at once', async () => {
    for (let round = 0; round < 10; round++) {
      const address = email();
      const asked = [0, 1, 2].map(() => registration(at, { email: address }));
      for (const one of asked) await here.store.hot.register(one);
      const verified = await Promise.all(
        asked.map((one) =>
          here.store.transaction(async (tx) => {
            const found = await tx.tickets.redeem('verify-email', one.ticket.secretHash, at);
            if (found === null) return 'refused';
            await tx.accounts.verifyEmail(found.accountId, found.pending, at);
            await tx.tickets.cancelAll(found.accountId, 'verify-email', at);
            return 'verified';
          }),
        ),
      );
      expect(tally(verified)).toEqual({ verified: 1, refused: 2 });
    }
  });

  it('[V15.4.3] never wait for each other in a circle: a password change, while another device ends all others', async () => {
    const known = await account(here.sql, at);
    // In the order in which the rows lie, so that whoever ends all others comes by `c` first, then by `b`.
    const [a, c, b] = [await opened(known), await opened(known), await opened(known)];
    let ended: Promise<number> | undefined;
    await here.store.transaction(async (tx) => {
      await tx.accounts.replacePassword(known.id, known.passwordHash, known.passwordHash, at);
      await tx.sessions.renewSecret(b.id, { refreshSecretHash: hash(), cookieHash: null }, later(HOUR), at);
      ended = here.store.transaction((other) => other.sessions.endAll(known.id, 'ended-by-user', at, a.id));
      await someoneWaits();
      expect(await tx.sessions.endAll(known.id, 'password-changed', at, b.id)).toBe(2);
    });
    expect(await ended).toBe(1);
    expect(await here.sql`select from sessions where id = ${c.id} and revoked_reason = 'password-changed'`).toHaveLength(1);
  });

  it('[V15.4.3] never wait for each other in a circle: two sign-ins, each on a device that the other one forgets', async () => {
    const known = await account(here.sql, at);
    const two = [randomUUID(), randomUUID()];
    const all = [...Array.from({ length: MOST_DEVICES }, () => randomUUID()), ...two];
    for (const [age, id] of all.entries()) await note({ id, accountId: known.id, lastSeenAt: later(-age) });
    await meeting(
      here,
      (tx) => tx`select from devices where id in ${tx(two)} for update`,
      two.map((deviceId) => () => openedSession(here.store.hot, known, later(1), { deviceId })),
    );
    const seen = await here.sql<{ id: string }[]>`select id from devices where last_seen_at > ${at}`;
    expect(seen.map(({ id }) => id).toSorted()).toEqual(two.toSorted());
    expect(await here.sql`select from devices where id = ${all.at(-3) ?? ''}`).toHaveLength(0);
  });

  it('[V15.4.3] never wait for each other in a circle: two accounts that sign in at once in one browser', async () => {
    for (let round = 0; round < 10; round++) {
      const shown = hash();
      const signIns = await Promise.all(
        [0, 1].map(async () => {
          const { id: accountId, passwordHash } = await account(here.sql, at);
          const device = { ...sighting(), id: randomUUID(), tokenHash: hash(), replaces: shown, isConfirmed: true };
          await note({ id: device.id, accountId, lastSeenAt: at, tokenHash: shown });
          const begun = beginning(session(accountId, at, { deviceId: device.id }), at, { device });
          const more = { tried: tried(), rehashed: null, event: event('LOGIN_SUCCEEDED', at) };
          return () => here.store.hot.openSession({ accountId, begun, seenPasswordHash: passwordHash, ...more });
        }),
      );
      const outcomes = await meeting(here, (tx) => tx`select from devices where token_hash = ${shown} for update`, signIns);
      expect(outcomes).toEqual(['opened', 'opened']);
      expect(await here.sql`select from devices where token_hash = ${shown}`).toHaveLength(0);
    }
  });

  it('[V15.4.3] never wait for each other in a circle: a link that is opened, while somebody registers the address again', async () => {
    const asked = registration(at);
    await here.store.hot.register(asked);
    let again: Promise<string> | undefined;
    await here.store.transaction(async (tx) => {
      const found = await tx.tickets.redeem('verify-email', asked.ticket.secretHash, at);
      again = here.store.hot.register(registration(at, { email: asked.email }));
      await someoneWaits();
      expect(await tx.accounts.verifyEmail(found?.accountId ?? '', null, at)).toBe(true);
      await tx.tickets.cancelAll(found?.accountId ?? '', 'verify-email', at);
    });
    expect(await again).toBe('email-taken');
  });

  it('[V15.4.3] never wait for each other in a circle: two browsers that exchange their accounts, where sessions are counted', async () => {
    const both = [await account(here.sql, at), await account(here.sql, at)] as const;
    const jars = [hash(), hash()] as const;
    for (const [index, { id }] of both.entries()) await here.store.transaction((tx) => tx.sessions.open(inJar(id, jars[index]), null));
    const signIns = both.map(({ id, passwordHash }, index) => () => {
      const begun = beginning(session(id, later(1)), later(1), { most: 1, replaces: jars[1 - index] ?? null });
      const more = { tried: tried(), rehashed: null, event: event('LOGIN_SUCCEEDED', later(1)) };
      return here.store.hot.openSession({ accountId: id, begun, seenPasswordHash: passwordHash, ...more });
    });
    const outcomes = await meeting(here, (tx) => tx`select from sessions where cookie_hash in ${tx(jars)} for update`, signIns);
    expect(outcomes).toEqual(['opened', 'opened']);
    expect(await here.sql`select from sessions where revoked_at is null`).toHaveLength(2);
  });

  it('[V15.4.3] never wait for each other in a circle: an account that is erased, and a refresh token of it that is reused', async () => {
    const known = await account(here.sql, at);
    const opening = await opened(known);
    for (const counter of [0, 1]) await here.store.hot.rotate(use(opening, counter, later(counter)));
    const reused = await whileErased(known.id, () => here.store.hot.rotate(use(opening, 0, later(100))));
    expect(reused).toBeNull();
  });

  it('[V15.4.3] never wait for each other in a circle: an account that is erased, and a wrong password that its owner is told of', async () => {
    const known = await account(here.sql, at);
    const key = lane();
    await here.store.transaction((tx) => tx.throttles.tryPassword(key, LOCKOUT, at));
    const failed = event('LOGIN_FAILED', at, { accountId: known.id });
    const told = { accountId: known.id, laneHash: key.identifierHash, mail: mail(at) };
    await whileErased(
      known.id,
      () => here.store.hot.recordFailure([failed], told, key),
      (tx) => tx`delete from login_throttles where identifier_hash = ${key.identifierHash}`,
    );
    expect(await here.sql`select from audit_events where id = ${failed.id}`).toHaveLength(1);
    expect(await here.sql`select from outbox`).toHaveLength(0);
  });

  it('leave nothing behind of an account that is erased meanwhile: no ticket, no mail, and no error', async () => {
    const known = await account(here.sql, at);
    const code = { ...ticket(at, 'sms-code', HOUR), accountId: known.id, context: null };
    await whileErased(known.id, () => here.store.transaction((tx) => tx.tickets.issue(code, at)));
    const another = await account(here.sql, at);
    await whileErased(another.id, () => here.store.transaction((tx) => tx.outbox.enqueue(another.id, mail(at), at)));
    expect(await here.sql`select id from tickets union all select id from outbox`).toHaveLength(0);
  });

  it('[V15.4.3] never wait for each other in a circle: lanes that are cleared, and a sign-in that takes them', async () => {
    // In the order of an index, and in that of the rows, this network stands behind the lane of everywhere; for a sign-in before it.
    const key = lane('fd00:0001:0000:0000::/64');
    for (const network of [EVERYWHERE.network, key.network]) {
      await here.store.transaction((tx) => tx.throttles.tryPassword({ ...key, network }, LOCKOUT, at));
    }
    let cleared: Promise<number> | undefined;
    await here.sql.begin(async (tx) => {
      const take = (network: string) =>
        tx`update login_throttles set failures = failures + 1 where identifier_hash = ${key.identifierHash} and network = ${network}`;
      await take(key.network);
      cleared = here.store.transaction((other) => other.accounts.clearFailures([key.identifierHash]));
      await someoneWaits();
      await take(EVERYWHERE.network);
    });
    expect(await cleared).toBe(2);
  });

  it('[V15.4.3] never wait for each other in a circle: everything that an account can do, at once', { timeout: 30_000 }, async () => {
    const known = await account(here.sql, at);
    const open = await Promise.all(Array.from({ length: 12 }, () => opened(known)));
    const pick = () => open[Math.floor(Math.random() * open.length)] ?? session(known.id, at);
    let seconds = 0;
    const deeds: (() => Promise<unknown>)[] = [
      () => here.store.hot.rotate(use(pick(), Math.floor(Math.random() * 3), later(seconds))),
      () => here.store.transaction((tx) => tx.sessions.end(known.id, pick().id, 'ended-by-user', at)),
      () => here.store.transaction((tx) => tx.sessions.endAll(known.id, 'ended-by-user', at, pick().id)),
      () =>
        here.store.transaction(async (tx) => {
          await tx.accounts.replacePassword(known.id, known.passwordHash, known.passwordHash, at);
          await tx.sessions.renewSecret(pick().id, { refreshSecretHash: hash(), cookieHash: null }, later(HOUR), at);
          await tx.sessions.endAll(known.id, 'password-changed', at, pick().id);
          await tx.tickets.cancelAll(known.id, 'reset-password', at);
          await tx.outbox.enqueue(known.id, mail(at), at);
        }),
      async () => {
        const reset = ticket(at, 'reset-password', HOUR);
        const ask = event('PASSWORD_RESET_REQUESTED', at);
        await here.store.hot.sendLink({ email: known.email, to: 'active', ticket: reset, mail: mail(at), event: ask, at });
        await here.store.transaction(async (tx) => {
          if (!(await tx.tickets.redeem('reset-password', reset.secretHash, at))) return;
          await tx.accounts.setPassword(known.id, known.passwordHash, at, { provesEmail: true });
          await tx.sessions.endAll(known.id, 'password-reset', at);
          await tx.tickets.cancelAll(known.id, 'reset-password', at);
        });
      },
      () =>
        here.store.hot.openSession({
          accountId: known.id,
          begun: beginning(session(known.id, at), at, { most: Math.floor(Math.random() * 3), replaces: hash() }),
          tried: tried(),
          seenPasswordHash: known.passwordHash,
          rehashed: Math.random() < 0.3 ? known.passwordHash : null,
          event: event('LOGIN_SUCCEEDED', at),
        }),
      () => here.sql`update sessions set revoked_at = null, revoked_reason = null where id = ${pick().id}`,
    ];
    // Whoever is chosen as the victim of a deadlock throws (40P01), and so fails this test.
    await Promise.all(
      Array.from({ length: 16 }, async () => {
        for (let i = 0; i < 60; i++) {
          seconds += 1;
          await deeds[Math.floor(Math.random() * deeds.length)]?.();
        }
      }),
    );
    const stuck =
      await here.sql`select from pg_locks where not granted and database = (select oid from pg_database where datname = current_database())`;
    expect(stuck).toHaveLength(0);
  });
});
