import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { connect } from '#infrastructure/postgres/connect.ts';
import { expectProblem } from '#tests/support/api.ts';
import { latchkeyProcess } from '#tests/support/command.ts';
import { createDatabase, dropDatabase, inDatabase } from '#tests/support/database.ts';
import { type Person, signIn, tryLogin } from '#tests/support/people.ts';
import { signInWithTotp } from '#tests/support/second-factors.ts';
import { startService } from '#tests/support/service.ts';

/**
 * A database as SQLAlchemy makes it, with hashes by passlib and argon2-cffi and secrets by python3-cryptography, moved with the statement of
 * docs/migrate/fastapi-sqlalchemy.md (ours to hold to its word).
 */

type OldPerson = Person & { name: string; totp_secret: string | null };

const read = (file: string) => readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8');
const { fernet_key, people }: { fernet_key: string; people: OldPerson[] } = JSON.parse(read('tests/vectors/fastapi-sqlalchemy.json'));
const old = (name: string) => {
  const person = people.find((each) => each.name === name);
  if (!person) throw new Error(`There is no ${name}`);
  return person;
};

const service = await startService();
const api = service.api();
const folder = mkdtempSync(path.join(tmpdir(), 'latchkey-migrate-'));
const server = inject('postgres');
const oldDatabase = await createDatabase(server);
afterAll(async () => {
  await service.stop();
  await dropDatabase(server, oldDatabase);
  rmSync(folder, { recursive: true });
});

let report: { imported: number; rejected: number; reasons: Record<string, number> };
beforeAll(async () => {
  const [, statement = ''] = /```sql\n(.*?)```/s.exec(read('docs/migrate/fastapi-sqlalchemy.md')) ?? [];
  const sql = connect(inDatabase(server, oldDatabase), { max: 1, connection: { TimeZone: 'Asia/Kolkata' } });
  await sql.unsafe(read('tests/vectors/fastapi-sqlalchemy.sql'));
  const rows = await sql.unsafe(`select user_line::text from (${statement}) as file (user_line)`);
  await sql.end();
  const [users, key] = [path.join(folder, 'users.ndjson'), path.join(folder, 'old-fernet-key')];
  writeFileSync(users, rows.map(({ user_line }) => `${user_line}\n`).join(''));
  writeFileSync(key, `${fernet_key}\n`);
  const { ended } = latchkeyProcess(service.database.address, ['users', 'import', users, '--fernet-key-file', key, '--json']);
  report = JSON.parse((await ended).out);
});

describe('from a FastAPI service with SQLAlchemy', () => {
  it('takes all who can be taken, and says why not the others', () => {
    expect(report).toMatchObject({ imported: 6, already_there: 0, rejected: 2 });
    expect(Object.keys(report.reasons)).toEqual([expect.stringContaining('same address'), expect.stringContaining('username')]);
  });

  it.each(['ada', 'grace'])('signs %s in with the old password and the old authenticator app', async (name) => {
    const { totp_secret, ...person } = old(name);
    const { accessToken } = await signInWithTotp(service, { ...person, secret: totp_secret ?? '' });
    const { body } = await api.get('/api/auth/me', accessToken);
    expect(body).toMatchObject({ id: person.id, username: name, roles: [name === 'ada' ? 'admin' : 'user'] });
    const [row] = await service.sql<{ password_hash: string; secret: string }[]>`
      select password_hash, secret from accounts a join totp_authenticators t on t.account_id = a.id where a.id = ${person.id}`;
    expect(row?.password_hash).toMatch(/^\$argon2id\$v=19\$m=7168,/);
    expect(read('tests/vectors/fastapi-sqlalchemy.sql')).not.toContain(row?.secret);
  });

  it('signs in who has a password alone, in any script', async () => {
    await signIn(api, old('alan'));
    const { body } = await tryLogin(api, old('alan'));
    expect(body.user).toMatchObject({ id: old('alan').id, display_name: 'Алан Тьюринг', created_at: '2023-03-03T04:05:06.000Z' });
  });

  it('keeps the unverified unverified, who is switched off out, and asks for the code by SMS where that was the second factor', async () => {
    expectProblem(await tryLogin(api, old('edsger')), 'email-not-verified');
    expectProblem(await tryLogin(api, old('barbara')), 'account-suspended');
    expect((await tryLogin(api, old('joan'))).body).toMatchObject({ status: 'mfa_required', methods: ['sms'] });
  });
});
