import { execFileSync, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Sql } from 'postgres';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { connect, type DatabaseAddress } from '#infrastructure/postgres/connect.ts';
import { SETTINGS } from '#src/settings.ts';
import { expectProblem } from '#tests/support/api.ts';
import { DAY, HOUR } from '#tests/support/clock.ts';
import { latchkeyProcess } from '#tests/support/command.ts';
import { createDatabase, dropDatabase, inDatabase, settingsFor } from '#tests/support/database.ts';
import { legacyIssuer } from '#tests/support/legacy-issuer.ts';
import { type OldPasskey, oldPasskey } from '#tests/support/old-passkeys.ts';
import { newEmail, OTHER_PASSWORD, type Person, signIn, tryLogin } from '#tests/support/people.ts';
import { has, hasPythonModule, PYTHON } from '#tests/support/programs.ts';
import { assertionOf, signInWithTotp } from '#tests/support/second-factors.ts';
import { startService, type TestService } from '#tests/support/service.ts';
import { until } from '#tests/support/until.ts';

/**
 * Databases as SQLAlchemy makes them, with hashes by passlib and argon2-cffi and secrets by python3-cryptography, moved with the statements of
 * docs/migrate (ours to hold to their word).
 */

type OldPerson = Person & { name: string; totp_secret: string | null };

const read = (file: string) => readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8');
const { fernet_key, people }: { fernet_key: string; people: OldPerson[] } = JSON.parse(read('tests/vectors/fastapi-sqlalchemy.json'));
const old = (name: string) => {
  const person = people.find((each) => each.name === name);
  if (!person) throw new Error(`There is no ${name}`);
  return person;
};

type Kind = {
  page: string;
  imported: number;
  /** What the import says of those that it does not take. */
  rejects: string[];
  /** Who signs in with a code of the authenticator app; of them ada is an admin. */
  withTotp: string[];
  withPassword: string[];
  bySms: string[];
  unverified: string[];
  suspended: string[];
  /** What became of some accounts here. */
  keeps: Record<string, object>;
};

const ALAN = { display_name: 'Алан Тьюринг', created_at: '2023-03-03T04:05:06.000Z' };
const SAME_ADDRESS = 'same address';
const NO_FORM = 'no form that is known';

const KINDS: Kind[] = [
  {
    page: 'fastapi-sqlalchemy',
    imported: 6,
    rejects: [SAME_ADDRESS, 'username'],
    withTotp: ['ada', 'grace'],
    withPassword: ['alan'],
    bySms: ['joan'],
    unverified: ['edsger'],
    suspended: ['barbara'],
    keeps: { ada: { id: old('ada').id, username: 'ada', roles: ['admin'] }, alan: { id: old('alan').id, ...ALAN } },
  },
  {
    page: 'microservice-rs256',
    imported: 6,
    rejects: [SAME_ADDRESS, NO_FORM],
    withTotp: ['ada', 'grace'],
    withPassword: ['alan', 'joan'],
    bySms: [],
    unverified: ['edsger'],
    suspended: ['barbara'],
    keeps: { ada: { id: old('ada').id, roles: ['admin', 'user'] }, alan: { id: old('alan').id, ...ALAN } },
  },
  {
    page: 'native-and-cognito',
    imported: 6,
    rejects: [SAME_ADDRESS, NO_FORM],
    withTotp: ['ada', 'grace'],
    withPassword: ['alan'],
    bySms: ['joan'],
    unverified: ['edsger'],
    suspended: ['barbara'],
    keeps: { ada: { id: '00000000-0000-8000-8000-000000000001', roles: ['admin', 'user'] }, alan: ALAN },
  },
  {
    page: 'roles-and-devices',
    imported: 6,
    rejects: [SAME_ADDRESS, NO_FORM],
    withTotp: ['ada', 'grace'],
    withPassword: ['alan'],
    bySms: ['joan'],
    unverified: ['edsger'],
    suspended: ['barbara'],
    keeps: {
      ada: { id: old('ada').id, username: 'ada', display_name: 'Ada Lovelace', roles: ['admin'] },
      grace: { username: 'grace', roles: ['staff', 'user'] },
      alan: { id: old('alan').id, username: null, ...ALAN },
    },
  },
];

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'latchkey-migrate-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** What makes the tables of that kind, where they are not those of the first. */
function shapeOf(page: string): string {
  const file = `tests/vectors/migrate/${page}.sql`;
  return existsSync(new URL(`../../${file}`, import.meta.url)) ? read(file) : '';
}

type Report = { imported: number; passkeys: number; already_there: number; rejected: number; reasons: Record<string, number> };

const statementOf = (page: string) => /```sql\n(.*?)```/s.exec(read(`docs/migrate/${page}.md`))?.[1] ?? '';

/** A database of that kind, for as long as the work takes. */
async function inOldDatabase<T>(page: string, work: (sql: Sql, address: DatabaseAddress) => Promise<T>): Promise<T> {
  const server = inject('postgres');
  const database = await createDatabase(server);
  const address = inDatabase(server, database);
  const sql = connect(address, { max: 1, connection: { TimeZone: 'Asia/Kolkata' }, onnotice: () => {} });
  try {
    await sql.unsafe(read('tests/vectors/fastapi-sqlalchemy.sql'));
    const shape = shapeOf(page);
    if (shape !== '') {
      await sql.unsafe('alter table users rename to people; alter index users_pkey rename to people_pkey');
      await sql.unsafe('alter table people drop constraint users_username_key');
      await sql.unsafe(shape);
    }
    return await work(sql, address);
  } finally {
    await sql.end();
    await dropDatabase(server, database);
  }
}

/** Writes the users of a database of that kind to a file as the page says, and imports it. */
async function importFrom(sql: Sql, page: string, service: TestService): Promise<Report> {
  const rows = await sql.unsafe(`select user_line::text from (${statementOf(page)}) as file (user_line)`);
  const [users, key] = [path.join(folder, `${page}.ndjson`), path.join(folder, 'old-fernet-key')];
  writeFileSync(users, rows.map(({ user_line }) => `${user_line}\n`).join(''));
  writeFileSync(key, `${fernet_key}\n`);
  const { ended } = latchkeyProcess(service.database.address, ['users', 'import', users, '--fernet-key-file', key, '--json']);
  return JSON.parse((await ended).out);
}

/** @param fill what no file of ours can hold */
function move(service: TestService, page: string, fill: (sql: Sql) => Promise<void> = async () => {}): Promise<Report> {
  return inOldDatabase(page, async (sql) => {
    await fill(sql);
    return await importFrom(sql, page, service);
  });
}

describe.each(KINDS)('from $page', ({ page, imported, rejects, withTotp, withPassword, bySms, unverified, suspended, keeps }) => {
  let service: TestService;
  let report: Report;
  beforeAll(async () => {
    service = await startService();
    report = await move(service, page);
  }, 60_000);
  afterAll(() => service.stop());

  it('takes all who can be taken, and says why not the others', () => {
    expect(report).toMatchObject({ imported, already_there: 0, rejected: rejects.length });
    expect(Object.keys(report.reasons)).toEqual(rejects.map((reason) => expect.stringContaining(reason)));
  });

  it('signs in who had an authenticator app, with the old password and its code, and seals the secret with a key of ours', async () => {
    for (const name of withTotp) {
      const { totp_secret, ...person } = old(name);
      const { accessToken } = await signInWithTotp(service, { ...person, secret: totp_secret ?? '' });
      const { body } = await service.api().get('/api/auth/me', accessToken);
      expect(body.email.toLowerCase()).toBe(person.email.toLowerCase());
      expect(body).toMatchObject(keeps[name] ?? {});
      const [row] = await service.sql<{ password_hash: string; secret: string }[]>`
        select password_hash, secret from accounts a join totp_authenticators t on t.account_id = a.id where a.id = ${body.id}`;
      expect(row?.password_hash).toMatch(/^\$argon2id\$v=19\$m=7168,/);
      expect(row?.secret).toMatch(/^gAAAA/);
      expect(read('tests/vectors/fastapi-sqlalchemy.sql')).not.toContain(row?.secret);
    }
  });

  it('signs in who has a password alone, in any script', async () => {
    for (const name of withPassword) {
      await signIn(service.api(), old(name));
      const { body } = await tryLogin(service.api(), old(name));
      expect(body.user).toMatchObject(keeps[name] ?? {});
    }
  });

  it('keeps the unverified unverified, who is switched off out, and asks for the code by SMS where that was the second factor', async () => {
    const api = service.api();
    for (const name of unverified) expectProblem(await tryLogin(api, old(name)), 'email-not-verified');
    for (const name of suspended) expectProblem(await tryLogin(api, old(name)), 'account-suspended');
    for (const name of bySms) expect((await tryLogin(api, old(name))).body).toMatchObject({ status: 'mfa_required', methods: ['sms'] });
  });
});

describe('from passkeys-and-cookies', () => {
  let service: TestService;
  let report: Report;
  /** Enrolled over there: grace has two. */
  let passkeys: { name: string; passkey: OldPasskey }[];
  beforeAll(async () => {
    service = await startService();
    const enrolled = ['ada', 'grace', 'grace'].map(async (name) => ({
      name,
      passkey: await oldPasskey(service, Buffer.from(old(name).id)),
    }));
    passkeys = await Promise.all(enrolled);
    report = await move(service, 'passkeys-and-cookies', async (sql) => {
      for (const { name, passkey } of passkeys) {
        await sql`insert into webauthn_credentials values (gen_random_uuid(), ${old(name).id}, ${passkey.credentialId}, ${passkey.publicKey},
          ${passkey.signCount}, ${`Key of ${name}`})`;
      }
    });
  }, 60_000);
  afterAll(() => service.stop());

  it('takes all, with the passkeys that they enrolled over there: they sign in, and choose no password', async () => {
    expect(report).toMatchObject({ imported: 7, passkeys: 3, rejected: 1 });
    expect(await service.sql`select from outbox`).toEqual([]);
    for (const { name, passkey } of passkeys) {
      const credential = await assertionOf(service, passkey.authenticator);
      const { body } = await service.api().post('/api/auth/webauthn/authenticate/verify', { credential });
      expect(body.user.id).toBe(old(name).id);
      const listed = await service.api().get('/api/auth/webauthn/credentials', body.access_token);
      expect(listed.body.credentials[0]).toMatchObject({ name: `Key of ${name}` });
    }
  });

  it('lets in who has no passkey with a password that they set by mail', async () => {
    const { id, email } = old('alan');
    expectProblem(await tryLogin(service.api(), old('alan')), 'invalid-credentials');
    await service.api().post('/api/auth/forgot-password', { email });
    const token = await service.mail.token(email, 'reset-password');
    await service.api().post('/api/auth/reset-password', { token, new_password: OTHER_PASSWORD });
    const { accessToken } = await signIn(service.api(), { id, email, username: '', password: OTHER_PASSWORD });
    expect((await service.api().get('/api/auth/me', accessToken)).body).toMatchObject({ id, created_at: ALAN.created_at });
  });
});

describe('the afternoon of docs/migrate/README.md, while both services run,', () => {
  it('lets old tokens read, takes who came late at the second import, and closes', { timeout: 60_000 }, async () => {
    const page = 'fastapi-sqlalchemy';
    const issuer = await legacyIssuer();
    const days = (count: number) => new Date(Date.now() + count * DAY * 1000).toISOString();
    const window = { LEGACY_JWKS_URL: issuer.url, LEGACY_ISSUER: 'https://old.example.com', LEGACY_TOKENS_UNTIL: days(7) };
    const service = await startService({ settings: window });
    const api = service.api();
    const oldToken = ({ id }: Person) => {
      const seconds = Math.floor(service.clock.now().getTime() / 1000);
      return issuer.sign({ sub: id, type: 'access', iss: window.LEGACY_ISSUER, iat: seconds, exp: seconds + HOUR });
    };
    const me = async (token: string) => await api.get('/api/auth/me', token);
    const alan = old('alan');
    const late = { ...alan, id: randomUUID(), email: newEmail() };
    try {
      await inOldDatabase(page, async (sql) => {
        expect(await importFrom(sql, page, service)).toMatchObject({ imported: 6, already_there: 0 });
        const token = await oldToken(alan);
        await until('the keys of the old service are there', async () => (await me(token)).body.id === alan.id);
        const change = { current_password: alan.password, new_password: OTHER_PASSWORD };
        expectProblem(await api.post('/api/auth/change-password', change, token), 'unauthenticated');

        // Over there somebody registers, and here somebody changes what the old database still has.
        await sql`insert into users (id, email, hashed_password, is_verified)
          select ${late.id}, ${late.email}, hashed_password, true from users where id = ${alan.id}`;
        expectProblem(await me(await oldToken(late)), 'unauthenticated');
        expectProblem(await tryLogin(api, late), 'invalid-credentials');
        const { accessToken } = await signIn(api, alan);
        expect((await api.post('/api/auth/change-password', change, accessToken)).status).toBe(200);

        expect(await importFrom(sql, page, service)).toMatchObject({ imported: 1, already_there: 6 });
      });
      expect((await me(await oldToken(late))).body).toMatchObject({ id: late.id, email: late.email });
      await signIn(api, late);
      expectProblem(await tryLogin(api, alan), 'invalid-credentials');
      await signIn(api, { ...alan, password: OTHER_PASSWORD });

      service.clock.advance(7 * DAY + 1);
      expectProblem(await me(await oldToken(late)), 'unauthenticated');
      const { accessToken } = await signIn(api, late);
      expect((await me(accessToken)).body.id).toBe(late.id);
    } finally {
      await service.stop();
      await issuer.stop();
    }
  });
});

describe.runIf(hasPythonModule('cryptography'))('the Fernet of Python, which is not ours,', () => {
  const python = (asked: { open: string[]; seal: string }): { opened: string[]; sealed: string } =>
    JSON.parse(
      execFileSync(PYTHON, ['tests/support/fernet.py'], { encoding: 'utf8', input: JSON.stringify({ key: fernet_key, ...asked }) }),
    );
  const enrolled = people.flatMap(({ id, totp_secret }) => (totp_secret === null ? [] : [{ id, totp_secret }]));
  const rows = read('tests/vectors/fastapi-sqlalchemy.sql').split('\n');

  it('opens the tokens that the tests above import, and finds the secrets in them', () => {
    const tokens = enrolled.map(({ id }) => /'(gAAAA[^']*)'/.exec(rows.find((row) => row.includes(id)) ?? '')?.[1] ?? '');
    expect(tokens).toHaveLength(2);
    expect(python({ open: tokens, seal: '' }).opened).toEqual(enrolled.map(({ totp_secret }) => totp_secret));
  });

  it('seals a secret today, and its owner signs in here with a code of it', async () => {
    const secret = 'MFRGGZDFMZTWQ2LKNNWG23TPOBYXE43U';
    const { sealed } = python({ open: [], seal: secret });
    const service = await startService();
    try {
      await move(service, 'fastapi-sqlalchemy', async (sql) => {
        await sql`update users set totp_secret = ${sealed} where id = ${old('ada').id}`;
      });
      const { accessToken } = await signInWithTotp(service, { ...old('ada'), secret });
      expect((await service.api().get('/api/auth/me', accessToken)).body.id).toBe(old('ada').id);
    } finally {
      await service.stop();
    }
  });
});

describe.runIf(has('psql'))('the commands of fastapi-sqlalchemy, as written,', () => {
  const page = 'fastapi-sqlalchemy';
  const commands = [...read(`docs/migrate/${page}.md`).matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block]) => block).join('');

  it('move the users, and those who were mended after them', { timeout: 120_000 }, async () => {
    const service = await startService();
    // Where the repository is, as far as npm can tell: the files of the page must not lie in ours.
    const here = mkdtempSync(path.join(folder, 'page-'));
    for (const name of ['package.json', 'node_modules', 'src', 'tools']) symlinkSync(path.resolve(name), path.join(here, name));
    try {
      await inOldDatabase(page, async (sql, address) => {
        const env = {
          PATH: `${path.dirname(process.execPath)}:${process.env['PATH']}`,
          HOME: here,
          npm_config_update_notifier: 'false',
          ...settingsFor(service.database.address),
          SECRET_KEY: service.config.SECRET_KEY?.reveal(),
          FERNET_KEY: service.config.FERNET_KEY?.reveal(),
          OLD_DATABASE_URL: settingsFor(address)['DATABASE_URL'],
          OLD_FERNET_KEY: fernet_key,
        };
        const walk = async (...options: string[]) => await bash(commands, { cwd: here, env }, options);
        const write = (statement: string) => writeFileSync(path.join(here, 'users.sql'), statement);

        write(statementOf(page));
        const first = await walk();
        expect(first.code, first.said).toBe(1);
        expect(first.said).toMatch(/^6 would be imported .* 2 rejected;.*^6 imported .* 2 rejected;/ms);
        for (const name of ['users.ndjson', 'old-fernet-key', 'users.ndjson.rejects.ndjson'])
          expect(statSync(path.join(here, name)).mode & 0o777, name).toBe(0o600);
        await signInWithTotp(service, { ...old('ada'), secret: old('ada').totp_secret ?? '' });

        // What the table of reasons advises.
        await sql`update users set email = 'second.ada@example.com' where username = 'ada2'`;
        const mended = statementOf(page)
          .replace("'username', username,", "'username', replace(username, ' ', '_'),")
          .replace("'password_hash', hashed_password,", "'password_hash', case when hashed_password like '$%' then hashed_password end,");
        write(mended);
        const second = await walk('-e');
        expect(second.code, second.said).toBe(0);
        expect(second.said).toMatch(/^2 would be imported .* 6 there already, 0 rejected;.*^2 imported .* 6 there already, 0 rejected;/ms);
        await signIn(service.api(), { ...old('twin'), email: 'second.ada@example.com' });
      });
    } finally {
      await service.stop();
    }
  });
});

/** @returns what it printed, either way, and how it ended */
function bash(
  script: string,
  how: { cwd: string; env: NodeJS.ProcessEnv },
  options: string[],
): Promise<{ code: number | null; said: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn('bash', ['-uo', 'pipefail', ...options, '-c', script], { ...how, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        said += chunk;
      });
    }
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, said }));
  });
}

describe('the pages of migration', () => {
  const pages = readdirSync(new URL('../../docs/migrate/', import.meta.url)).map((file) => file.replace('.md', ''));
  const kinds = [...KINDS.map(({ page }) => page), 'passkeys-and-cookies'];
  const rowsOf = (page: string) => read(`docs/migrate/${page}.md`).matchAll(/^\| (.*?) \| (.*) \|$/gm);

  it('are five, each in the index', () => {
    expect(kinds.filter((page) => !pages.includes(page))).toEqual([]);
    expect(kinds.filter((page) => !read('docs/migrate/README.md').includes(`(${page}.md)`))).toEqual([]);
  });

  it.each(kinds)('%s says of each column of a user that its statement reads, and of the sessions, what becomes of it', (page) => {
    const text = read(`docs/migrate/${page}.md`);
    const [, tables = ''] = /\n## Tables\n(.*?)\n## /s.exec(text) ?? [];
    const rows = [...tables.matchAll(/^\| (.*?) \| (.*) \|$/gm)];
    expect(rows.some(([, theirs = '', here = '']) => /sessions|tokens/.test(theirs) && here.startsWith('left'))).toBe(true);
    const named = rows.map(([, theirs = '']) => theirs).join(' ');
    const [, statement = ''] = /```sql\n(.*?)```/s.exec(text) ?? [];
    const code = statement.replaceAll(/'[^']*'|--.*$/gm, '');
    const [, users = ''] = /CREATE TABLE users \((.*?)\n\);/s.exec(shapeOf(page) || read('tests/vectors/fastapi-sqlalchemy.sql')) ?? [];
    const columns = [...users.matchAll(/^ {2}([a-z_]+) [A-Z]/gm)].map(([, name = '']) => new RegExp(`\\b${name}\\b`));
    const asked = columns.filter((column) => column.test(code));
    expect(asked.length).toBeGreaterThan(4);
    expect(asked.filter((column) => !column.test(named))).toEqual([]);
  });

  it('name paths that answer here, for what is gone too, each by its method', async () => {
    const service = await startService();
    const answers = async (method: string, url: string) => {
      const answer = await fetch(`${service.origin}${url.replace('{id}', randomUUID())}`, { method });
      await answer.text();
      return answer.status !== 404 && answer.status !== 405;
    };
    try {
      expect(await answers('POST', '/api/v1/auth/no-such-path')).toBe(false);
      expect(await answers('PUT', '/api/auth/login')).toBe(false);
      for (const page of kinds) {
        const paths = [...rowsOf(page)].flatMap(([, theirs = '', here = '']) => {
          const ours = here.startsWith('gone') ? here : theirs;
          return [...ours.matchAll(/`([A-Z]+) (\/\S+)`/g)].map(([, method = '', url = '']) => ({ method, url }));
        });
        expect(paths.length, page).toBeGreaterThan(5);
        const deaf = [];
        for (const { method, url } of paths) if (!(await answers(method, url))) deaf.push(`${method} ${url}`);
        expect(deaf, page).toEqual([]);
      }
    } finally {
      await service.stop();
    }
  });

  it.each(kinds)('%s names settings that there are', (page) => {
    const known = (name: string) => Object.hasOwn(SETTINGS, name);
    const ours = [...rowsOf(page)].flatMap(([, , here = '']) =>
      [...here.matchAll(/`([A-Z][A-Z0-9_]+)(?:=[^`]*)?`/g)].map(([, name = '']) => name),
    );
    expect(ours.length).toBeGreaterThan(5);
    expect(ours.filter((name) => !known(name))).toEqual([]);
  });
});
