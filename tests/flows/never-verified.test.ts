import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { eraseAccounts } from '#application/erase-accounts.ts';
import type { Clock } from '#application/ports/services.ts';
import { after } from '#domain/lifetimes.ts';
import { deriveKeys } from '#infrastructure/crypto/derive-keys.ts';
import { secrets } from '#infrastructure/crypto/secrets.ts';
import { openDatabase } from '#infrastructure/postgres/database.ts';
import { postgresStore } from '#infrastructure/postgres/store.ts';
import { expectProblem } from '#tests/support/api.ts';
import { runLatchkey } from '#tests/support/cli.ts';
import { clockBehind, DAY, HOUR, MINUTE } from '#tests/support/clock.ts';
import { heldUp } from '#tests/support/held-up.ts';
import { newEmail, OTHER_PASSWORD, PASSWORD, type Person, registeredPerson, tryLogin } from '#tests/support/people.ts';
import { startService } from '#tests/support/service.ts';
import { until } from '#tests/support/until.ts';

/** Accounts that somebody registered and nobody verified. */

const service = await startService({ clock: clockBehind(5000) });
const { clock, sql, mail } = service;
const { policy } = service.config;
const api = service.api();
const own = openDatabase(service.database.address, { poolSize: 4, prepare: true });
const folder = mkdtempSync(path.join(tmpdir(), 'latchkey-unverified-'));
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await own.close();
  await service.stop();
});

const later = (seconds: number) => after(clock.now(), seconds);
const verify = (token: string) => api.post('/api/auth/verify-email', { token });
const resend = (email: string) => api.post('/api/auth/resend-verification', { email });
const exists = async (id: string) => (await sql`select from accounts where id = ${id}`).length === 1;
const settingOf = async (email: string) => (await sql`select verify_by from accounts where email = ${email}`)[0]?.['verify_by'];
const eventsOf = async (id: string) => (await sql`select type from audit_events where account_id = ${id}`).map(({ type }) => String(type));

/** What a worker does each hour, to its end. */
async function removal({ now = clock as Clock, days = policy.unverifiedAccountDays } = {}): Promise<void> {
  const services = { store: postgresStore(own), secrets: secrets(deriveKeys(Buffer.alloc(32))), clock: now };
  await eraseAccounts({ ...services, policy: { ...policy, unverifiedAccountDays: days } })(new AbortController().signal, (id, error) => {
    throw new Error(`${id} cannot be erased`, { cause: error });
  });
}

/** Either the link has won or the removal, and nothing of the other was done. */
async function expectWhole(id: string, isVerified: boolean): Promise<void> {
  const [account] = await sql`select email_verified_at is not null as verified from accounts where id = ${id}`;
  const [left] = await sql`select (select count(*)::int from tickets where account_id = ${id}) as tickets,
    (select count(*)::int from outbox where account_id = ${id}) as messages`;
  const decided = (await eventsOf(id)).filter((type) => type === 'EMAIL_VERIFIED' || type === 'ACCOUNT_ERASED');
  expect({ account, left, decided }).toMatchObject(
    isVerified
      ? { account: { verified: true }, decided: ['EMAIL_VERIFIED'] }
      : { account: undefined, left: { tickets: 0, messages: 0 }, decided: ['ACCOUNT_ERASED'] },
  );
}

describe('an account that nobody verifies', () => {
  it('[V14.2.7] is removed by a worker after its days and not before, with all that was held under it', async () => {
    const person = await registeredPerson(service);
    await tryLogin(api, { ...person, password: 'wrong horse battery' });
    const mails = await mail.to(person.email);
    const throttles = async () => (await sql`select from login_throttles`).length;
    const counted = await throttles();
    clock.advance(30 * DAY - 1);
    await removal();
    expect(await exists(person.id)).toBe(true);

    clock.advance(1);
    const worker = await startService({ settings: { ROLE: 'worker' }, database: service.database, clock });
    await until('it is removed', async () => !(await exists(person.id)));
    await worker.stop();
    expect(await throttles()).toBeLessThan(counted);
    await expectWhole(person.id, false);
    const [event] = await sql`select details, session_id from audit_events where account_id = ${person.id} and type = 'ACCOUNT_ERASED'`;
    expect(event).toMatchObject({ details: { reason: 'never-verified' }, session_id: null });
    expect(await mail.to(person.email)).toEqual(mails);
  });

  it('leaves its name and its address free', async () => {
    const { email, username } = await registeredPerson(service);
    clock.advance(30 * DAY);
    const body = { email: newEmail(), username, password: PASSWORD };
    expectProblem(await api.post('/api/auth/register', body), 'username-taken');
    await removal();
    expect(await api.post('/api/auth/register', { ...body, email, password: OTHER_PASSWORD })).toMatchObject({ status: 201 });
    await verify(await mail.token(email, 'verify-email'));
    expect((await tryLogin(api, { email, password: OTHER_PASSWORD })).body.user).toMatchObject({ email, username });
  });

  it('stays when it is verified in time, with the link or a new password', async () => {
    const [linked, reset] = [await registeredPerson(service), await registeredPerson(service)];
    await verify(await mail.token(linked.email, 'verify-email'));
    clock.advance(30 * DAY - MINUTE);
    await api.post('/api/auth/forgot-password', { email: reset.email });
    const token = await mail.token(reset.email, 'reset-password');
    expect(await api.post('/api/auth/reset-password', { token, new_password: OTHER_PASSWORD })).toMatchObject({ status: 204 });
    clock.advance(400 * DAY);
    await removal();
    expect(await tryLogin(api, linked)).toMatchObject({ status: 200 });
    expect(await tryLogin(api, { ...reset, password: OTHER_PASSWORD })).toMatchObject({ status: 200 });
  });

  it.each([
    ['asked for again', resend],
    ['of another registration', (email: string) => api.post('/api/auth/register', { email, password: OTHER_PASSWORD })],
  ])('stays while a link is open, here one %s', async (_which, ask) => {
    const [late, never] = [await registeredPerson(service), await registeredPerson(service)];
    clock.advance(30 * DAY - MINUTE);
    for (const { email } of [late, never]) await ask(email);
    clock.advance(24 * HOUR - 1);
    await removal();
    expect(await verify(await mail.token(late.email, 'verify-email'))).toMatchObject({ status: 200 });
    expect(await exists(never.id)).toBe(true);
    clock.advance(1);
    await removal();
    expect([await exists(late.id), await exists(never.id)]).toEqual([true, false]);
  });

  it('stays while it is suspended, and for as long as it holds a role', async () => {
    const [suspended, chosen] = [await registeredPerson(service), await registeredPerson(service)];
    await sql`update accounts set status = 'suspended' where id = ${suspended.id}`;
    await sql`update accounts set roles = '{staff,user}' where id = ${chosen.id}`;
    clock.advance(31 * DAY);
    await removal();
    expect([await exists(suspended.id), await exists(chosen.id)]).toEqual([true, true]);
    await sql`update accounts set status = 'active', roles = '{user}' where id in (${suspended.id}, ${chosen.id})`;
    await removal();
    expect([await exists(suspended.id), await exists(chosen.id)]).toEqual([false, false]);
  });

  it('stays when it was not registered: made on the command line, or imported', async () => {
    const [made, imported] = [newEmail(), newEmail()];
    const file = path.join(folder, 'users.ndjson');
    writeFileSync(file, `${JSON.stringify({ email: imported, email_verified: false, password_hash: null })}\n`);
    const settings = { SECRET_KEY: 'x'.repeat(32), FERNET_KEY: service.config.FERNET_KEY?.reveal() };
    for (const args of [
      ['create', '--email', made],
      ['import', file],
    ])
      expect(await runLatchkey(['users', ...args], service.database.address, settings)).toMatchObject({ code: 0 });
    clock.advance(1000 * DAY);
    await removal();
    const rows = await sql`select email_verified_at, verify_by from accounts where email in (${made}, ${imported})`;
    expect(rows).toEqual(Array.from({ length: 2 }, () => ({ email_verified_at: null, verify_by: null })));
  });
});

describe('UNVERIFIED_ACCOUNT_DAYS', () => {
  it('is counted from the registration; with 0 they stay, those from before included', async () => {
    const [short, never] = await Promise.all(
      ['3', '0'].map((days) => startService({ settings: { UNVERIFIED_ACCOUNT_DAYS: days }, database: service.database, clock })),
    );
    try {
      const [before, brief, kept] = [await registeredPerson(service), newEmail(), newEmail()];
      for (const [where, email] of [
        [short, brief],
        [never, kept],
      ] as const)
        expect(await where?.api().post('/api/auth/register', { email, password: PASSWORD })).toMatchObject({ status: 201 });
      expect([await settingOf(brief), await settingOf(kept)]).toEqual([later(3 * DAY), null]);
      clock.advance(365 * DAY);
      await removal({ days: 0 });
      expect(await sql`select from accounts where email in (${before.email}, ${brief}, ${kept})`).toHaveLength(3);
      await removal();
      expect(await sql`select email from accounts where email in (${before.email}, ${brief}, ${kept})`).toEqual([{ email: kept }]);
    } finally {
      await short?.stop();
      await never?.stop();
    }
  });
});

describe('a link that is used while its account is removed', () => {
  /** The clock of another replica, a little ahead: by it the last link is over. */
  const ahead: Clock = { now: () => later(MINUTE) };

  /** They were mailed another link on their last day; it is good for a second more. */
  async function late(many: number): Promise<(Person & { token: string })[]> {
    const people: Person[] = [];
    for (let i = 0; i < many; i++) {
      people.push(await registeredPerson(service));
      clock.advance(0.001); // which of them is the oldest shall be known
    }
    clock.advance(30 * DAY);
    await Promise.all(people.map(({ email }) => resend(email)));
    const tokens = await Promise.all(people.map(({ email }) => mail.token(email, 'verify-email')));
    clock.advance(24 * HOUR - 1);
    return people.map((person, i) => ({ ...person, token: tokens[i] ?? '' }));
  }

  it('wins when it was first: the removal does not wait for it', async () => {
    const [person] = await late(1);
    const { id = '', token = '' } = person ?? {};
    const [answer] = await heldUp(service, id, [() => verify(token)], () => removal({ now: ahead }));
    expect(answer).toMatchObject({ status: 200 });
    await removal({ now: ahead });
    await expectWhole(id, true);
  });

  it('is over when the removal was first, and waits to hear so', async () => {
    const [person] = await late(1);
    const { id = '', token = '' } = person ?? {};
    const both = await sql.begin(async (tx) => {
      await tx`select from tickets where account_id = ${id} for update`; // what goes with the account
      const removed = removal({ now: ahead });
      const waiting = (many: number) => async () =>
        (await sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`).length >= many;
      await until('the removal holds the account', waiting(1));
      const answer = verify(token);
      await until('the link waits for it', waiting(2));
      return [removed, answer] as const; // neither ends before this transaction does
    });
    await both[0];
    expectProblem(await both[1], 'invalid-token');
    await expectWhole(id, false);
  });

  it('[V15.4.2] wins whole or not at all, sixty times', async () => {
    const people = await late(60);
    const answers = new Map<string, number>();
    // The removal goes from the oldest to the newest: one goes along with it, one comes from the other end and wins some for certain.
    const left = [...people];
    const links = async (next: () => (typeof people)[number] | undefined) => {
      for (let person = next(); person; person = next()) answers.set(person.id, (await verify(person.token)).status);
    };
    await Promise.all([links(() => left.shift()), links(() => left.pop()), removal({ now: ahead })]);
    expect(new Set(answers.values())).toEqual(new Set([200, 400]));
    for (const [id, answer] of answers) await expectWhole(id, answer === 200);
  });

  it('that is mailed in that moment keeps the account, or there is nobody to mail it to', { timeout: 60_000 }, async () => {
    // Many come before it whose links are open: between the removal's look at its tickets and its lock there is time.
    await sql`insert into accounts (id, email, email_canonical, created_at, updated_at, verify_by)
      select md5('waits' || i)::uuid, 'waits' || i, 'waits' || i, ${clock.now()}, ${clock.now()}, ${clock.now()} from generate_series(1, 10000) i`;
    await sql`insert into tickets (id, purpose, account_id, secret_hash, created_at, expires_at)
      select gen_random_uuid(), 'verify-email', md5('waits' || i)::uuid, sha256(('waits' || i)::bytea), ${clock.now()}, ${later(4000 * DAY)}
      from generate_series(1, 10000) i`;
    let isRemoved = false;
    let long = 0;
    const first = removal().then(() => {
      isRemoved = true;
    });
    for (; !isRemoved; long++) await sql`select 1`;
    await first;
    const outcomes: string[] = [];
    for (let round = 0; round < 20; round++) {
      const { id, email } = await registeredPerson(service);
      clock.advance(31 * DAY);
      const resendLater = async () => {
        for (let trips = (long * round) / 10; trips > 0; trips--) await sql`select 1`; // from at once to long after
        await resend(email);
      };
      await Promise.all([removal(), resendLater()]);
      const [event] = await sql`select details from audit_events where type = 'VERIFICATION_RESENT' order by occurred_at desc limit 1`;
      const [isMailed, isThere] = [event?.['details'].known, await exists(id)];
      outcomes.push(`${isMailed ? 'mailed' : 'not mailed'}, ${isThere ? 'kept' : 'removed'}`);
      if (isThere) await verify(await mail.token(email, 'verify-email'));
    }
    expect(new Set(outcomes)).toEqual(new Set(['mailed, kept', 'not mailed, removed']));
  });
});
