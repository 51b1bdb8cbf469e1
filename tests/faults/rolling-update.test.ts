import { afterEach, describe, expect, inject, it } from 'vitest';
import { latchkeyProcess } from '#tests/support/command.ts';
import { createDatabase, dropDatabase, inDatabase, testDatabase } from '#tests/support/database.ts';
import { newEmail, newUsername, OTHER_PASSWORD, PASSWORD } from '#tests/support/people.ts';
import { type ServiceProcess, serviceProcess } from '#tests/support/process.ts';
import { totpCode } from '#tests/support/totp.ts';
import { until } from '#tests/support/until.ts';
import { checkedOut, commitBeforeNewestMigration } from '#tests/support/version-before.ts';

/** What an update looks like from the database: processes that start at once, and for a while two versions on one schema. */

const SETTINGS = {
  ISSUER: 'http://localhost:3000',
  RATE_LIMIT_LOGIN: '1000/second',
  RATE_LIMIT_MFA: '1000/second',
  RATE_LIMIT_PER_USER: '1000/second',
};
const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

type Reply = { status: number; body: Record<string, string> };

async function call(
  { origin }: ServiceProcess,
  method: string,
  where: string,
  { body, token }: { body?: object; token?: string } = {},
): Promise<Reply> {
  const headers = { ...(body ? { 'content-type': 'application/json' } : {}), ...(token ? { authorization: `Bearer ${token}` } : {}) };
  const answer = await fetch(`${origin}/api/auth/${where}`, { method, headers, body: body ? JSON.stringify(body) : null });
  const text = await answer.text();
  return { status: answer.status, body: text === '' ? {} : (JSON.parse(text) as Record<string, string>) };
}

/** The token in a mail that either process has sent. */
function linkTo(address: string, processes: ServiceProcess[]): Promise<string> {
  return until('the mail is there', async () => {
    for (const { origin } of processes) {
      const answer = await fetch(`${origin}/dev/mailbox`, { headers: { accept: 'application/json' } });
      const { messages } = (await answer.json()) as { messages: { to: string; links: string[] }[] };
      const link = messages.find(({ to }) => to === address)?.links.find((each) => each.includes('/verify-email'));
      if (link !== undefined) return new URLSearchParams(new URL(link).hash.slice(1)).get('token');
    }
    return null;
  });
}

describe('several processes that start at once on an empty database', () => {
  it('all become ready: one migrates, the others wait for it', { timeout: 180_000 }, async () => {
    const server = inject('postgres');
    const name = await createDatabase(server);
    undo.push(() => dropDatabase(server, name));
    const starts = await Promise.allSettled(Array.from({ length: 3 }, () => serviceProcess(inDatabase(server, name), SETTINGS)));
    for (const start of starts) if (start.status === 'fulfilled') undo.push(start.value.stop);
    expect(starts.map((start) => (start.status === 'fulfilled' ? 'ready' : String(start.reason)))).toEqual(Array(3).fill('ready'));
    const [first, second] = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []));
    const email = newEmail();
    expect((await first?.post('register', { email, password: PASSWORD }))?.status).toBe(201);
    expect((await second?.post('login', { email, password: PASSWORD }))?.status).toBe(403); // it is there, and not verified
  });
});

const before = commitBeforeNewestMigration();

describe.runIf(before !== null)('the version before the newest migration', () => {
  it('serves on the schema of today beside the version of today, each going on with what the other began', {
    timeout: 180_000,
  }, async () => {
    const code = checkedOut(before ?? '');
    undo.push(code.remove);
    const database = await testDatabase();
    undo.push(database.drop);
    const applied = (await database.sql<{ name: string }[]>`select name from schema_migrations`).map(({ name }) => name);
    expect(applied.filter((name) => !code.migrations.includes(name))).not.toEqual([]); // the schema is ahead of that code
    const now = await serviceProcess(database.address, SETTINGS);
    undo.push(now.stop);
    const old = await serviceProcess(database.address, SETTINGS, code.folder);
    undo.push(old.stop);

    for (const [one, other] of [
      [old, now],
      [now, old],
    ] as const) {
      const [email, username] = [newEmail(), newUsername()];
      const ok = async (reply: Promise<Reply>, status = 200) => {
        const { status: seen, body } = await reply;
        expect(seen, JSON.stringify(body)).toBe(status);
        return body;
      };
      await ok(call(one, 'POST', 'register', { body: { email, username, password: PASSWORD } }), 201);
      await ok(call(other, 'POST', 'verify-email', { body: { token: await linkTo(email, [one, other]) } }));
      await ok(call(other, 'POST', 'login', { body: { email, password: 'not the password' } }), 401);
      const begun = await ok(call(one, 'POST', 'login', { body: { email, password: PASSWORD } }));
      const { access_token: token = '' } = await ok(call(other, 'POST', 'refresh', { body: { refresh_token: begun['refresh_token'] } }));
      for (const each of [one, other]) await ok(call(each, 'GET', 'me', { token }));

      const { secret = '' } = await ok(call(one, 'POST', 'mfa/setup', { token }));
      await ok(call(other, 'POST', 'mfa/activate', { token, body: { code: totpCode(secret, new Date(Date.now() - 30_000)) } }));
      const { pre_auth_token } = await ok(call(other, 'POST', 'login', { body: { email, password: PASSWORD } }));
      const proof = { pre_auth_token, method: 'totp', code: totpCode(secret, new Date()) };
      const second = await ok(call(one, 'POST', 'verify-mfa', { body: proof }));
      const change = { current_password: PASSWORD, new_password: OTHER_PASSWORD };
      const changed = await ok(call(other, 'POST', 'change-password', { token: second['access_token'] ?? '', body: change }));
      await ok(call(one, 'GET', 'me', { token }), 401); // the session from before ended with the password
      for (const each of [one, other]) await ok(call(each, 'GET', 'me/activity', { token: changed['access_token'] ?? '' }));
      await ok(call(one, 'POST', 'logout', { token: changed['access_token'] ?? '' }), 204);
      await ok(call(other, 'GET', 'me', { token: changed['access_token'] ?? '' }), 401);
    }
    const verdict = await latchkeyProcess(database.address, ['audit', 'verify']).ended;
    expect(verdict, verdict.out + verdict.err).toMatchObject({ code: 0, out: expect.stringContaining('The audit trail is unbroken') });
  });
});
