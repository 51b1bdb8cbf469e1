import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { expectProblem } from '#tests/support/api.ts';
import { OTHER_PASSWORD, type Person, signIn, tryLogin, verifiedPerson } from '#tests/support/people.ts';
import { startService } from '#tests/support/service.ts';

const service = await startService();
const { sql } = service;
const api = service.api();
afterAll(service.stop);

const { hashes }: { hashes: { name: string; password: string; hash: string }[] } = JSON.parse(
  readFileSync(new URL('../vectors/password-hashes.json', import.meta.url), 'utf8'),
);

/** Somebody whose password another system hashed. */
async function importedPerson(form: string): Promise<Person> {
  const { password, hash } = hashes.find(({ name }) => name === form) ?? { password: '', hash: '' };
  const person = await verifiedPerson(service);
  await sql`update accounts set password_hash = ${hash} where id = ${person.id}`;
  return { ...person, password };
}

async function hashOf({ id }: Person): Promise<string> {
  const [row] = await sql<{ password_hash: string }[]>`select password_hash from accounts where id = ${id}`;
  return row?.password_hash ?? '';
}

describe('passwords that another system hashed', () => {
  it.each([...new Set(hashes.map(({ name }) => name))])('%s: signs in, and is hashed anew with Argon2id', async (form) => {
    const person = await importedPerson(form);
    expectProblem(await tryLogin(api, { ...person, password: 'not this one at all' }), 'invalid-credentials');
    await signIn(api, person);
    expect(await hashOf(person)).toMatch(/^\$argon2id\$v=19\$m=7168,t=1,p=1\$/);
    await signIn(api, person);
    expectProblem(await tryLogin(api, { ...person, password: 'not this one at all' }), 'invalid-credentials');
  });

  it('lets everyone in who signs in for the first time at the same moment', async () => {
    const person = await importedPerson('bcrypt $2b$');
    const answers = await Promise.all(Array.from({ length: 8 }, () => tryLogin(api, person)));
    expect(answers.map(({ status }) => status)).toEqual(Array(8).fill(200));
    expect(await hashOf(person)).toMatch(/^\$argon2id\$/);
    const [row] = await sql<{ times: number }[]>`
      select count(*)::int as times from audit_events where account_id = ${person.id} and type = 'PASSWORD_REHASHED'`;
    expect(row?.times).toBe(1);
  });

  it('are known when the password is proved again or changed', async () => {
    const person = await importedPerson('django pbkdf2_sha256');
    const { accessToken } = await signIn(api, person);
    await sql`update accounts set password_hash = ${hashes.find(({ name }) => name === 'scrypt')?.hash ?? ''} where id = ${person.id}`;
    expect(await api.post('/api/auth/reauthenticate', { password: person.password }, accessToken)).toMatchObject({ status: 200 });
    const change = { current_password: person.password, new_password: OTHER_PASSWORD };
    expect(await api.post('/api/auth/change-password', change, accessToken)).toMatchObject({ status: 200 });
    expect(await hashOf(person)).toMatch(/^\$argon2id\$/);
  });
});
