import { randomBytes, randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, inject, it } from 'vitest';
import { fernetSeal, newFernetKey, parseFernetKey } from '#infrastructure/crypto/fernet.ts';
import { expectProblem } from '#tests/support/api.ts';
import { latchkeyProcess, type Ran } from '#tests/support/command.ts';
import { createDatabase, dropDatabase, inDatabase, testDatabase } from '#tests/support/database.ts';
import { oldPasskey } from '#tests/support/old-passkeys.ts';
import { newEmail, newUsername, registeredPerson, signIn, tokensOf, tryLogin, verifiedPerson } from '#tests/support/people.ts';
import { nextCode, preAuthOf, verifyMfa } from '#tests/support/second-factors.ts';
import { startService } from '#tests/support/service.ts';
import { until } from '#tests/support/until.ts';

const service = await startService();
const { sql } = service;
const api = service.api();
const folder = mkdtempSync(path.join(tmpdir(), 'latchkey-import-'));
afterAll(async () => {
  await service.stop();
  rmSync(folder, { recursive: true });
});

const { hashes }: { hashes: { name: string; password: string; hash: string }[] } = JSON.parse(
  readFileSync(new URL('../vectors/password-hashes.json', import.meta.url), 'utf8'),
);
const known = (form: string) => hashes.find(({ name }) => name === form) ?? { password: '', hash: '' };
const bcrypt = known('bcrypt $2b$');
const OUR_ARGON2ID = /^\$argon2id\$v=19\$m=7168,t=1,p=1\$/;

function fileOf(lines: (object | string)[], name = `${randomUUID()}.ndjson`): string {
  const file = path.join(folder, name);
  writeFileSync(file, lines.map((line) => `${typeof line === 'string' ? line : JSON.stringify(line)}\n`).join(''));
  return file;
}

const importing = (file: string, ...options: string[]) =>
  latchkeyProcess(service.database.address, ['users', 'import', file, ...options]).ended;
const reportOf = ({ out }: Ran) => JSON.parse(out);
const userLine = (more: object = {}) => ({ email: newEmail(), email_verified: true, password_hash: bcrypt.hash, ...more });
const strangers = (many: number) => Array.from({ length: many }, () => userLine());
const accounts = async () => (await sql<{ count: number }[]>`select count(*)::int as count from accounts`)[0]?.count ?? 0;

describe('users import', () => {
  it('lets people sign in with the passwords that they had, and keeps who they are', async () => {
    const forms = ['bcrypt $2b$', 'django argon2', 'scrypt', 'pbkdf2 sha512', 'asp.net v3', 'django bcrypt_sha256'];
    const people = forms.map((form, i) => ({
      ...known(form),
      id: randomUUID(),
      email: newEmail(),
      username: newUsername(),
      created_at: `201${i}-02-03T04:05:06+01:00`,
    }));
    const lines = people.map(({ id, email, username, hash, created_at }) => ({
      ...{ id, email, username, created_at, email_verified: true, display_name: 'Ada "née" Byron, Ψ' },
      ...{ password_hash: hash, roles: ['moderator', 'user'], status: 'active' },
    }));
    expect(await importing(fileOf(lines))).toMatchObject({ code: 0, err: '' });
    for (const person of people) {
      await signIn(api, person);
      const { body } = await tryLogin(api, person);
      expect(body.user).toMatchObject({
        id: person.id,
        username: person.username,
        display_name: 'Ada "née" Byron, Ψ',
        email_verified: true,
      });
      expect(body.user).toMatchObject({ roles: ['moderator', 'user'], created_at: new Date(person.created_at).toISOString() });
      const [row] = await sql<{ password_hash: string }[]>`select password_hash from accounts where id = ${person.id}`;
      expect(row?.password_hash).toMatch(OUR_ARGON2ID);
    }
  });

  it('takes every form of hash that a sign-in knows', async () => {
    const file = fileOf(hashes.map(({ hash }) => userLine({ password_hash: hash })));
    const report = reportOf(await importing(file, '--json'));
    expect(report).toMatchObject({ imported: hashes.length, rejected: 0, reasons: {} });
  });

  it('keeps the authenticator app, whose secret the old key opens and ours does from then on', async () => {
    const [gone, old] = [newFernetKey(), newFernetKey()];
    const secret = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP';
    const key = parseFernetKey(old);
    const token = key ? fernetSeal(key, secret, new Date()) : '';
    const keyFile = fileOf([gone, old], 'old-fernet-keys');
    const [sealed, plain] = [userLine({ totp_secret_fernet: token }), userLine({ totp_secret: 'jbsw y3dp ehpk 3pxp jbsw y3dp ehpk 3pxp' })];
    expect(await importing(fileOf([sealed, plain]), '--fernet-key-file', keyFile)).toMatchObject({ code: 0 });
    for (const { email } of [sealed, plain]) {
      const person = { id: '', email, username: '', password: bcrypt.password, secret };
      const code = nextCode(service, person);
      const answer = await verifyMfa(api, await preAuthOf(api, person), 'totp', code);
      expect(tokensOf(answer).accessToken).toBeTruthy();
      expectProblem(await verifyMfa(api, await preAuthOf(api, person), 'totp', code), 'invalid-code');
    }
    expect((await importing(fileOf([userLine({ totp_secret_fernet: token })]))).err).toContain('No Fernet key at hand made it');
  });

  it('keeps what is not verified, suspended or without a password as it was', async () => {
    const [unverified, suspended, without] = [
      userLine({ email_verified: false }),
      userLine({ status: 'suspended' }),
      userLine({ password_hash: null }),
    ];
    expect(
      await importing(fileOf([unverified, suspended, without, userLine({ password_hash: '!unusable-as-django-says' })])),
    ).toMatchObject({ code: 0 });
    const { password } = bcrypt;
    expectProblem(await tryLogin(api, { email: unverified.email, password }), 'email-not-verified');
    expectProblem(await tryLogin(api, { email: suspended.email, password }), 'account-suspended');
    expectProblem(await tryLogin(api, { email: without.email, password }), 'invalid-credentials');
    await api.post('/api/auth/forgot-password', { email: without.email });
    const token = await service.mail.token(without.email, 'reset-password');
    expect((await api.post('/api/auth/reset-password', { token, new_password: 'a Password made 1 minute ago' })).status).toBe(204);
    await signIn(api, { id: '', email: without.email, username: '', password: 'a Password made 1 minute ago' });
  });

  it('names each line that cannot be taken, keeps it with the reason, and takes the others', async () => {
    const [good, other] = [userLine({ id: randomUUID(), username: newUsername() }), userLine()];
    const bad: [object | string, RegExp][] = [
      ['{"email":', /no JSON object/],
      ['[1]', /no JSON object/],
      [{ ...userLine(), is_admin: true }, /is_admin/],
      [{ email: newEmail() }, /email_verified/],
      [userLine({ email: 'nobody' }), /email: It is not an e-mail address/],
      [userLine({ password_hash: '5f4dcc3b5aa765d61d8327deb882cf99' }), /no form that is known/],
      [userLine({ password_hash: 'pbkdf2_sha256$1000000000$salt$qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo=' }), /costs too much/],
      [userLine({ password_hash: 'pbkdf2_sha256$1000$\ud800$qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo=' }), /not valid Unicode/],
      [userLine({ password_salt: 'c2FsdA==' }), /firebase-hash-config/],
      [userLine({ roles: ['root'] }), /Roles are/],
      [userLine({ status: 'deleted' }), /status/],
      [userLine({ created_at: '2020-01-01T00:00:00' }), /created_at/],
      [userLine({ created_at: '2999-01-01T00:00:00Z' }), /created_at/],
      [userLine({ totp_secret: 'not base 32!' }), /base 32/],
      [userLine({ totp_secret_fernet: 'gAAAAA' }), /No Fernet key/],
      [userLine({ mfa_phone: '030 123' }), /mfa_phone/],
      [userLine({ display_name: 'two\nlines' }), /display_name/],
      [userLine({ display_name: 'x'.repeat(140_000) }), /more than 131072 bytes/],
      [userLine({ email: good.email.toUpperCase() }), /earlier line has the same address\. \(line 1\)/],
      [userLine({ username: (good as { username?: string }).username }), /earlier line has the same user name\. \(line 1\)/],
      [userLine({ id: (good as { id?: string }).id?.toUpperCase() }), /earlier line has the same id\. \(line 1\)/],
    ];
    const file = fileOf([good, ...bad.map(([line]) => line), '', other]);
    const ran = await importing(file, '--json');
    expect(ran.code).toBe(1);
    expect(reportOf(ran)).toMatchObject({
      dry_run: false,
      imported: 2,
      already_there: 0,
      rejected: bad.length,
      rejects_file: `${file}.rejects.ndjson`,
    });
    const rejects = readFileSync(`${file}.rejects.ndjson`, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(rejects.map(({ line }) => line)).toEqual(bad.map((_, i) => i + 2));
    for (const [i, [, reason]] of bad.entries()) expect(rejects[i].reason).toMatch(reason);
    expect(rejects[0].input).toBe('{"email":');
    expect(statSync(`${file}.rejects.ndjson`).mode & 0o777).toBe(0o600);
    expect(ran.err).toContain('line 2: The line is no JSON object.');
    expect(ran.err + ran.out).not.toContain(bcrypt.hash);
    for (const { email } of [good, other]) await signIn(api, { id: '', email, username: '', password: bcrypt.password });
  });

  it('leaves who is there already alone, and names who stands in the way', async () => {
    const [here, pending] = [await verifiedPerson(service), await registeredPerson(service)];
    const ours = userLine({ email: here.email });
    const ran = await importing(
      fileOf([
        ours,
        userLine({ email: pending.email }),
        userLine({ id: here.id }),
        userLine({ username: here.username.toUpperCase() }),
        userLine({ email: here.email.replace('@', '+2@'), id: randomUUID() }),
        userLine({ email: pending.email.toUpperCase(), id: randomUUID() }),
      ]),
      '--json',
    );
    expect(reportOf(ran)).toMatchObject({ imported: 1, already_there: 1, rejected: 4 });
    expect(reportOf(ran).reasons).toEqual({
      'Somebody registered the address here and never confirmed it.': 1,
      'The id has an account here with another address.': 1,
      'The user name has an account here with another address.': 1,
      'An earlier line has the same address.': 1,
    });
    await signIn(api, here);
    const taken = await importing(fileOf([userLine({ email: here.email, id: randomUUID() })]));
    expect(taken.err).toContain('The address has an account here with another id.');
  });

  it('tells in a dry run what would happen, and writes nothing', async () => {
    const here = await verifiedPerson(service);
    const twice = userLine();
    const file = fileOf([twice, userLine(), userLine({ email: here.email }), twice, 'x']);
    const before = await accounts();
    const { seconds: _, ...rehearsed } = reportOf(await importing(file, '--dry-run', '--json'));
    expect(await accounts()).toBe(before);
    expect(rehearsed).toMatchObject({ dry_run: true, imported: 2, already_there: 1, rejected: 2 });
    const { seconds: __, ...done } = reportOf(await importing(file, '--json'));
    expect(done).toEqual({ ...rehearsed, dry_run: false });
    expect(await accounts()).toBe(before + 2);
  });

  it('needs no tables for a dry run: they come with the first start, or the first import', async () => {
    const server = inject('postgres');
    const name = await createDatabase(server);
    try {
      const address = inDatabase(server, name);
      const file = fileOf(strangers(3));
      const rehearsed = await latchkeyProcess(address, ['users', 'import', file, '--dry-run', '--json']).ended;
      expect(reportOf(rehearsed)).toMatchObject({ imported: 3, rejected: 0 });
      expect(reportOf(await latchkeyProcess(address, ['users', 'import', file, '--json']).ended)).toMatchObject({ imported: 3 });
    } finally {
      await dropDatabase(server, name);
    }
  });

  it('goes on after it was killed: no batch is half there, and the end is the same', async () => {
    const many = 12_000;
    const { fields: passkey } = await oldPasskey(service);
    const totp_secret = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP';
    const withAll = () => userLine({ totp_secret, passkeys: [{ ...passkey, credential_id: randomBytes(16).toString('base64url') }] });
    const database = await testDatabase();
    const count = async (table: string) =>
      (await database.sql<{ n: number }[]>`select count(*)::int as n from ${database.sql(table)}`)[0]?.n ?? 0;
    try {
      const file = fileOf(Array.from({ length: many }, () => withAll()));
      const first = latchkeyProcess(database.address, ['users', 'import', file]);
      await until('some users are there', async () => (await count('accounts')) > 0);
      first.child.kill('SIGKILL');
      await first.ended;
      await until('the server has noticed', async () => {
        const busy = await database.sql`
          select 1 from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle'`;
        return busy.length === 0;
      });
      const before = await count('accounts');
      expect(before).toBeLessThan(many);
      expect(before % 500).toBe(0);
      expect([await count('totp_authenticators'), await count('passkeys')]).toEqual([before, before]);
      expect(await database.sql`select 1 from audit_events where type = 'USERS_IMPORTED'`).toHaveLength(before / 500);
      const second = await latchkeyProcess(database.address, ['users', 'import', file, '--json']).ended;
      expect(second.code).toBe(0);
      expect(reportOf(second)).toMatchObject({ imported: many - before, already_there: before, rejected: 0, rejects_file: null });
      expect([await count('accounts'), await count('totp_authenticators'), await count('passkeys')]).toEqual([many, many, many]);
      const [told] = await database.sql<{ sum: number }[]>`
        select sum((details->>'imported')::int)::int as sum from audit_events where type = 'USERS_IMPORTED' and risk = 60`;
      expect(told?.sum).toBe(many);
    } finally {
      await database.drop();
    }
  }, 60_000);

  it('holds no more memory for ten times as many', async () => {
    const database = await testDatabase();
    try {
      const few = await latchkeyProcess(database.address, ['users', 'import', fileOf(strangers(2000))]).ended;
      const many = await latchkeyProcess(database.address, ['users', 'import', fileOf(strangers(20_000))]).ended;
      expect([few.code, many.code]).toEqual([0, 0]);
      expect(many.peakBytes / few.peakBytes).toBeLessThan(1.2);
    } finally {
      await database.drop();
    }
  }, 60_000);

  it('reads CSV with a header of the same names', async () => {
    const [one, two] = [newEmail(), newEmail()];
    const file = fileOf(
      [
        '\ufeffemail,email_verified,display_name,password_hash,roles,created_at\r',
        `${one},t,"Byron, ""Ada""",${bcrypt.hash},user moderator,2020-01-01T00:00:00Z\r`,
        `${two},false,,"${known('django argon2').hash}",,`,
        `${newEmail()},true,"two`,
        'lines",,,',
        `${newEmail()},true,too,few`,
        `${newEmail()},perhaps,,,,`,
        `${newEmail()},true,"open,,,`,
      ],
      'users.csv',
    );
    const ran = await importing(file, '--json');
    expect(reportOf(ran)).toMatchObject({ imported: 2, rejected: 4 });
    const rejects = readFileSync(`${file}.rejects.ndjson`, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(rejects.map(({ line }) => line)).toEqual([4, 6, 7, 8]);
    const { body } = await tryLogin(api, { email: one, password: bcrypt.password });
    expect(body.user).toMatchObject({ display_name: 'Byron, "Ada"', roles: ['moderator', 'user'], created_at: '2020-01-01T00:00:00.000Z' });
    expectProblem(await tryLogin(api, { email: two, password: known('django argon2').password }), 'email-not-verified');
    expect(await importing(fileOf(['email,is_admin', 'x,y'], 'odd.csv'))).toMatchObject({
      code: 1,
      err: expect.stringContaining('is_admin'),
    });
  });

  it('takes what Firebase exports, given the parameters of the project', async () => {
    const { firebase } = JSON.parse(readFileSync(new URL('../vectors/password-hashes.json', import.meta.url), 'utf8'));
    const config = {
      ...{ algorithm: 'SCRYPT', base64_signer_key: firebase.signer_key, base64_salt_separator: firebase.salt_separator },
      ...{ rounds: firebase.rounds, mem_cost: firebase.mem_cost },
    };
    const user = userLine({ password_hash: firebase.hash, password_salt: firebase.salt });
    expect(await importing(fileOf([user]), '--firebase-hash-config', fileOf([config], 'firebase.json'))).toMatchObject({ code: 0 });
    const stored = async () =>
      (await sql<{ hash: string }[]>`select password_hash as hash from accounts where email = ${user.email}`)[0]?.hash;
    expect(await stored()).toMatch(/^\$firebase-scrypt\$/);
    await signIn(api, { id: '', email: user.email, username: '', password: firebase.password });
    expect(await stored()).toMatch(OUR_ARGON2ID);
  });

  it('complains of words that it does not know', async () => {
    for (const words of [[], ['one', 'two'], ['x', '--format', 'xml']]) {
      expect((await latchkeyProcess(service.database.address, ['users', 'import', ...words]).ended).code, words.join(' ')).toBe(2);
    }
  });

  it('begins nothing with a file that is not there, or is a folder', async () => {
    for (const file of [path.join(folder, 'nothing'), folder]) {
      const { code, err } = await importing(file);
      expect({ code, err }).toEqual({ code: 1, err: expect.stringMatching(/^The file of users cannot be read: .*\n$/) });
      expect(existsSync(`${file}.rejects.ndjson`)).toBe(false);
    }
  });
});
