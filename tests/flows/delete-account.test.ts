import { afterAll, describe, expect, it } from 'vitest';
import { holderOf } from '#tests/support/admins.ts';
import { expectProblem, tally, visible } from '#tests/support/api.ts';
import { clockBehind, DAY, MINUTE } from '#tests/support/clock.ts';
import { askedForEmail, movedPerson } from '#tests/support/email-changes.ts';
import { heldUp } from '#tests/support/held-up.ts';
import { newEmail, newUsername, PASSWORD, type SignedIn, signedInPerson, signIn, tryLogin } from '#tests/support/people.ts';
import { assertionOf, enrolPasskey, enrolPhone, personWithTotp, signInWithTotp } from '#tests/support/second-factors.ts';
import { startService, type TestService } from '#tests/support/service.ts';
import { until } from '#tests/support/until.ts';

const service = await startService({ clock: clockBehind(1000) });
const { clock, sql, mail } = service;
const api = service.api();
afterAll(service.stop);

const remove = ({ accessToken }: Pick<SignedIn, 'accessToken'>, from = api) => from.delete('/api/auth/me', accessToken);
const keep = (token: string) => api.post('/api/auth/keep-account', { token });
const keepLink = (address: string) => mail.token(address, 'keep-account');
const exists = async (id: string) => (await sql`select 1 from accounts where id = ${id}`).length === 1;

async function deletedPerson(): Promise<SignedIn> {
  const person = await signedInPerson(service);
  expect(await remove(person)).toMatchObject({ status: 204, text: '' });
  return person;
}

/** What a worker does when it starts, on the database of this service. */
async function workersRun(count = 1, { database, clock, sql } = service): Promise<void> {
  const workers = await Promise.all(Array.from({ length: count }, () => startService({ settings: { ROLE: 'worker' }, database, clock })));
  await until('everything due is erased', async () => (await sql`select 1 from accounts where erase_at <= ${clock.now()}`).length === 0);
  await Promise.all(workers.map(({ stop }) => stop()));
}

/** A worker that has started, and what it has to say. */
async function loggingWorker() {
  const lines: { level: number; accountId?: string }[] = [];
  const logTo = { write: (line: string) => void lines.push(JSON.parse(line)) };
  const { stop } = await startService({ settings: { ROLE: 'worker', LOG_LEVEL: 'warn' }, database: service.database, clock, logTo });
  return { lines, stop };
}

/** Deleted, and due now. */
async function dueAccounts(many: number): Promise<string[]> {
  const ids = Array.from({ length: many }, () => crypto.randomUUID());
  for (const id of ids) {
    await sql`insert into accounts (id, email, email_canonical, username, username_canonical, status, erase_at, created_at, updated_at)
      values (${id}, ${newEmail()}, ${newEmail()}, ${newUsername()}, ${newUsername()}, 'deleted', ${clock.now()}, ${clock.now()}, ${clock.now()})`;
  }
  return ids;
}

/** Every row of every table, as text. */
async function everything({ sql }: TestService): Promise<{ table: string; row: string }[]> {
  const tables = await sql<{ name: string }[]>`
    select table_name as name from information_schema.tables where table_schema = 'public' and table_name not like 'audit_events_%'`;
  const rows = await Promise.all(
    tables.map(async ({ name }) =>
      (await sql`select to_jsonb(t)::text as row from ${sql(name)} t`).map(({ row }) => ({ table: name, row: String(row) })),
    ),
  );
  return rows.flat();
}

describe('a deleted account', () => {
  it('[V7.4.2] has no session from then on', async () => {
    const person = await signedInPerson(service);
    const other = await signIn(api, person);
    await remove(person);
    for (const { accessToken, refreshToken } of [person, other]) {
      expectProblem(await api.get('/api/auth/me', accessToken), 'unauthenticated');
      expectProblem(await api.post('/api/auth/refresh', { refresh_token: refreshToken }), 'invalid-refresh-token');
    }
  });

  it('[V6.3.8] is signed in to as little as one that never was, by password, name or passkey', async () => {
    const person = await enrolPasskey(service, await signedInPerson(service));
    await remove(person);
    const unknown = await tryLogin(api, { email: newEmail(), password: PASSWORD });
    expect(visible(await tryLogin(api, person))).toEqual(visible(unknown));
    expect(visible(await api.post('/api/auth/login', { username: person.username, password: PASSWORD }))).toEqual(visible(unknown));
    const credential = await assertionOf(service, person.authenticator);
    expectProblem(await api.post('/api/auth/webauthn/authenticate/verify', { credential }), 'invalid-code');
    expect(await sql`select 1 from sessions where account_id = ${person.id} and revoked_at is null`).toEqual([]);
  });

  it('gets no reset link, and one from before is dead', async () => {
    const person = await signedInPerson(service);
    await api.post('/api/auth/forgot-password', { email: person.email });
    const token = await mail.token(person.email, 'reset-password');
    await remove(person);
    const before = await mail.to(person.email);
    await api.post('/api/auth/forgot-password', { email: person.email });
    expect(await mail.to(person.email)).toEqual(before);
    expectProblem(await api.post('/api/auth/reset-password', { token, new_password: 'some other long phrase' }), 'invalid-token');
  });

  it('holds its address and its name until it is erased', async () => {
    const person = await deletedPerson();
    expectProblem(
      await api.post('/api/auth/register', { email: newEmail(), username: person.username, password: PASSWORD }),
      'username-taken',
    );
    expect(await api.post('/api/auth/register', { email: person.email, password: PASSWORD })).toMatchObject({ status: 201 });
    expect(await sql`select id, status from accounts where email_canonical = ${person.email}`).toEqual([
      { id: person.id, status: 'deleted' },
    ]);
  });

  it('[V7.5.3] asks for a recent sign-in, and for both factors where there are two', async () => {
    const [plain, strong] = [await signedInPerson(service), await personWithTotp(service)];
    clock.advance(11 * MINUTE);
    for (const person of [plain, strong]) expectProblem(await remove(person), 'insufficient-user-authentication');
    expect([await exists(plain.id), await exists(strong.id)]).toEqual([true, true]);
    await api.post('/api/auth/reauthenticate', { password: PASSWORD }, plain.accessToken);
    expect(await remove(plain)).toMatchObject({ status: 204 });
  });

  it('is audited, and its owner is told', async () => {
    const person = await deletedPerson();
    const events = await sql`select session_id, details from audit_events where account_id = ${person.id} and type = 'ACCOUNT_DELETED'`;
    expect(events).toMatchObject([{ session_id: person.sessionId, details: { ended: 1, grace_days: 30 } }]);
    const [notice] = await mail.to(person.email);
    expect(notice?.subject).toContain('was deleted');
    expect(notice?.text).toContain('In 30 days');
    expect(notice?.links).toEqual([expect.stringMatching(/^https:\/\/app\.example\.com\/keep-account#token=[\w-]{43}$/)]);
  });

  it('is deleted once by fifty at once, and no sign-in that meets them leaves a session', async () => {
    const person = await signedInPerson(service);
    const answers = await heldUp(service, person.id, [
      ...Array.from({ length: 6 }, () => () => remove(person)),
      ...Array.from({ length: 2 }, () => () => tryLogin(api, person)),
    ]);
    expect(tally(answers.slice(0, 6))).toEqual({ '204': 1, unauthenticated: 5 });
    expect(await sql`select 1 from sessions where account_id = ${person.id} and revoked_at is null`).toEqual([]);
    const more = await Promise.all(Array.from({ length: 50 }, () => remove(person)));
    expect(tally(more)).toEqual({ unauthenticated: 50 });
    expect(await sql`select 1 from audit_events where account_id = ${person.id} and type = 'ACCOUNT_DELETED'`).toHaveLength(1);
  });
});

describe('keeping an account', () => {
  it('brings everything back as it was, signs nobody in, and works once', async () => {
    const person = await personWithTotp(service);
    clock.advance(1);
    await remove(person);
    const token = await keepLink(person.email);
    expect((await keep(token)).body).toEqual({ status: 'kept' });
    expectProblem(await api.get('/api/auth/me', person.accessToken), 'unauthenticated');
    await signInWithTotp(service, person);
    expectProblem(await keep(token), 'invalid-token');
    clock.advance(31 * DAY);
    await workersRun();
    expect(await exists(person.id)).toBe(true);
  });

  it('[V2.3.4] works for exactly one of fifty at once', async () => {
    const person = await deletedPerson();
    const token = await keepLink(person.email);
    expect(tally(await Promise.all(Array.from({ length: 50 }, () => keep(token))))).toEqual({ '200': 1, 'invalid-token': 49 });
    expect(await sql`select 1 from audit_events where account_id = ${person.id} and type = 'ACCOUNT_KEPT'`).toHaveLength(1);
  });

  it('works until the grace is over, with the link of this deletion, and with no other ticket', async () => {
    const person = await deletedPerson();
    const first = await keepLink(person.email);
    await keep(first);
    await remove(await signIn(api, person));
    expectProblem(await keep(first), 'invalid-token');
    expectProblem(await keep(await mail.token(person.email, 'verify-email')), 'invalid-token');
    const second = await keepLink(person.email);
    clock.advance(30 * DAY);
    expectProblem(await keep(second), 'invalid-token');
  });

  it('is possible from the address of before when a thief moved the account and deleted it', async () => {
    const person = await movedPerson(service, await signedInPerson(service));
    await remove(person);
    expect(await api.post('/api/auth/change-email/revert', { token: await mail.token(person.email, 'revert-email') })).toMatchObject({
      status: 200,
    });
    expectProblem(await keep(await keepLink(person.newAddress)), 'invalid-token');
    expect(await sql`select email, status, erase_at from accounts where id = ${person.id}`).toEqual([
      { email: person.email, status: 'active', erase_at: null },
    ]);
  });
});

describe('after the grace', () => {
  it('[V14.2.7] nothing of the person is left in any table; the audit trail keeps what happened under an id that leads nowhere', async () => {
    const phone = '+1 415 555 2681';
    const person = await enrolPasskey(service, await enrolPhone(service, await signedInPerson(service), phone));
    await api.request('PATCH', '/api/auth/me', { body: { display_name: 'Ada of the Canaries' }, token: person.accessToken });
    const admin = await holderOf(service, 'admin');
    const [given, shown] = [newUsername(), 'Ada by an Administrator'];
    for (const body of [{ username: given, display_name: shown }, { display_name: null }])
      expect(await api.patch(`/api/admin/users/${person.id}`, body, admin.accessToken)).toMatchObject({ status: 200 });
    const { newAddress } = await askedForEmail(service, person);
    for (let time = 0; time < 3; time++) await tryLogin(api, { ...person, password: 'wrong horse battery' });
    await remove(person);
    await mail.to(person.email);
    const throttles = async () => (await sql`select 1 from login_throttles`).length;
    const counted = await throttles();

    clock.advance(30 * DAY - 1);
    await workersRun();
    expect(await exists(person.id)).toBe(true);
    clock.advance(1);
    await workersRun();
    expect(await exists(person.id)).toBe(false);
    expect(await throttles()).toBeLessThan(counted);

    const personal = [person.email, newAddress, person.username, given, 'Ada of the Canaries', shown, phone.replace(/[^+\d]/g, '')];
    const rows = await everything(service);
    expect(rows.filter(({ row }) => personal.some((text) => row.includes(text)))).toEqual([]);
    const left = rows.filter(({ row }) => row.includes(person.id));
    expect(new Set(left.map(({ table }) => table))).toEqual(new Set(['audit_events']));
    const types = (await sql`select type from audit_events where account_id = ${person.id}`).map(({ type }) => type);
    expect(types).toEqual(
      expect.arrayContaining(['ACCOUNT_REGISTERED', 'LOGIN_SUCCEEDED', 'ACCOUNT_DELETED', 'USER_CHANGED', 'ACCOUNT_ERASED']),
    );
  });

  it('the address and the name are free, for an account that has nothing to do with the one before', async () => {
    const person = await deletedPerson();
    clock.advance(30 * DAY);
    await workersRun();
    const body = { email: person.email, username: person.username, password: PASSWORD };
    expect(await api.post('/api/auth/register', body)).toMatchObject({ status: 201 });
    await api.post('/api/auth/verify-email', { token: await mail.token(person.email, 'verify-email') });
    const { accessToken } = await signIn(api, person);
    const { body: user } = await api.get('/api/auth/me', accessToken);
    expect(user.id).not.toBe(person.id);
    const { events } = (await api.get('/api/auth/me/activity', accessToken)).body;
    expect(events.map(({ type }) => type)).toEqual(['LOGIN_SUCCEEDED', 'EMAIL_VERIFIED', 'ACCOUNT_REGISTERED']);
  });

  it('four workers erase each account once, more than one of them takes at a time', async () => {
    const ids = await dueAccounts(120);
    await workersRun(4);
    const events = await sql<{ account_id: string; n: number }[]>`
      select account_id, count(*)::int as n from audit_events where type = 'ACCOUNT_ERASED' and account_id in ${sql(ids)} group by 1`;
    expect(events).toHaveLength(ids.length);
    expect(events.filter(({ n }) => n !== 1)).toEqual([]);
  });

  it('one that cannot be erased keeps no other waiting, is told of, and goes as soon as it can', async () => {
    const [stuck, ...others] = [await deletedPerson(), await deletedPerson(), await deletedPerson()];
    clock.advance(30 * DAY);
    await sql`update accounts set erase_at = erase_at - interval '1 hour' where id = ${stuck.id}`; // its turn is the first
    await sql`create table holding (account_id uuid references accounts)`;
    await sql`insert into holding values (${stuck.id})`;
    const { lines, stop } = await loggingWorker();
    await until('the others are erased', async () => !(await Promise.all(others.map(({ id }) => exists(id)))).includes(true));
    await stop();
    expect(await exists(stuck.id)).toBe(true);
    expect(lines).toMatchObject([{ level: 50, accountId: stuck.id, err: { code: '23503' } }]);

    await sql`drop table holding`;
    await workersRun();
    expect(await exists(stuck.id)).toBe(false);
  });

  it('when every one fails the run ends after a hundred, and the next one goes on', async () => {
    const ids = await dueAccounts(120);
    await sql`create function refuse() returns trigger language plpgsql as 'begin raise exception ''no''; end'`;
    await sql`create trigger refuse before delete on accounts for each row execute function refuse()`;
    const { lines, stop } = await loggingWorker();
    await until('it gives up', () => lines.some(({ level }) => level === 40));
    await stop();
    await sql`drop function refuse cascade`;
    const failed = lines.filter(({ level }) => level === 50).map(({ accountId }) => accountId);
    expect([failed.length, new Set(failed).size]).toEqual([100, 100]);
    await workersRun();
    expect(await sql`select from accounts where id in ${sql(ids)}`).toEqual([]);
  });

  it('an account that is being kept is not erased under its owner', async () => {
    const person = await deletedPerson();
    const token = await keepLink(person.email);
    await sql`update accounts set erase_at = ${clock.now()} where id = ${person.id}`;
    const [answer] = await heldUp(service, person.id, [() => keep(token)], async () => {
      const worker = await startService({ settings: { ROLE: 'worker' }, database: service.database, clock });
      await worker.stop();
    });
    expect(answer).toMatchObject({ status: 200 });
    await workersRun();
    expect(await exists(person.id)).toBe(true);
  });
});

describe('ACCOUNT_DELETION_GRACE_DAYS=0', () => {
  it('erases at once', async () => {
    const hasty = await startService({ settings: { ACCOUNT_DELETION_GRACE_DAYS: '0' } });
    try {
      const person = await enrolPasskey(hasty, await signedInPerson(hasty));
      expect(await remove(person, hasty.api())).toMatchObject({ status: 204 });
      const rows = (await everything(hasty)).filter(({ row }) => row.includes(person.id) || row.includes(person.email));
      expect(new Set(rows.map(({ table }) => table))).toEqual(new Set(['audit_events']));
      expectProblem(await hasty.api().get('/api/auth/me', person.accessToken), 'unauthenticated');
      const types = (await hasty.sql`select type from audit_events where account_id = ${person.id}`).map(({ type }) => type);
      expect(types).toEqual(expect.arrayContaining(['ACCOUNT_DELETED', 'ACCOUNT_ERASED']));
    } finally {
      await hasty.stop();
    }
  });

  it.each(['0', '2'])(
    'does not shake off whoever can still take the account back: with %s days it waits for the last link',
    async (days) => {
      const hasty = await startService({ settings: { ACCOUNT_DELETION_GRACE_DAYS: days }, clock: clockBehind(30) });
      try {
        const person = await movedPerson(hasty, await signedInPerson(hasty));
        hasty.clock.advance(4 * DAY);
        const thief = await signIn(hasty.api(), { ...person, email: person.newAddress });
        expect(await remove(thief, hasty.api())).toMatchObject({ status: 204 });
        const [event] = await hasty.sql`select details from audit_events where account_id = ${person.id} and type = 'ACCOUNT_DELETED'`;
        expect(event?.['details']).toMatchObject({ grace_days: 3 });
        hasty.clock.advance(3 * DAY - 1);
        await workersRun(1, hasty);
        const token = await hasty.mail.token(person.email, 'revert-email');
        expect(await hasty.api().post('/api/auth/change-email/revert', { token })).toMatchObject({ status: 200 });
        expect(await hasty.sql`select email, status, erase_at from accounts where id = ${person.id}`).toEqual([
          { email: person.email, status: 'active', erase_at: null },
        ]);
      } finally {
        await hasty.stop();
      }
    },
  );

  it('erases then, when nobody has come', async () => {
    const hasty = await startService({ settings: { ACCOUNT_DELETION_GRACE_DAYS: '0' }, clock: clockBehind(30) });
    try {
      const person = await movedPerson(hasty, await signedInPerson(hasty));
      await remove(person, hasty.api());
      hasty.clock.advance(7 * DAY);
      await workersRun(1, hasty);
      const rows = (await everything(hasty)).filter(({ row }) =>
        [person.id, person.email, person.newAddress].some((one) => row.includes(one)),
      );
      expect(new Set(rows.map(({ table }) => table))).toEqual(new Set(['audit_events']));
    } finally {
      await hasty.stop();
    }
  });
});
