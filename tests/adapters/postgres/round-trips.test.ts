import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Store } from '#application/ports/store.ts';
import { after } from '#domain/lifetimes.ts';
import { type Database, openDatabase } from '#infrastructure/postgres/database.ts';
import { postgresStore } from '#infrastructure/postgres/store.ts';
import { openedForTests } from './opened.ts';
import {
  account,
  beginning,
  email,
  event,
  hash,
  LOCKOUT,
  lanes,
  mail,
  openedSession,
  registration,
  session,
  sighting,
  ticket,
  tried,
  use,
  username,
} from './records.ts';
import { type Wire, wireTo } from './wire.ts';

const here = openedForTests();
const at = new Date();

let wire: Wire;
let database: Database;
let store: Store;
beforeAll(async () => {
  wire = await wireTo(here.address);
  database = openDatabase(wire.address, { poolSize: 1, prepare: true });
  store = postgresStore(database);
});
afterAll(async () => {
  await database.close();
  await wire.close();
});

/** How often it waits for PostgreSQL, once the connection knows its statements. */
async function roundTrips(flow: () => Promise<unknown>): Promise<number> {
  await flow();
  await flow();
  wire.roundTrips();
  await flow();
  return wire.roundTrips();
}

describe('one round trip to PostgreSQL each:', () => {
  it('the session of an access token', async () => {
    const opened = await openedSession(here.store.hot, await account(here.sql, at), at);
    expect(await roundTrips(() => store.hot.authenticate(opened.id, at))).toBe(1);
  });

  it('a refresh, rotated and retried', async () => {
    const opened = await openedSession(here.store.hot, await account(here.sql, at), at);
    let counter = 0;
    expect(await roundTrips(() => store.hot.rotate(use(opened, counter++, at)))).toBe(1);
    expect(await roundTrips(() => store.hot.rotate(use(opened, counter - 1, at)))).toBe(1);
  });

  it('the look-up of a sign-in, by address and by name', async () => {
    for (const kind of ['email', 'username'] as const)
      expect(await roundTrips(() => store.hot.findForSignIn({ kind, canonical: 'nobody' }, lanes(), LOCKOUT, sighting(), at))).toBe(1);
  });

  it('a failed sign-in', async () => {
    const events = () => [event('LOGIN_FAILED', at), event('ACCOUNT_LOCKED', at)];
    const told = { accountId: (await account(here.sql, at)).id, laneHash: hash(), mail: mail(at) };
    expect(await roundTrips(() => store.hot.recordFailure(events().slice(1), null))).toBe(1);
    expect(await roundTrips(() => store.hot.recordFailure(events(), { ...told, laneHash: hash(), mail: mail(at) }))).toBe(1);
  });

  it('a new session, also when the password is hashed anew', async () => {
    const known = await account(here.sql, at);
    const open = (rehashed: string | null) => () =>
      store.hot.openSession({
        accountId: known.id,
        begun: beginning(session(known.id, at), at, { replaces: hash() }),
        tried: tried(),
        seenPasswordHash: known.passwordHash,
        rehashed,
        event: event('LOGIN_SUCCEEDED', at),
      });
    expect(await roundTrips(open(null))).toBe(1);
    expect(await roundTrips(open(known.passwordHash))).toBe(1);
  });

  it('a registration, of a new address and of one that has an account', async () => {
    const address = email();
    expect(await roundTrips(() => store.hot.register(registration(at)))).toBe(1);
    expect(await roundTrips(() => store.hot.register(registration(at, { email: address })))).toBe(1);
  });

  it('a link, to a known and to an unknown address', async () => {
    const known = await account(here.sql, at);
    for (const to of [known.email, email()]) {
      const send = (mailed: boolean) => () =>
        store.hot.sendLink({
          email: to,
          to: 'active',
          ticket: ticket(at, 'reset-password'),
          mail: mailed ? mail(at) : null,
          event: event('PASSWORD_RESET_REQUESTED', at),
          at,
        });
      expect(await roundTrips(send(true))).toBe(1);
      expect(await roundTrips(send(false))).toBe(1);
    }
  });
});

describe('more than one, and why:', () => {
  it('two for a token that comes back after its grace: theft is rare, the common case stays lean', async () => {
    const old = after(at, 60);
    let stolen = await openedSession(here.store.hot, await account(here.sql, at), at);
    const prepare = async () => {
      stolen = await openedSession(here.store.hot, await account(here.sql, at), at);
      await here.store.hot.rotate(use(stolen, 0, at));
    };
    for (let warm = 0; warm < 2; warm++) {
      await prepare();
      await store.hot.rotate(use(stolen, 0, old));
    }
    await prepare();
    wire.roundTrips();
    expect(await store.hot.rotate(use(stolen, 0, old))).toMatchObject({ outcome: 'reused' });
    expect(wire.roundTrips()).toBe(2);
  });

  it('three for a registration with a name, which holds the lock of that name: the same whoever has the address', async () => {
    const known = await account(here.sql, at);
    expect(await roundTrips(() => store.hot.register(registration(at, { username: username() })))).toBe(3);
    expect(await roundTrips(() => store.hot.register(registration(at, { username: username(), email: known.email })))).toBe(3);
  });
});
