import { generateKeyPairSync, type KeyObject, randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { decodeJwt } from 'jose';
import { afterAll, describe, expect, it } from 'vitest';
import { type Answer, expectProblem } from '#tests/support/api.ts';
import { type Cbor, cbor } from '#tests/support/authenticator.ts';
import { latchkeyProcess, type Ran } from '#tests/support/command.ts';
import { testDatabase } from '#tests/support/database.ts';
import { type OldPasskey, oldPasskey } from '#tests/support/old-passkeys.ts';
import { newEmail, signedInPerson, tokensOf, tryLogin } from '#tests/support/people.ts';
import { type Authenticator, assertionOf, enrolPasskey, PHONE_E164, preAuthOf } from '#tests/support/second-factors.ts';
import { startService } from '#tests/support/service.ts';
import { until } from '#tests/support/until.ts';

const service = await startService();
const { sql } = service;
const api = service.api();
const folder = mkdtempSync(path.join(tmpdir(), 'latchkey-passkeys-'));
afterAll(async () => {
  await service.stop();
  rmSync(folder, { recursive: true });
});

type Lie = NonNullable<Parameters<Authenticator['get']>[1]>;

const { hashes }: { hashes: { name: string; password: string; hash: string }[] } = JSON.parse(
  readFileSync(new URL('../vectors/password-hashes.json', import.meta.url), 'utf8'),
);
const { password = '', hash = '' } = hashes.find(({ name }) => name === 'bcrypt $2b$') ?? {};

function fileOf(lines: readonly object[]): string {
  const file = path.join(folder, `${randomUUID()}.ndjson`);
  writeFileSync(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  return file;
}

const importing = (lines: readonly object[], ...options: string[]) =>
  latchkeyProcess(service.database.address, ['users', 'import', fileOf(lines), '--json', ...options]).ended;
const reportOf = ({ out }: Ran) => JSON.parse(out);
const userLine = (more: object = {}) => ({ id: randomUUID(), email: newEmail(), email_verified: true, ...more });
const signInWith = async ({ authenticator }: { authenticator: Authenticator }, how: Lie = {}) =>
  await api.post('/api/auth/webauthn/authenticate/verify', { credential: await assertionOf(service, authenticator, { how }) });
const assurance = (answer: Answer) => decodeJwt(tokensOf(answer).accessToken)['acr'];
const stored = async ({ email }: { email: string }) =>
  await sql`
  select k.* from passkeys k join accounts a on a.id = k.account_id where a.email = ${email} order by k.id`;
const isThere = async ({ email }: { email: string }) => (await sql`select from accounts where email = ${email}`).length === 1;

describe('a passkey that came with its user', () => {
  it.each([
    ['the text of their id', (id: string) => Buffer.from(id)],
    ['64 random bytes', () => randomBytes(64)],
    ['one byte', () => Buffer.of(7)],
  ])('signs in alone, as two factors, where the old system called its user by %s', async (_, handleOf) => {
    const id = randomUUID();
    const passkey = await oldPasskey(service, handleOf(id));
    const user = userLine({ id, passkeys: [passkey.fields] });
    expect(reportOf(await importing([user]))).toMatchObject({ imported: 1, passkeys: 1, rejected: 0 });
    const answer = await signInWith(passkey);
    expect(answer.body.user).toMatchObject({ id, email: user.email });
    expect(assurance(answer)).toBe('aal2');
  });

  it('needs no handle where that is the id, as here', async () => {
    const id = randomUUID();
    const passkey = await oldPasskey(service, Buffer.from(id.replaceAll('-', ''), 'hex'));
    const { user_handle, ...fields } = passkey.fields;
    const other = await oldPasskey(service, passkey.userHandle);
    const user = userLine({ id, passkeys: [fields, { ...other.fields, user_handle }] });
    expect(reportOf(await importing([user]))).toMatchObject({ imported: 1, passkeys: 2 });
    for (const one of [passkey, other]) expect((await signInWith(one)).body.user.id).toBe(id);
    expect(await stored(user)).toMatchObject([{ user_handle: null }, { user_handle: null }]);
  });

  it('opens nothing under another handle: neither of the account here nor of somebody else', async () => {
    const passkey = await oldPasskey(service);
    const user = userLine({ passkeys: [passkey.fields] });
    await importing([user]);
    for (const userHandle of [user.id, Buffer.from(user.id), randomBytes(64), null]) {
      expectProblem(await signInWith(passkey, { userHandle }), 'invalid-code');
    }
    expect((await signInWith(passkey)).status).toBe(200);
  });

  it('is the second factor of who has a password too, with its handle or none', async () => {
    const passkey = await oldPasskey(service);
    const user = userLine({ password_hash: hash, passkeys: [passkey.fields] });
    await importing([user]);
    const person = { id: user.id, email: user.email, username: '', password };
    expect((await tryLogin(api, person)).body).toMatchObject({ status: 'mfa_required', methods: ['webauthn'] });
    for (const how of [{}, { userHandle: null }]) {
      const preAuthToken = await preAuthOf(api, person);
      const credential = await assertionOf(service, passkey.authenticator, { preAuthToken, how });
      const answer = await api.post('/api/auth/verify-mfa', { pre_auth_token: preAuthToken, method: 'webauthn', credential });
      expect(assurance(answer)).toBe('aal2');
    }
  });

  it('keeps all that was known of it, and is listed in its order', async () => {
    const [first, second] = [await oldPasskey(service), await oldPasskey(service, undefined, { backupState: 'backed-up' })];
    const told = {
      ...{ name: 'Ключ 🔑', transports: ['usb', 'nfc', 'telepathy'], aaguid: '1A7C4E50-a1b2-4c3d-8e9f-00112233aabb' },
      ...{ backup_eligible: false, backed_up: false, created_at: '2023-01-02T03:04:05.678+01:00' },
      ...{ last_used_at: '2024-01-02T03:04:05Z', flagged_at: '2024-01-01T00:00:00Z' },
    };
    const user = userLine({
      passkeys: [
        { ...first.fields, ...told },
        { ...second.fields, backed_up: true },
      ],
    });
    expect(reportOf(await importing([user]))).toMatchObject({ imported: 1, passkeys: 2 });
    const { accessToken } = tokensOf(await signInWith(second, { backupState: 'backed-up' }));
    const { body } = await api.get('/api/auth/webauthn/credentials', accessToken);
    expect(body.credentials).toMatchObject([
      {
        ...{ name: 'Ключ 🔑', transports: ['nfc', 'usb'], backed_up: false, created_at: '2023-01-02T02:04:05.678Z' },
        ...{ last_used_at: '2024-01-02T03:04:05.000Z', flagged_at: '2024-01-01T00:00:00.000Z' },
      },
      { name: 'Passkey', transports: [], backed_up: true, flagged_at: null },
    ]);
    expect(await stored(user)).toMatchObject([
      { aaguid: told.aaguid.toLowerCase(), is_backup_eligible: false, sign_count: '1', user_handle: first.userHandle },
      { aaguid: '00000000-0000-0000-0000-000000000000', is_backup_eligible: true },
    ]);
  });

  it('tells at its first use whether it can be backed up, where nobody had kept that, and holds to it', async () => {
    const passkey = await oldPasskey(service, undefined, { backupState: 'eligible' });
    const user = userLine({ passkeys: [passkey.fields] });
    await importing([user]);
    expect(await stored(user)).toMatchObject([{ is_backup_eligible: null, is_backed_up: false }]);
    expect((await signInWith(passkey, { backupState: 'backed-up' })).status).toBe(200);
    expect(await stored(user)).toMatchObject([{ is_backup_eligible: true, is_backed_up: true }]);
    expectProblem(await signInWith(passkey, { backupState: 'device-bound' }), 'invalid-code');
  });

  it('counts on from where it was: one that counts backwards is flagged', async () => {
    const passkey = await oldPasskey(service);
    const user = userLine({ passkeys: [{ ...passkey.fields, sign_count: 0xffff_fff0 }] });
    await importing([user]);
    expect(assurance(await signInWith(passkey, { signCount: 0xffff_fff1 }))).toBe('aal2');
    expect(assurance(await signInWith(passkey, { signCount: 7 }))).toBe('aal1');
    expect(await stored(user)).toMatchObject([{ sign_count: String(0xffff_fff1), flagged_at: expect.any(Date) }]);
  });

  it('lets nobody in who is suspended', async () => {
    const suspended = await oldPasskey(service);
    await importing([userLine({ status: 'suspended', passkeys: [suspended.fields] })]);
    expectProblem(await signInWith(suspended), 'account-suspended');
  });

  it('is not taken for an address that nobody has proved, which a stranger may have given: nor is any other factor', async () => {
    const theirs = await oldPasskey(service);
    const factors = [{ passkeys: [theirs.fields] }, { totp_secret: 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP' }, { mfa_phone: PHONE_E164 }];
    const users = factors.map((factor) => userLine({ email_verified: false, password_hash: hash, ...factor }));
    const ran = await importing(users);
    expect(reportOf(ran)).toMatchObject({ imported: 0, rejected: 3 });
    expect(ran.err.match(/email_verified: Nobody has proved the address/g)).toHaveLength(3);
    for (const user of users) expect(await isThere(user)).toBe(false);
    expectProblem(await signInWith(theirs), 'invalid-code');
  });
});

describe('importing passkeys', () => {
  it('names the line of one that somebody enrols here while the import runs, and takes the others', { timeout: 60_000 }, async () => {
    const enrolled = await signedInPerson(service);
    const passkey = await oldPasskey(service);
    const lines = [userLine(), userLine({ passkeys: [passkey.fields] }), userLine()];
    let running: Promise<Ran> | undefined;
    await sql.begin(async (tx) => {
      await tx`set local idle_in_transaction_session_timeout = 0`;
      await tx`insert into passkeys (id, account_id, credential_id, public_key, sign_count, transports, aaguid, name, is_backup_eligible,
          is_backed_up, created_at)
        values (${randomUUID()}, ${enrolled.id}, ${Buffer.from(passkey.fields.credential_id, 'base64url')}, ${edKey()}, 0, '{}', ${randomUUID()},
          'Key', false, false, now())`;
      running = importing(lines);
      await until(
        'the import waits for it',
        async () => {
          const waiting = await sql`select from pg_stat_activity
          where datname = current_database() and wait_event_type = 'Lock' and query like '%insert into accounts%'`;
          return waiting.length > 0;
        },
        40,
      );
    });
    const ran = await (running as Promise<Ran> | undefined);
    expect(ran && reportOf(ran)).toMatchObject({ imported: 2, rejected: 1 });
    expect(ran?.err).toContain('line 2: One of its passkeys has an account here with another address.');
  });

  it('takes a key of each algorithm that is offered', async () => {
    const keys = [edKey(), rsaKey(2048), rsaKey(4096), (await oldPasskey(service)).publicKey];
    const user = userLine({ passkeys: keys.map((key) => newFields(key)) });
    expect(reportOf(await importing([user]))).toMatchObject({ imported: 1, passkeys: 4, rejected: 0 });
  });

  it('names what is wrong with one, and takes nothing of its line', async () => {
    const good = (await oldPasskey(service)).fields;
    const [x, y] = [randomBytes(32), randomBytes(32)];
    const base64url = (bytes: Buffer) => bytes.toString('base64url');
    const bad: [object, RegExp][] = [
      [{ credential_id: undefined }, /^passkeys\.1\.credential_id: It is no base64url/],
      [{ credential_id: '' }, /^passkeys\.1\.credential_id: It is no base64url.* of 1 to 1023 bytes/],
      [{ credential_id: base64url(randomBytes(1024)) }, /credential_id: It is no base64url/],
      [{ credential_id: '-_8=' }, /credential_id: It is no base64url, without padding/],
      [{ credential_id: '+/8A' }, /credential_id: It is no base64url/],
      [{ credential_id: 7 }, /credential_id: It is no base64url/],
      [{ credential_id: good.credential_id }, /^passkeys: It names a credential twice\./],
      [{ public_key: '' }, /public_key: It is no base64url/],
      [{ public_key: 'AA' }, /public_key: It is no COSE key\./],
      [{ public_key: base64url(randomBytes(3000)) }, /public_key: It is no base64url, without padding, of 1 to 2048 bytes/],
      [{ public_key: base64url(Buffer.alloc(2000, 0x81)) }, /public_key: It is no COSE key\./],
      [{ public_key: base64url(spki()) }, /public_key: It is no COSE key\./],
      [
        { public_key: base64url(Buffer.concat([Buffer.from(good.public_key, 'base64url'), Buffer.of(0)])) },
        /public_key: It is no COSE key\./,
      ],
      [{ public_key: coseKey({ 1: 2, 3: -35, [-1]: 2, [-2]: x, [-3]: y }) }, /public_key: It is of none of the algorithms .* ES256/],
      [{ public_key: coseKey({ 1: 2, [-1]: 1, [-2]: x, [-3]: y }) }, /public_key: It is of none of the algorithms/],
      [{ public_key: coseKey({ 1: 2, 3: -7, [-1]: 1, [-2]: x, [-3]: y }) }, /public_key: It is no key of the algorithm that it names/],
      [{ public_key: coseKey({ 1: 2, 3: -7, [-1]: 1, [-2]: x }) }, /public_key: It is no key/],
      [{ public_key: coseKey({ 1: 1, 3: -8, [-1]: 4, [-2]: x }) }, /public_key: It is no key/],
      [{ public_key: coseKey({ 1: 1, 3: -8, [-1]: 6, [-2]: x.subarray(1) }) }, /public_key: It is no key/],
      [{ public_key: coseKey({ 1: 3, 3: -257 }) }, /public_key: It is no key/],
      [{ public_key: base64url(rsaKey(1024)) }, /public_key: It is no key/],
      [{ public_key: base64url(rsaKey(1024, Buffer.alloc(128))) }, /public_key: It is no key/],
      [
        {
          public_key: coseKey({
            1: 3,
            3: -257,
            [-1]: jwkOf(generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey).n,
            [-2]: Buffer.of(1),
          }),
        },
        /public_key: It is no key/,
      ],
      [{ sign_count: undefined }, /sign_count: Give a whole number/],
      [{ sign_count: -1 }, /sign_count: It is below 0/],
      [{ sign_count: 0x1_0000_0000 }, /sign_count: It is above 4294967295/],
      [{ sign_count: 1.5 }, /sign_count: Give a whole number/],
      [{ user_handle: base64url(randomBytes(65)) }, /user_handle: It is no base64url.* of 1 to 64 bytes/],
      [{ transports: 'usb' }, /transports/],
      [{ aaguid: 'x' }, /aaguid: It is no UUID/],
      [{ name: 'two\nlines' }, /name: It must be one line/],
      [{ name: '\ud800' }, /not valid Unicode/],
      [{ backed_up: 'yes' }, /backed_up: Say true or false/],
      [{ backed_up: true, backup_eligible: false }, /backed_up: It cannot be without backup_eligible/],
      [{ created_at: '2020-01-01' }, /created_at: Give a time with its offset/],
      [{ created_at: '2999-01-01T00:00:00Z' }, /created_at: It is not a time between 1970 and now/],
      [{ last_used_at: '2999-01-01T00:00:00Z' }, /last_used_at: It is not a time/],
      [{ flagged_at: '1969-01-01T00:00:00Z' }, /flagged_at: It is not a time/],
      [{ rp_id: 'example.com' }, /rp_id/],
    ];
    const other = (await oldPasskey(service)).fields;
    const lines = bad.map(([wrong]) => userLine({ passkeys: [good, { ...other, ...wrong }] }));
    const many = userLine({ passkeys: Array.from({ length: 21 }, () => newFields(edKey())) });
    const nameless = { email: newEmail(), email_verified: true, passkeys: [{ ...good, user_handle: null }] };
    const whole = userLine({ passkeys: [good] });
    const ran = await importing([...lines, many, nameless, userLine({ passkeys: good }), whole]);
    expect(reportOf(ran)).toMatchObject({ imported: 1, passkeys: 1, rejected: bad.length + 3 });
    const reasons = readFileSync(reportOf(ran).rejects_file, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).reason);
    for (const [i, [, reason]] of bad.entries()) expect(reasons[i]).toMatch(reason);
    expect(reasons.slice(bad.length)).toEqual([
      'passkeys: An account holds 20 at most.',
      'passkeys.0.user_handle: Give it, or the id of the user that it is made of.',
      expect.stringContaining('passkeys: '),
    ]);
    for (const line of [...lines, many, nameless]) expect(await isThere(line)).toBe(false);
    expect(await stored(whole)).toHaveLength(1);
  });

  it('takes none that an earlier line has, nor one of an account that is there: it stays with its owner', async () => {
    const owner = await enrolPasskey(service, await signedInPerson(service));
    const [known] = await sql<{ credential_id: Buffer; public_key: Buffer }[]>`
      select credential_id, public_key from passkeys where id = ${owner.passkeyId}`;
    const credential_id = known?.credential_id.toString('base64url') ?? '';
    const [mine, shared] = [await oldPasskey(service), await oldPasskey(service)];
    const [first, twin, thief] = [
      userLine({ passkeys: [shared.fields] }),
      userLine({ passkeys: [mine.fields, shared.fields] }),
      userLine({ passkeys: [newFields(edKey()), { ...mine.fields, credential_id }] }),
    ];
    const lines = [first, twin, thief];
    const { seconds: _, rejects_file: __, ...rehearsed } = reportOf(await importing(lines, '--dry-run'));
    expect(rehearsed).toEqual({
      ...{ dry_run: true, imported: 1, passkeys: 1, already_there: 0, rejected: 2 },
      reasons: { 'An earlier line has the same passkey.': 1, 'One of its passkeys has an account here with another address.': 1 },
    });
    expect(await isThere(first)).toBe(false);
    expect(reportOf(await importing(lines))).toMatchObject({ ...rehearsed, dry_run: false });
    for (const user of [twin, thief]) expect(await isThere(user)).toBe(false);
    expect(await sql`select account_id, public_key from passkeys where credential_id = ${known?.credential_id ?? null}`).toEqual([
      { account_id: owner.id, public_key: known?.public_key },
    ]);
    expect((await signInWith(owner)).body.user.id).toBe(owner.id);
    expect((await signInWith(shared)).body.user.id).toBe(first.id);
    expectProblem(await signInWith(mine), 'invalid-code');
  });

  it('leaves who is there already alone: a second run adds none', async () => {
    const [passkey, later] = [await oldPasskey(service), await oldPasskey(service)];
    const user = userLine({ passkeys: [passkey.fields] });
    await importing([user]);
    const again = reportOf(await importing([{ ...user, passkeys: [passkey.fields, later.fields] }]));
    expect(again).toMatchObject({ imported: 0, passkeys: 0, already_there: 1, rejected: 0 });
    expect(await stored(user)).toHaveLength(1);
  });

  it('stands in the audit trail and in the report with their number', async () => {
    const database = await testDatabase();
    try {
      const passkeys = await Promise.all([1, 2, 3].map(async () => (await oldPasskey(service)).fields));
      const file = fileOf([userLine({ passkeys: passkeys.slice(0, 2) }), userLine({ passkeys: passkeys.slice(2) }), userLine()]);
      const { out } = await latchkeyProcess(database.address, ['users', 'import', file]).ended;
      expect(out).toContain('3 imported with 3 passkeys, 0 there already, 0 rejected');
      const [event] = await database.sql`select details from audit_events where type = 'USERS_IMPORTED'`;
      expect(event?.['details']).toMatchObject({ imported: 3, passkeys: 3 });
    } finally {
      await database.drop();
    }
  });

  it('is not for CSV, which says so', async () => {
    const file = path.join(folder, 'passkeys.csv');
    writeFileSync(file, 'email,email_verified,passkeys\n');
    const ran = await latchkeyProcess(service.database.address, ['users', 'import', file]).ended;
    expect(ran).toMatchObject({ code: 1, err: expect.stringContaining('passkeys') });
  });
});

function newFields(publicKey: Buffer): OldPasskey['fields'] {
  const [credential_id, public_key, user_handle] = [randomBytes(16), publicKey, randomBytes(16)].map((bytes) =>
    bytes.toString('base64url'),
  ) as [string, string, string];
  return { credential_id, public_key, sign_count: 0, user_handle };
}

function coseKey(labels: Record<string, Cbor>): string {
  return cbor(new Map(Object.entries(labels).map(([label, value]) => [Number(label), value]))).toString('base64url');
}

function edKey(): Buffer {
  const { x } = jwkOf(generateKeyPairSync('ed25519').publicKey);
  return Buffer.from(coseKey({ 1: 1, 3: -8, [-1]: 6, [-2]: x }), 'base64url');
}

function rsaKey(modulusLength: number, zeros = Buffer.alloc(0)): Buffer {
  const { n, e } = jwkOf(generateKeyPairSync('rsa', { modulusLength }).publicKey);
  return Buffer.from(coseKey({ 1: 3, 3: -257, [-1]: Buffer.concat([zeros, n]), [-2]: e }), 'base64url');
}

function spki(): Buffer {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'der', type: 'spki' });
}

function jwkOf(key: KeyObject): Record<'x' | 'n' | 'e', Buffer> {
  const { x = '', n = '', e = '' } = key.export({ format: 'jwk' });
  return { x: Buffer.from(x, 'base64url'), n: Buffer.from(n, 'base64url'), e: Buffer.from(e, 'base64url') };
}
