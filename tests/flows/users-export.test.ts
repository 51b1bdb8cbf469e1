import { randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { newFernetKey } from '#infrastructure/crypto/fernet.ts';
import { latchkeyProcess } from '#tests/support/command.ts';
import { testDatabase } from '#tests/support/database.ts';
import { oldPasskey } from '#tests/support/old-passkeys.ts';
import { newEmail, registeredPerson, signedInPerson, signIn, verifiedPerson } from '#tests/support/people.ts';
import { assertionOf, authenticatorOf, enrolPasskey, PHONE_E164, personWithTotp, signInWithTotp } from '#tests/support/second-factors.ts';
import { startService } from '#tests/support/service.ts';

const service = await startService();
const { sql } = service;
const folder = mkdtempSync(path.join(tmpdir(), 'latchkey-export-'));
afterAll(async () => {
  await service.stop();
  rmSync(folder, { recursive: true });
});

const FERNET_KEY = 'cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=';
const fileNamed = (name: string) => path.join(folder, name);
const exporting = (file: string, settings = {}, address = service.database.address) =>
  latchkeyProcess(address, ['users', 'export', '--out', file], settings).ended;
const linesOf = (file: string) => readFileSync(file, 'utf8').trim().split('\n');

const byCredential = (one: { credential_id?: Buffer }, other: { credential_id?: Buffer }) =>
  Buffer.compare(one.credential_id ?? Buffer.of(), other.credential_id ?? Buffer.of());

describe('users export', () => {
  it.each(['ndjson', 'csv'])('writes what import reads: they sign in elsewhere, and a second export says the same (%s)', async (format) => {
    const [withTotp, plain, registered] = [await personWithTotp(service), await verifiedPerson(service), await registeredPerson(service)];
    await sql`update accounts set display_name = 'Byron, "Ada"', roles = '{admin,user}', status = 'active' where id = ${plain.id}`;
    await sql`update accounts set status = 'suspended' where id = ${registered.id}`;
    await sql`update accounts set created_at = '2024-01-02T03:04:05.678Z'`; // the clock of the test runs ahead of the command's
    await sql`insert into phones (account_id, number, verified_at) values (${plain.id}, ${PHONE_E164}, now())`;
    const [file, again] = [fileNamed(`users.${format}`), fileNamed(`again.${format}`)];
    expect(await exporting(file)).toMatchObject({ code: 0, err: expect.stringContaining('holds password hashes') });
    expect(statSync(file).mode & 0o777).toBe(0o600);

    const elsewhere = await startService({ settings: { FERNET_KEY: newFernetKey() }, clock: service.clock });
    try {
      const { address } = elsewhere.database;
      writeFileSync(fileNamed('old-key'), FERNET_KEY);
      const settings = { FERNET_KEY: elsewhere.config.FERNET_KEY?.reveal() ?? '' };
      const args = ['users', 'import', file, '--json', '--fernet-key-file', fileNamed('old-key')];
      const { out, code } = await latchkeyProcess(address, args, settings).ended;
      expect([code, JSON.parse(out)]).toMatchObject([0, { imported: linesOf(file).length - (format === 'csv' ? 1 : 0), rejected: 0 }]);
      await signInWithTotp(elsewhere, withTotp);
      const rows = await elsewhere.sql`select email_verified_at is not null as verified, status, roles, display_name from accounts
        where id in ${elsewhere.sql([plain.id, registered.id])} order by status`;
      expect(rows).toMatchObject([
        { verified: true, status: 'active', display_name: 'Byron, "Ada"' },
        { verified: false, status: 'suspended', display_name: null },
      ]);
      expect((await exporting(again, settings, address)).code).toBe(0);
      const withoutTokens = (text: string) => text.replaceAll(/gAAAA[\w-]+=*/g, 'TOKEN');
      expect(linesOf(again).map(withoutTokens)).toEqual(linesOf(file).map(withoutTokens));
    } finally {
      await elsewhere.stop();
    }
  });

  it('[V1.2.10] as CSV has no cell that a spreadsheet takes for a formula, and comes back as it was', async () => {
    const database = await testDatabase();
    const names = ['=cmd|1', '+49 30', '-1', '@sum', "'=1", "''@x", "'quoted'", "O'Hara", '="a",b', 'a;=1', "a;'=1", 'a; =1', '＝1'];
    const alone = await startService({ database });
    const elsewhere = await startService();
    try {
      for (const name of names) {
        const { id } = await registeredPerson(alone);
        await alone.sql`update accounts set display_name = ${name} where id = ${id}`;
      }
      const file = fileNamed('formulas.csv');
      expect((await exporting(file, {}, database.address)).code).toBe(0);
      expect(readFileSync(file, 'utf8')).not.toMatch(/(^|[,;\t])"*[=+\-@\t＝＋－＠]/m);
      const { code, err } = await latchkeyProcess(elsewhere.database.address, ['users', 'import', file]).ended;
      expect(code, err).toBe(0);
      const rows = await elsewhere.sql<{ name: string }[]>`select display_name as name from accounts`;
      expect(rows.map(({ name }) => name).sort()).toEqual(names.toSorted());
    } finally {
      await alone.stop();
      await elsewhere.stop();
      await database.drop();
    }
  });

  it('writes passkeys with all that is known of them: they sign in elsewhere, and a second export says the same', async () => {
    const [database, clock] = [await testDatabase(), service.clock];
    const [from, to] = [await startService({ database, clock }), await startService({ clock })];
    try {
      const person = await enrolPasskey(from, await signedInPerson(from));
      const second = await enrolPasskey(from, person, authenticatorOf(from), { backupState: 'eligible' });
      const foreign = await oldPasskey(from);
      const traveller = { id: randomUUID(), email: newEmail(), email_verified: true, passkeys: [foreign.fields] };
      writeFileSync(fileNamed('traveller.ndjson'), JSON.stringify(traveller));
      await latchkeyProcess(database.address, ['users', 'import', fileNamed('traveller.ndjson')]).ended;
      // The clock of the test runs ahead of the command's.
      await database.sql`update accounts set created_at = '2024-01-02T03:04:05.678Z'`;
      await database.sql`update passkeys set created_at = '2024-01-02T03:04:05.678Z', last_used_at = '2024-02-02T03:04:05.678Z'`;
      await database.sql`update passkeys set flagged_at = '2024-03-02T03:04:05.678Z', name = 'Blue' where id = ${second.passkeyId}`;
      const [file, again] = [fileNamed('keys.ndjson'), fileNamed('keys-again.ndjson')];
      expect((await exporting(file, {}, database.address)).out).toMatch(/^2 users with 3 passkeys in .*; left behind: 0 passkeys, /);
      const imported = await latchkeyProcess(to.database.address, ['users', 'import', file, '--json']).ended;
      expect(JSON.parse(imported.out)).toMatchObject({ imported: 2, passkeys: 3, rejected: 0 });
      expect((await exporting(again, {}, to.database.address)).code).toBe(0);
      expect(linesOf(again)).toEqual(linesOf(file));
      const columns = sql`credential_id, public_key, sign_count, transports, aaguid, name, is_backup_eligible, is_backed_up, created_at,
        last_used_at, flagged_at, user_handle`;
      const rowsIn = async (there: typeof sql) => await there`select ${columns} from passkeys order by id`;
      expect((await rowsIn(to.sql)).toSorted(byCredential)).toEqual((await rowsIn(database.sql)).toSorted(byCredential));
      for (const [{ authenticator }, id, how] of [
        [person, person.id, {}],
        [second, person.id, { backupState: 'eligible' }],
        [foreign, traveller.id, {}],
      ] as const) {
        const credential = await assertionOf(to, authenticator, { how });
        expect((await to.api().post('/api/auth/webauthn/authenticate/verify', { credential })).body.user.id).toBe(id);
      }
    } finally {
      await to.stop();
      await from.stop();
      await database.drop();
    }
  });

  it('leaves a file alone that is there, and nothing where it fails', async () => {
    const file = fileNamed('mine.ndjson');
    writeFileSync(file, 'mine');
    expect(await exporting(file)).toMatchObject({ code: 1, err: expect.stringContaining('is there already') });
    expect(readFileSync(file, 'utf8')).toBe('mine');
    await personWithTotp(service);
    const other = fileNamed('other-key.ndjson');
    expect(await exporting(other, { FERNET_KEY: newFernetKey() })).toMatchObject({ code: 1 });
    expect(existsSync(other)).toBe(false);
    expect((await latchkeyProcess(service.database.address, ['users', 'export']).ended).code).toBe(2);
  });

  it('says what it leaves behind, and stands in the audit trail', async () => {
    const database = await testDatabase();
    const alone = await startService({ database });
    try {
      const person = await signIn(alone.api(), await verifiedPerson(alone));
      await enrolPasskey(alone, person);
      const deleted = await registeredPerson(alone);
      await database.sql`update accounts set status = 'deleted', erase_at = now() where id = ${deleted.id}`;
      const { out } = await exporting(fileNamed('left.csv'), {}, database.address);
      expect(out).toMatch(/^1 users with 0 passkeys in .*; left behind: 1 passkeys, \d+ recovery codes\n$/);
      expect(await database.sql`select risk from audit_events where type = 'USERS_EXPORTED'`).toEqual([{ risk: 80 }]);
    } finally {
      await alone.stop();
      await database.drop();
    }
  });

  it('pages through more than one page', async () => {
    const database = await testDatabase();
    try {
      const many = Array.from({ length: 1203 }, () => JSON.stringify({ email: newEmail(), email_verified: true }));
      writeFileSync(fileNamed('many.ndjson'), many.join('\n'));
      await latchkeyProcess(database.address, ['users', 'import', fileNamed('many.ndjson')]).ended;
      await exporting(fileNamed('all.ndjson'), {}, database.address);
      expect(new Set(linesOf(fileNamed('all.ndjson')).map((line) => JSON.parse(line).email)).size).toBe(1203);
    } finally {
      await database.drop();
    }
  });
});
