import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { archiveAudit } from '#application/archive-audit.ts';
import { verifyTrail } from '#application/verify-trail.ts';
import { complaintOf } from '#cli/reason.ts';
import { archiveStore } from '#infrastructure/archive/archive-store.ts';
import { folderFiles } from '#infrastructure/archive/folder.ts';
import { connect, type DatabaseAddress } from '#infrastructure/postgres/connect.ts';
import { openDatabase } from '#infrastructure/postgres/database.ts';
import { migrate } from '#infrastructure/postgres/migrate.ts';
import { addEvents, chain, clearTrail, trailOn } from '#tests/support/audit.ts';
import { runLatchkey } from '#tests/support/cli.ts';
import { createDatabase, dropDatabase, inDatabase, type TestDatabase, testDatabase } from '#tests/support/database.ts';
import { newEmail, PASSWORD, signedInPerson } from '#tests/support/people.ts';
import { startService } from '#tests/support/service.ts';

/** The service as a role that owns nothing, granted by the owner's `latchkey migrate --grant-to`. */

const role = `latchkey_service_${randomBytes(4).toString('hex')}`;
const password = randomBytes(16).toString('hex');
const folder = mkdtempSync(path.join(tmpdir(), 'latchkey-archive-'));
let database: TestDatabase;
let address: DatabaseAddress;

function asRole(server: string): DatabaseAddress {
  const url = new URL(server);
  Object.assign(url, { username: role, password });
  return { url: url.href };
}

beforeAll(async () => {
  database = await testDatabase();
  await database.sql.unsafe(`create role ${role} login password '${password}'`);
  const ran = await runLatchkey(['migrate', '--grant-to', role], database.address);
  expect(ran).toMatchObject({ code: 0, printed: ['The schema is up to date', `${role} may do what the service needs`] });
  const server = database.address;
  address = 'url' in server ? asRole(server.url) : { ...server, user: role };
});
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await database.drop();
  const sql = connect(inject('postgres'), { max: 1 });
  await sql.unsafe(`drop role ${role}`);
  await sql.end();
});

describe('a role of the service alone', () => {
  it('is granted nothing by a role that owns nothing, which hears so', async () => {
    const other = `latchkey_other_${randomBytes(4).toString('hex')}`;
    await database.sql.unsafe(`create role ${other}`);
    try {
      const ran = await runLatchkey(['migrate', '--grant-to', other], address);
      expect(ran).toMatchObject({ code: 1, complained: [expect.stringMatching(/granted nothing|permission denied/)] });
    } finally {
      await database.sql.unsafe(`drop role ${other}`);
    }
  });

  it('is told whose URL it takes, where it may not do what a command does', async () => {
    const server = inject('postgres');
    const empty = await createDatabase(server);
    try {
      const there = inDatabase(server, empty);
      const owner = connect(there, { max: 1 });
      await owner`revoke create on schema public from public`; // as PostgreSQL has it from 15 on
      await owner.end();
      const ran = await runLatchkey(['migrate'], 'url' in there ? asRole(there.url) : { ...there, user: role });
      expect(ran).toMatchObject({
        code: 1,
        complained: [expect.stringMatching(/may not do this \(permission denied for schema public\).*that owns the tables/)],
      });
    } finally {
      await dropDatabase(server, empty);
    }
  });

  it('is not told of an owner where nobody may', async () => {
    await database.sql`select audit_make_month('2026-03')`;
    const sql = connect(address, { max: 1 });
    const refused = await sql`select audit_drop_month('2026-03', 0, ${crypto.randomUUID()})`.catch((error: unknown) => error);
    await sql.end();
    expect(complaintOf(refused)).toBe('the month 2026-03 was not archived');
  });

  it('can start the service, sign people in, and do its maintenance', async () => {
    await migrate(address, new Date());
    const service = await startService({ database, address });
    try {
      const { email } = await signedInPerson(service);
      await service.api().post('/api/auth/forgot-password', { email });
      expect((await service.api().post('/api/auth/login', { email: newEmail(), password: PASSWORD })).status).toBe(401);
    } finally {
      await service.stop();
    }
    await clearTrail(database.sql); // what the service sealed is under its own key
    const own = openDatabase(address, { poolSize: 3, prepare: true });
    try {
      await own.sql`select audit_make_month('2026-03')`;
      await addEvents(own.sql, 10, new Date('2026-03-03'));
      const { trail, seal, sealAll } = trailOn(own, own.sql);
      await sealAll();
      expect((await verifyTrail({ trail, chain })()).broken).toBeNull();
      const clock = { now: () => new Date() };
      const archives = archiveAudit({
        trail,
        store: archiveStore(folderFiles(folder)),
        chain,
        clock,
        madeBy: 'a test',
        seal,
        pause: async () => {},
      });
      expect(await archives.archive('2026-03')).toMatchObject({ events: 10, state: 'archived' });
      expect((await verifyTrail({ trail, chain })()).broken).toBeNull();
    } finally {
      await own.close();
    }
  });

  it('[V16.4.2] [V13.2.2] can neither change the audit trail nor take away what guards it', async () => {
    const sql = connect(address, { max: 1 });
    const id = crypto.randomUUID();
    try {
      await addEvents(sql, 1);
      const may = await sql`select name from unnest(${'{audit_events,audit_seals,audit_archives}'}::text::text[]) as name
        where has_table_privilege(current_user, name, 'update, truncate') or has_table_privilege(current_user, name, 'delete') and name <> 'audit_seals'`;
      expect(may).toEqual([]);
      for (const statement of [
        'update audit_events set risk = 0',
        'delete from audit_events',
        'truncate audit_events',
        'delete from audit_events_default',
        'update audit_seals set events = 0',
        'delete from audit_archives',
        'alter table audit_events disable trigger all',
        'drop trigger audit_refuses_change on audit_events',
        'drop table audit_events_default',
        'alter table audit_events detach partition audit_events_default',
        `create or replace function audit_refuse() returns trigger language plpgsql as 'begin return old; end'`,
        'set session_replication_role = replica',
        'create table mine (x int)',
        `insert into audit_events (id, occurred_at, type, ip, request_id, risk, details, position)
          values ('${id}', now(), 'LOGOUT', '', '', 0, '{}', 0)`,
        `insert into schema_migrations values ('x', 'x')`,
      ])
        await expect(sql.unsafe(statement), statement).rejects.toMatchObject({ code: '42501' });
    } finally {
      await sql.end();
    }
  });
});
