import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventOf, holderOf, rolesOf } from '#tests/support/admins.ts';
import { expectProblem } from '#tests/support/api.ts';
import { DAY, testClock } from '#tests/support/clock.ts';
import { type TestDatabase, testDatabase } from '#tests/support/database.ts';
import { OTHER_PASSWORD, PASSWORD, signedInPerson, signIn, tryLogin, verifiedPerson } from '#tests/support/people.ts';
import { enrolTotp, preAuthOf } from '#tests/support/second-factors.ts';
import { startService, type TestService } from '#tests/support/service.ts';

const EMAIL = 'root@example.com';
const USERS = '/api/admin/users';

let database: TestDatabase;
let clock: ReturnType<typeof testClock>;
let running: TestService[];
let warned: string[];
beforeEach(async () => {
  warned = [];
  database = await testDatabase();
  clock = testClock();
  running = [];
});
afterEach(async () => {
  for (const service of running) await service.stop();
  await database.drop();
});

/** A start of a replica, with the setting unless the test says otherwise. */
async function start(settings: Record<string, string> = { BOOTSTRAP_ADMIN_EMAIL: EMAIL }): Promise<TestService> {
  const logTo = { write: (line: string) => void warned.push(line) };
  const service = await startService({ settings: { DATABASE_POOL_SIZE: '3', LOG_LEVEL: 'warn', ...settings }, database, clock, logTo });
  running.push(service);
  return service;
}
const stop = async (service: TestService) => {
  running = running.filter((one) => one !== service);
  await service.stop();
};
const sentMails = async () => (await database.sql`select from outbox where template = 'bootstrap-admin'`).length;
const admin = async () =>
  (await database.sql<{ id: string; password_hash: string | null }[]>`select * from accounts where email = ${EMAIL}`)[0];

describe('the first admin', () => {
  it('[V6.3.2] [V6.4.1] comes from an empty database to the list of users, by a link and a second factor', async () => {
    const service = await start();
    const api = service.api();
    expect(await admin()).toMatchObject({ password_hash: null, roles: '{admin,user}' });
    for (const password of ['', 'admin', 'password']) expect((await tryLogin(api, { email: EMAIL, password })).status).not.toBe(200);

    const token = await service.mail.token(EMAIL, 'reset-password');
    expect((await api.post('/api/auth/reset-password', { token, new_password: OTHER_PASSWORD })).status).toBe(204);
    expectProblem(await api.post('/api/auth/reset-password', { token, new_password: PASSWORD }), 'invalid-token');
    const person = await signIn(api, { id: (await admin())?.id ?? '', email: EMAIL, username: '', password: OTHER_PASSWORD });
    expectProblem(await api.get(USERS, person.accessToken), 'insufficient-user-authentication');
    await enrolTotp(service, person);
    const { status, body } = await api.get(USERS, person.accessToken);
    expect({ status, emails: body.users.map(({ email }) => email) }).toEqual({ status: 200, emails: [EMAIL] });
    await preAuthOf(api, person);
  });

  it('[V15.4.2] is one, with one mail, though many replicas start at once', async () => {
    await Promise.all(Array.from({ length: 5 }, () => start()));
    expect(await database.sql`select from accounts`).toHaveLength(1);
    expect(await sentMails()).toBe(1);
    expect(await database.sql`select from audit_events where type = 'ADMIN_BOOTSTRAPPED'`).toHaveLength(1);
    expect((await eventOf(running[0] as TestService, 'ADMIN_BOOTSTRAPPED', (await admin())?.id ?? ''))?.['details']).toEqual({
      before: null,
      after: { roles: ['admin', 'user'], verified: true },
    });
  });

  it('[V6.4.1] gets another link at a start after the first one is over, and not before', async () => {
    const first = await start();
    const old = await first.mail.token(EMAIL, 'reset-password');
    await stop(first);
    clock.advance(DAY - 1);
    await stop(await start());
    expect(await sentMails()).toBe(1);
    clock.advance(1);
    const last = await start();
    expect(await sentMails()).toBe(2);
    expectProblem(await last.api().post('/api/auth/reset-password', { token: old, new_password: PASSWORD }), 'invalid-token');
    const token = await last.mail.token(EMAIL, 'reset-password');
    expect((await last.api().post('/api/auth/reset-password', { token, new_password: PASSWORD })).status).toBe(204);
    clock.advance(2 * DAY);
    await start();
    expect(await sentMails()).toBe(2);
  });

  it('is not made while there is an admin', async () => {
    const before = await start({});
    await holderOf(before, 'admin');
    await start();
    expect(await admin()).toBeUndefined();
  });
});

describe('an account that has the address already', () => {
  it('loses what a stranger registered it with: password, name and link', async () => {
    const service = await start({});
    const api = service.api();
    await api.post('/api/auth/register', { email: EMAIL, password: PASSWORD, username: 'stranger', display_name: 'Stranger' });
    await api.post('/api/auth/register', { email: EMAIL, password: PASSWORD });
    const links = (await service.mail.to(EMAIL)).flatMap(({ links }) => links).map((link) => link.split('token=')[1] ?? '');
    expect(links).toHaveLength(2);

    const started = await start();
    expect(await admin()).toMatchObject({ password_hash: null, username: null, display_name: null, roles: '{admin,user}' });
    for (const token of links) expectProblem(await api.post('/api/auth/verify-email', { token }), 'invalid-token');
    await api.post('/api/auth/register', { email: EMAIL, password: PASSWORD });
    await api.post('/api/auth/resend-verification', { email: EMAIL });
    expect(await database.sql`select from tickets where purpose = 'verify-email' and pending is not null and used_at is null`).toHaveLength(
      0,
    );
    expectProblem(await tryLogin(api, { email: EMAIL, password: PASSWORD }), 'invalid-credentials');
    expect(await database.sql`select from outbox where template = 'bootstrap-admin'`).toHaveLength(1);
    expect(await eventOf(started, 'ADMIN_BOOTSTRAPPED', (await admin())?.id ?? '')).toMatchObject({
      details: { before: { verified: false } },
    });
  });

  it('and was verified by its owner becomes the admin as it is, and is told', async () => {
    const service = await start({});
    const person = await signIn(service.api(), await verifiedPerson(service));
    const started = await start({ BOOTSTRAP_ADMIN_EMAIL: person.email.toUpperCase() });
    expect(await rolesOf(service, person.id)).toEqual(['admin', 'user']);
    expect((await service.api().get('/api/auth/me', person.accessToken)).body.roles).toEqual(['admin', 'user']);
    expectProblem(await service.api().get(USERS, person.accessToken), 'insufficient-user-authentication');
    expect(await sentMails()).toBe(0);
    expect(await eventOf(started, 'ADMIN_BOOTSTRAPPED', person.id)).toMatchObject({ details: { before: { roles: ['user'] } } });
    expect(await database.sql`select from outbox where template = 'roles-changed' and account_id = ${person.id}`).toHaveLength(1);
  });

  it('and is suspended stays suspended', async () => {
    const service = await start({});
    const person = await verifiedPerson(service);
    await database.sql`update accounts set status = 'suspended' where id = ${person.id}`;
    await start({ BOOTSTRAP_ADMIN_EMAIL: person.email });
    expect(await rolesOf(service, person.id)).toEqual(['user']);
    expect(warned.join()).toContain('names a suspended account');
  });

  it.each([
    ['a user', ['user']],
    ['the only admin there was', ['admin', 'user']],
  ])('and was deleted by its owner, %s, stays so, which is warned of, until it is kept', async (_, roles) => {
    const service = await start({});
    const person = await signedInPerson(service);
    expect((await service.api().delete('/api/auth/me', person.accessToken)).status).toBe(204);
    await database.sql`update accounts set roles = ${`{${roles.join()}}`}::text::text[] where id = ${person.id}`;
    const before = await database.sql`select * from accounts`;
    for (let starts = 1; starts <= 2; starts++) {
      await start({ BOOTSTRAP_ADMIN_EMAIL: person.email });
      expect(warned.filter((line) => line.includes('an account that its owner has deleted: there is no admin'))).toHaveLength(starts);
    }
    expect(await database.sql`select * from accounts`).toEqual(before);
    expect(await database.sql`select from audit_events where type = 'ADMIN_BOOTSTRAPPED'`).toHaveLength(0);

    const token = await service.mail.token(person.email, 'keep-account');
    expect((await service.api().post('/api/auth/keep-account', { token })).status).toBe(200);
    await start({ BOOTSTRAP_ADMIN_EMAIL: person.email });
    expect(await rolesOf(service, person.id)).toEqual(['admin', 'user']);
  });
});
