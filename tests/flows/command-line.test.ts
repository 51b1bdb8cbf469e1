import { type ExecFileException, execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Wire, wireTo } from '#tests/adapters/postgres/wire.ts';
import { eventOf, rolesOf } from '#tests/support/admins.ts';
import { expectProblem } from '#tests/support/api.ts';
import { newEmail, PASSWORD, signedInPerson, signIn, tryLogin, verifiedPerson } from '#tests/support/people.ts';
import { startService, type TestService } from '#tests/support/service.ts';

let service: TestService;
let wire: Wire;
let url: string;
beforeAll(async () => {
  service = await startService();
  wire = await wireTo(service.database.address); // to the command line it is a server like any other
  url = 'url' in wire.address ? wire.address.url : '';
});
afterAll(async () => {
  await service.stop();
  await wire.close();
});

type Ran = { code: number; out: string; err: string };

/** The operator's tool as a process of its own, with what it reads from its standard input. */
function latchkey(args: string[], input = ''): Promise<Ran> {
  return new Promise((resolve) => {
    const env = { ...process.env, DATABASE_URL: url, ARGON2_MEMORY_KIB: '7168', ARGON2_TIME_COST: '1', SECRET_KEY: 'x'.repeat(32) };
    const child = execFile(process.execPath, ['src/cli/latchkey.ts', ...args], { env }, (error: ExecFileException | null, out, err) =>
      resolve({ code: error ? Number(error.code ?? 1) : 0, out, err }),
    );
    child.stdin?.end(input);
  });
}

describe('latchkey users', () => {
  it('makes one with a password from standard input, who signs in', async () => {
    const email = newEmail();
    const made = await latchkey(
      ['users', 'create', '--email', email, '--role', 'staff', '--role', 'user', '--verified', '--password-stdin'],
      `${PASSWORD}\n`,
    );
    expect(made).toMatchObject({ code: 0, err: '' });
    const id = made.out.trim();
    await signIn(service.api(), { id, email, username: '', password: PASSWORD });
    expect(await rolesOf(service, id)).toEqual(['staff', 'user']);
    expect(await eventOf(service, 'USER_MADE', id)).toMatchObject({ details: { after: { roles: ['staff', 'user'], verified: true } } });
  });

  it('makes one without a password, who cannot sign in before setting one by mail', async () => {
    const email = newEmail();
    expect((await latchkey(['users', 'create', '--email', email])).code).toBe(0);
    expectProblem(await tryLogin(service.api(), { email, password: '' }), 'invalid-request');
    await service.api().post('/api/auth/forgot-password', { email });
    const token = await service.mail.token(email, 'reset-password');
    await service.api().post('/api/auth/reset-password', { token, new_password: PASSWORD });
    await signIn(service.api(), { id: '', email, username: '', password: PASSWORD });
  });

  it('makes none twice, with a weak password, with a role that there is not, or with a password on the command line', async () => {
    const { email } = await verifiedPerson(service);
    expect(await latchkey(['users', 'create', '--email', email])).toMatchObject({
      code: 1,
      err: expect.stringContaining('has an account'),
    });
    const other = newEmail();
    const weak = await latchkey(['users', 'create', '--email', other, '--password-stdin'], 'password1');
    expect(weak).toMatchObject({ code: 1, err: expect.not.stringContaining('password1') });
    expect((await latchkey(['users', 'create', '--email', other, '--role', 'root'])).code).toBe(2);
    expect((await latchkey(['users', 'create', '--email', other, '--password', 'x'])).code).toBe(2);
    expect(await service.sql`select from accounts where email = ${other}`).toHaveLength(0);
  });

  it('lists those that match', async () => {
    const { email } = await verifiedPerson(service);
    const { code, out } = await latchkey(['users', 'list', '--query', email.slice(0, 10), '--status', 'active', '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject([{ email, email_verified: true, roles: ['user'], status: 'active' }]);
    expect((await latchkey(['users', 'list', '--role', 'moderator'])).out).toMatch(/^ID +EMAIL/);
  });

  it('lists, and forces, whom the API finds, by an address as its owner writes it', async () => {
    const typed = `ada.${randomUUID()}@Bücher.example`;
    expect((await latchkey(['users', 'create', '--email', typed])).code).toBe(0);
    expect(JSON.parse((await latchkey(['users', 'list', '--query', typed, '--json'])).out)).toMatchObject([
      { email: typed.replace('Bücher', 'xn--bcher-kva') },
    ]);
    const forced = await latchkey(['users', 'force-reset', '--query', typed, '--dry-run', '--json']);
    expect(JSON.parse(forced.out)).toMatchObject({ without_password: 1, not_there: 0 });
  });
});

describe('latchkey clients', () => {
  it('makes credentials that work until they are revoked, and shows the secret once', async () => {
    const { accessToken } = await signedInPerson(service);
    const made = JSON.parse((await latchkey(['clients', 'create', '--name', 'orders', '--json'])).out) as {
      client_id: string;
      client_secret: string;
    };
    const authorization = `Basic ${Buffer.from(`${made.client_id}:${made.client_secret}`).toString('base64')}`;
    const ask = () => service.api().request('POST', '/api/auth/introspect', { body: { token: accessToken }, headers: { authorization } });
    expect((await ask()).body).toMatchObject({ active: true });
    const listed = await latchkey(['clients', 'list', '--json']);
    expect(JSON.parse(listed.out)).toMatchObject([{ client_id: made.client_id, name: 'orders', revoked_at: null }]);
    expect(listed.out).not.toContain(made.client_secret);
    expect(await latchkey(['clients', 'revoke', made.client_id])).toMatchObject({ code: 0 });
    expectProblem(await ask(), 'unauthenticated');
    expect((await latchkey(['clients', 'revoke', made.client_id])).code).toBe(1);
    expect(
      (await service.sql`select type from audit_events where type like 'SERVICE_CLIENT_%' order by id`).map(({ type }) => type),
    ).toEqual(['SERVICE_CLIENT_MADE', 'SERVICE_CLIENT_REVOKED']);
  });

  it.each([[['clients']], [['clients', 'create']], [['clients', 'create', '--name', 'a\nb']], [['clients', 'revoke']], [['clients', 'x']]])(
    'says how it is used where the words are off: %j',
    async (args) => expect(await latchkey(args)).toMatchObject({ code: 2, err: expect.stringContaining('Usage: latchkey clients') }),
  );
});
