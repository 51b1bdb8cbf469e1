import { describe, expect, it } from 'vitest';
import { after } from '#domain/lifetimes.ts';
import type { Handle } from '#infrastructure/postgres/connect.ts';
import { meeting, openedForTests } from './opened.ts';
import { account, auditTally, DAY, email, fifty, registration, tally, ticket, username } from './records.ts';

const here = openedForTests();
const at = new Date();
const later = (seconds: number) => after(at, seconds);

const accounts = () => here.sql<{ email: string; username: string | null }[]>`select email, username from accounts`;
const register = (more: Parameters<typeof registration>[1], when = at) => here.store.hot.register(registration(when, more));

describe('registering', () => {
  it('makes the account, its ticket, its mail and the event in one go', async () => {
    const name = username();
    const asked = registration(at, { username: name, displayName: 'Ada' });
    expect(await here.store.hot.register(asked)).toBe('registered');
    const [row] = await here.sql`select * from accounts`;
    expect(row).toMatchObject({
      id: asked.accountId,
      email: asked.email.given,
      email_canonical: asked.email.canonical,
      email_verified_at: null,
      username: name.given,
      username_canonical: name.canonical,
      display_name: 'Ada',
      password_hash: asked.passwordHash,
      status: 'active',
      created_at: at,
      verify_by: asked.verifyBy,
    });
    expect(await here.sql`select secret_hash, pending, reserved_username, expires_at, used_at from tickets`).toEqual([
      { secret_hash: asked.ticket.secretHash, pending: null, reserved_username: null, expires_at: asked.ticket.expiresAt, used_at: null },
    ]);
    expect(await here.sql`select recipient, template, sealed from outbox`).toEqual([
      { recipient: asked.email.given, template: 'verify-email', sealed: asked.verifyMail?.sealed },
    ]);
    expect(await here.sql`select type, account_id, risk from audit_events`).toEqual([
      { type: 'ACCOUNT_REGISTERED', account_id: asked.accountId, risk: 0 },
    ]);
  });

  it('[V2.3.4] makes one account of fifty registrations of one address at once, and no error', async () => {
    const address = email();
    const outcomes = await fifty(() => register({ email: address }));
    expect(tally(outcomes)).toEqual({ registered: 1, 'email-taken': 49 });
    expect(await accounts()).toHaveLength(1);
    expect(await auditTally(here.sql)).toEqual({ ACCOUNT_REGISTERED: 1, REGISTRATION_OF_EXISTING: 49 });
  });

  it('[V2.3.4] gives one name to one of fifty that ask for it at once', async () => {
    const name = username();
    const outcomes = await fifty(() => register({ username: name }));
    expect(tally(outcomes)).toEqual({ registered: 1, 'username-taken': 49 });
    expect(await accounts()).toHaveLength(1);
  });

  it('[V2.3.4] holds for fifty with the same address and the same name', async () => {
    const [address, name] = [email(), username()];
    const outcomes = await fifty(() => register({ email: address, username: name }));
    expect(tally(outcomes)).toEqual({ registered: 1, 'username-taken': 49 });
  });
});

describe('registrations that wait for each other', () => {
  it('[V2.3.4] see the account of the one that was first', async () => {
    const asked = registration(at);
    const hold = (tx: Handle) => tx`
      insert into accounts (id, email, email_canonical, created_at, updated_at)
      values (${asked.accountId}, ${asked.email.given}, ${asked.email.canonical}, ${at}, ${at})`;
    const outcomes = await meeting(
      here,
      hold,
      Array.from({ length: 8 }, () => () => register({ email: asked.email })),
    );
    expect(tally(outcomes)).toEqual({ 'email-taken': 8 });
  });

  it.each([
    ['is erased', (tx: Handle, id: string) => tx`delete from accounts where id = ${id}`],
    ['moves', (tx: Handle, id: string) => tx`update accounts set email_canonical = ${email().canonical} where id = ${id}`],
  ])('make a new account when the one that has the address %s meanwhile', async (_how, leave) => {
    const known = await account(here.sql, at);
    const outcomes = await meeting(
      here,
      (tx) => leave(tx, known.id),
      Array.from({ length: 8 }, () => () => register({ email: known.email })),
    );
    expect(tally(outcomes)).toEqual({ registered: 1, 'email-taken': 7 });
  });

  it('[V6.3.8] see the name that the one before reserved, though its address had an account', async () => {
    const [known, name, reserved] = [await account(here.sql, at), username(), ticket(at)];
    const hold = async (tx: Handle) => {
      await tx`select pg_advisory_xact_lock(hashtextextended(${name.canonical}, 2))`; // the lock of the name
      await tx`insert into tickets (id, purpose, account_id, secret_hash, reserved_username, created_at, expires_at)
        values (${reserved.id}, 'verify-email', ${known.id}, ${reserved.secretHash}, ${name.canonical}, ${at}, ${reserved.expiresAt})`;
    };
    const outcomes = await meeting(
      here,
      hold,
      Array.from({ length: 8 }, () => () => register({ username: name })),
    );
    expect(tally(outcomes)).toEqual({ 'username-taken': 8 });
  });
});

describe('registering an address that has an account', () => {
  it('[V6.3.8] writes the same number of rows as for a new one, so that it takes as long', async () => {
    const known = await account(here.sql, at);
    const rowsOf = async (more: Parameters<typeof registration>[1]) => {
      const count = async () =>
        (
          await here.sql<{ n: number }[]>`
            select (select count(*) from tickets) + (select count(*) from outbox) + (select count(*) from audit_events) as n`
        )[0]?.n;
      const before = Number(await count());
      await register(more);
      return Number(await count()) - before;
    };
    expect(await rowsOf({})).toBe(3);
    expect(await rowsOf({ email: known.email })).toBe(3);
  });

  it('mails the owner of a verified one, at the address that they gave, and leaves the account alone', async () => {
    const known = await account(here.sql, at);
    expect(await register({ email: { given: 'SHOUTED@example.com', canonical: known.email.canonical } })).toBe('email-taken');
    expect(await here.sql`select recipient, template from outbox`).toEqual([{ recipient: known.email.given, template: 'account-exists' }]);
    expect(await here.sql`select password_hash from accounts`).toEqual([{ password_hash: known.passwordHash }]);
    expect(await here.sql`select pending from tickets`).toEqual([{ pending: null }]);
  });

  it('sends no mail to an owner who had enough of them', async () => {
    const known = await account(here.sql, at);
    expect(await register({ email: known.email, existingMail: null })).toBe('email-taken');
    expect(await here.sql`select from outbox`).toHaveLength(0);
  });

  it('of one not yet verified keeps what was asked for with the ticket, until its link is opened', async () => {
    const address = email();
    await register({ email: address });
    const name = username();
    const asked = registration(at, { email: address, username: name, displayName: 'Second' });
    expect(await here.store.hot.register(asked)).toBe('email-taken');
    expect(await here.sql`select username, password_hash = ${asked.passwordHash} as is_new from accounts`).toEqual([
      { username: null, is_new: false },
    ]);
    const redeemed = await here.store.transaction((tx) => tx.tickets.redeem('verify-email', asked.ticket.secretHash, at));
    expect(redeemed?.pending).toEqual({ passwordHash: asked.passwordHash, username: name, displayName: 'Second' });
    expect(await here.sql`select template, count(*)::int as n from outbox group by template`).toEqual([{ template: 'verify-email', n: 2 }]);
  });

  it('[V6.3.8] takes the name for others, as if an account had been made', async () => {
    const [known, name] = [await account(here.sql, at), username()];
    expect(await register({ email: known.email, username: name })).toBe('email-taken');
    expect(await register({ username: name })).toBe('username-taken');
    expect(await here.store.read((records) => records.accounts.findTaken(email(), name, at))).toEqual({ email: false, username: true });
  });

  it('gives the name back when the ticket has expired', async () => {
    const [known, name] = [await account(here.sql, at), username()];
    await register({ email: known.email, username: name, ticket: ticket(at, 'verify-email', DAY) });
    expect(await register({ username: name }, later(DAY - 1))).toBe('username-taken');
    expect(await register({ username: name }, later(DAY))).toBe('registered');
  });

  it('[V6.3.8] refuses a taken name whether or not the address has an account', async () => {
    const [known, name] = [await account(here.sql, at), username()];
    await account(here.sql, at, { username: name });
    expect(await register({ email: known.email, username: name })).toBe('username-taken');
    expect(await register({ username: name })).toBe('username-taken');
  });

  it('[V6.3.8] gives a name once, also to two at once of whom one has an account already', async () => {
    const known = await account(here.sql, at);
    const pairs = await fifty(async () => {
      const name = username();
      const outcomes = await Promise.all([register({ username: name }), register({ email: known.email, username: name })]);
      return outcomes.filter((outcome) => outcome === 'username-taken').length;
    });
    expect(pairs).toEqual(Array.from({ length: 50 }, () => 1));
  });
});

describe('verifying the address', () => {
  const opened = async (asked: ReturnType<typeof registration>, when = at) =>
    await here.store.transaction(async (tx) => {
      const found = await tx.tickets.redeem('verify-email', asked.ticket.secretHash, when);
      return found && (await tx.accounts.verifyEmail(found.accountId, found.pending, when));
    });

  it('takes over what the registration of that link asked for', async () => {
    const address = email();
    const stranger = registration(at, { email: address, username: username(), displayName: 'Stranger' });
    const owner = registration(at, { email: address, username: username(), displayName: 'Owner' });
    await here.store.hot.register(stranger);
    await here.store.hot.register(owner);
    expect(await opened(owner)).toBe(true);
    expect(await here.sql`select password_hash, username, username_canonical, display_name, email_verified_at from accounts`).toEqual([
      {
        password_hash: owner.passwordHash,
        username: owner.username?.given,
        username_canonical: owner.username?.canonical,
        display_name: 'Owner',
        email_verified_at: at,
      },
    ]);
  });

  it('changes nothing else about an account that is verified already', async () => {
    const address = email();
    const [first, second] = [registration(at, { email: address }), registration(at, { email: address, displayName: 'Second' })];
    await here.store.hot.register(first);
    await here.store.hot.register(second);
    expect(await opened(first)).toBe(true);
    expect(await opened(second, later(60))).toBe(true);
    expect(await here.sql`select password_hash, display_name, email_verified_at from accounts`).toEqual([
      { password_hash: first.passwordHash, display_name: null, email_verified_at: at },
    ]);
  });

  it('leaves a name to the account that got it meanwhile', async () => {
    const [address, name] = [email(), username()];
    await register({ email: address });
    const asked = registration(at, { email: address, username: name });
    await here.store.hot.register(asked);
    await account(here.sql, at, { username: name });
    expect(await opened(asked)).toBe(true);
    const [row] = await here.sql`select username, password_hash from accounts where email_canonical = ${address.canonical}`;
    expect(row).toEqual({ username: null, password_hash: asked.passwordHash });
  });
});
