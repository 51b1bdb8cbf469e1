import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { eventOf, holderOf } from '#tests/support/admins.ts';
import { expectProblem } from '#tests/support/api.ts';
import { MINUTE } from '#tests/support/clock.ts';
import { latchkeyProcess } from '#tests/support/command.ts';
import { testDatabase } from '#tests/support/database.ts';
import {
  newEmail,
  OTHER_PASSWORD,
  PASSWORD,
  registeredPerson,
  signedInPerson,
  signIn,
  tryLogin,
  verifiedPerson,
} from '#tests/support/people.ts';
import { assertionOf, authenticatorOf, enrolPasskey } from '#tests/support/second-factors.ts';
import { startService } from '#tests/support/service.ts';
import { until } from '#tests/support/until.ts';

const FRONTEND_URL = 'https://app.example.com';
const service = await startService({ settings: { FRONTEND_URL } });
const { sql, mail } = service;
const api = service.api();
const folder = mkdtempSync(path.join(tmpdir(), 'latchkey-force-reset-'));
afterAll(async () => {
  await service.stop();
  rmSync(folder, { recursive: true });
});

async function forcing(...options: string[]) {
  const ran = await latchkeyProcess(service.database.address, ['users', 'force-reset', '--json', ...options], { FRONTEND_URL }).ended;
  service.clock.advance(MINUTE); // the clock of the test stands still: the command's mails are due after it
  return ran;
}
function idsFile(...ids: string[]): string {
  const file = path.join(folder, 'ids');
  writeFileSync(file, `${ids.join('\n')}\n\n`);
  return file;
}

describe('users force-reset', () => {
  it('ends the password and every session at once, mails the owner, and lets them in again with a password of their own choice', async () => {
    const person = await signedInPerson(service);
    const other = await signedInPerson(service);
    const ran = await forcing('--ids', idsFile(person.id));
    expect(JSON.parse(ran.out)).toMatchObject({ dry_run: false, forced: 1, without_password: 0, not_there: 0 });
    expect((await api.get('/api/auth/me', person.accessToken)).status).toBe(401);
    expectProblem(await api.post('/api/auth/refresh', { refresh_token: person.refreshToken }), 'invalid-refresh-token');
    expectProblem(await tryLogin(api, person), 'invalid-credentials');
    const [newest] = await mail.to(person.email);
    expect(newest?.subject).toContain('Choose a new password');
    expect(newest?.links).toContain(`${FRONTEND_URL}/forgot-password`);
    expect(JSON.stringify(newest)).not.toContain('token=');
    expect(await eventOf(service, 'PASSWORD_RESET_FORCED', person.id)).toMatchObject({ risk: 60, details: { ended: 1 } });

    await api.post('/api/auth/forgot-password', { email: person.email });
    const token = await mail.token(person.email, 'reset-password');
    expect((await api.post('/api/auth/reset-password', { token, new_password: OTHER_PASSWORD })).status).toBe(204);
    await signIn(api, { ...person, password: OTHER_PASSWORD });
    expect((await api.get('/api/auth/me', other.accessToken)).status).toBe(200);
  });

  it('closes the ways back to the old password: a link asked for before, a registration that waits, a sign-in under way', async () => {
    const person = await verifiedPerson(service);
    await api.post('/api/auth/forgot-password', { email: person.email });
    const token = await mail.token(person.email, 'reset-password');
    const registered = await registeredPerson(service);
    const verifying = await mail.token(registered.email, 'verify-email');
    await forcing('--ids', idsFile(person.id, registered.id));
    expectProblem(await api.post('/api/auth/reset-password', { token, new_password: PASSWORD }), 'invalid-token');
    expectProblem(await api.post('/api/auth/verify-email', { token: verifying }), 'invalid-token');
    expectProblem(await tryLogin(api, registered), 'invalid-credentials');
  });

  it('leaves no session to whoever signs in with the old password at the same moment', async () => {
    const person = await verifiedPerson(service);
    const ids = idsFile(person.id);
    const ran = forcing('--ids', ids);
    let isOver = false;
    const over = ran.then(() => {
      isOver = true;
    });
    const tokens: string[] = [];
    const thief = async () => {
      while (!isOver) {
        const { status, body } = await tryLogin(api, person);
        if (status === 200) tokens.push(body.access_token);
      }
    };
    await Promise.all([thief(), thief(), thief(), over]);
    expect(tokens.length).toBeGreaterThan(0);
    for (const token of tokens) expect((await api.get('/api/auth/me', token)).status).toBe(401);
    await sql`delete from login_throttles`; // the thief may have locked itself out by then
    expectProblem(await tryLogin(api, person), 'invalid-credentials');
  });

  it('leaves passkeys, because they do not leak with passwords', async () => {
    const person = await signedInPerson(service);
    const authenticator = authenticatorOf(service);
    await enrolPasskey(service, person, authenticator);
    await forcing('--ids', idsFile(person.id));
    const credential = await assertionOf(service, authenticator);
    expect((await api.post('/api/auth/webauthn/authenticate/verify', { credential })).body).toMatchObject({ status: 'authenticated' });
  });

  it('takes all, those of a role, or those who begin with it; says before what it would do', async () => {
    const database = await testDatabase();
    const alone = await startService({ database });
    const run = async (...options: string[]) =>
      JSON.parse((await latchkeyProcess(database.address, ['users', 'force-reset', '--json', ...options]).ended).out);
    const withPassword = async () => (await database.sql`select 1 from accounts where password_hash is not null`).length;
    try {
      const [ada] = [await verifiedPerson(alone), await verifiedPerson(alone), await holderOf(alone, 'admin')];
      await database.sql`insert into accounts (id, email, email_canonical, created_at, updated_at)
        values (gen_random_uuid(), 'none@example.com', 'none@example.com', now(), now())`;
      expect(await run('--all', '--dry-run')).toMatchObject({ dry_run: true, forced: 3, without_password: 1 });
      expect(await withPassword()).toBe(3);
      expect(await database.sql`select 1 from outbox where template = 'password-withdrawn'`).toHaveLength(0);
      expect(await run('--query', ada.email)).toMatchObject({ forced: 1, without_password: 0 });
      expect(await run('--role', 'admin')).toMatchObject({ forced: 1 });
      expect(await run('--all')).toMatchObject({ forced: 1, without_password: 3 });
      expect(await withPassword()).toBe(0);
    } finally {
      await alone.stop();
      await database.drop();
    }
  }, 60_000);

  it('goes on after it was killed, and asks nobody twice who has chosen since', async () => {
    const many = 300;
    const database = await testDatabase();
    const file = path.join(folder, 'many.ndjson');
    const hash = '$2b$04$abcdefghijklmnopqrstuuQZGzlQkWFpNT8Xq1R0mR9jEX7lX8dZu';
    writeFileSync(
      file,
      Array.from({ length: many }, () => JSON.stringify({ email: newEmail(), email_verified: true, password_hash: hash })).join('\n'),
    );
    const count = async (where: string) => (await database.sql.unsafe(`select 1 from accounts where ${where}`)).length;
    const args = ['users', 'force-reset', '--all', '--json', '--mails-per-minute', '60'];
    try {
      expect((await latchkeyProcess(database.address, ['users', 'import', file]).ended).code).toBe(0);
      const first = latchkeyProcess(database.address, args);
      await until('some are forced', async () => (await count('password_hash is null')) > 0);
      first.child.kill('SIGKILL');
      await first.ended;
      const done = await count('password_hash is null');
      expect(done).toBeLessThan(many);
      await database.sql`update accounts set password_hash = ${hash} where id = (select id from accounts where password_hash is null limit 1)`;
      const second = JSON.parse((await latchkeyProcess(database.address, args).ended).out);
      expect(second).toMatchObject({ forced: many - done, forced_before: 1, without_password: done - 1 });
      expect(await count('password_hash is null')).toBe(many - 1);
      // One event and one mail each, whatever was cut off.
      expect(await database.sql`select 1 from audit_events where type = 'PASSWORD_RESET_FORCED'`).toHaveLength(many);
      const [mails] = await database.sql`
        select count(*)::int as queued, count(distinct account_id)::int as people from outbox where template = 'password-withdrawn'`;
      expect(mails).toEqual({ queued: many, people: many });
      const again = JSON.parse((await latchkeyProcess(database.address, [...args, '--since', new Date().toISOString()]).ended).out);
      expect(again).toMatchObject({ forced: 1, forced_before: 0 });
    } finally {
      await database.drop();
    }
  }, 60_000);

  it('spreads the mails over time, and none of them expires before it is due', async () => {
    const people = [await verifiedPerson(service), await verifiedPerson(service), await verifiedPerson(service)];
    await forcing('--ids', idsFile(...people.map(({ id }) => id)), '--mails-per-minute', '1');
    // A message counts as made when it is due: one that waits for its turn is not late.
    const rows = await sql<{ apart: number; kept: number }[]>`
      select extract(epoch from created_at - min(created_at) over ())::float as apart,
        extract(epoch from expires_at - created_at)::float as kept
      from outbox where template = 'password-withdrawn' and account_id in ${sql(people.map(({ id }) => id))} order by created_at`;
    expect(rows.at(-1)?.apart).toBeGreaterThan(110);
    expect(rows.every(({ kept }) => kept > 24 * 60 * 60)).toBe(true);
    await sql`delete from outbox where template = 'password-withdrawn' and sent_at is null`;
  });

  it('mails nobody who is suspended, yet takes their password', async () => {
    const person = await verifiedPerson(service);
    await sql`update accounts set status = 'suspended' where id = ${person.id}`;
    expect(JSON.parse((await forcing('--ids', idsFile(person.id))).out)).toMatchObject({ forced: 1 });
    expect(await sql`select 1 from accounts where id = ${person.id} and password_hash is null`).toHaveLength(1);
    expect(await sql`select 1 from outbox where account_id = ${person.id} and template = 'password-withdrawn'`).toHaveLength(0);
  });

  it('changes nobody when the words are off, an id is none, or the mails could not be read', async () => {
    const person = await verifiedPerson(service);
    const odd = [[], ['--all', '--ids', 'x'], ['--role', 'root'], ['--all', '--since', 'x'], ['--all', '--mails-per-minute', '0']];
    const codes = await Promise.all(odd.map(async (words) => (await forcing(...words)).code));
    expect(codes).toEqual(odd.map(() => 2));
    expect(await forcing('--ids', idsFile(person.id, 'everybody'))).toMatchObject({ code: 1, err: expect.stringContaining('line 2') });
    const keyless = await latchkeyProcess(service.database.address, ['users', 'force-reset', '--ids', idsFile(person.id)], {
      SECRET_KEY: '',
    }).ended;
    expect(keyless.code).not.toBe(0);
    await signIn(api, person);
  }, 60_000);
});
