import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newEmail, PASSWORD } from '#tests/support/people.ts';
import { has } from '#tests/support/programs.ts';
import { postgresPrograms, runbookStage, type Stage } from '#tests/support/runbook-stage.ts';
import { totpCode } from '#tests/support/totp.ts';
import { until } from '#tests/support/until.ts';

/**
 * Every `sh` block of docs/runbooks, in order, against a service that runs: what a page says on a bad day was walked through. What comes
 * before a page (a theft, an attack, a dead Redis) is made here.
 */

const PAGES = new URL('../../docs/runbooks/', import.meta.url);
const textOf = (page: string) => readFileSync(new URL(`${page}.md`, PAGES), 'utf8');
const scriptOf = (page: string) => [...textOf(page).matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block]) => block).join('\n');

type Page = { name: string; before?: () => Promise<void>; says?: RegExp[]; after?: () => Promise<void> };

const programs = postgresPrograms();
const canRun = ['curl', 'jq', 'psql', 'redis-server', 'redis-cli', 'openssl'].every((program) => has(program)) && programs !== null;
let stage: Stage;
let admins: Admin[];

type Answer = Record<string, never> & { [name: string]: string };
async function post(route: string, body: object, { from = '127.0.0.1', token = '' } = {}): Promise<{ status: number; body: Answer }> {
  const headers = { 'content-type': 'application/json', 'x-forwarded-for': from, authorization: `Bearer ${token}` };
  const answer = await fetch(`${stage.origin}/api/auth/${route}`, { method: 'POST', headers, body: JSON.stringify(body) });
  const text = await answer.text();
  return { status: answer.status, body: text === '' ? {} : JSON.parse(text) };
}

type Account = { id: string; email: string };
function account(...options: string[]): Account {
  const email = newEmail();
  const id = stage.latchkey(['users', 'create', '--email', email, '--verified', '--password-stdin', ...options], PASSWORD).trim();
  return { id, email };
}

type Admin = Account & { codes: string[] };
async function admin(): Promise<Admin> {
  const made = account('--role', 'admin');
  const { body } = await post('login', { email: made.email, password: PASSWORD });
  const token = body['access_token'] ?? '';
  const setup = await post('mfa/setup', {}, { token });
  const activated = await post('mfa/activate', { code: totpCode(setup.body['secret'] ?? '', new Date()) }, { token });
  expect(activated.status, JSON.stringify(activated.body)).toBe(200);
  return { ...made, codes: activated.body['recovery_codes'] as unknown as string[] };
}

/** The header of a fresh sign-in by both factors. */
async function signInAdmin(): Promise<void> {
  const [one] = admins;
  const { body } = await post('login', { email: one?.email, password: PASSWORD });
  const code = one?.codes.pop();
  const answer = await post('verify-mfa', { pre_auth_token: body['pre_auth_token'], method: 'recovery_code', code });
  expect(answer.status, JSON.stringify(answer.body)).toBe(200);
  writeFileSync(path.join(stage.folder, 'work/admin-header'), `Authorization: Bearer ${answer.body['access_token']}\n`, { mode: 0o600 });
}

const THIEF = '198.51.100.7';
const ATTACKER = '203.0.113.9';
let stolen: Account;
let reached: Account;

/** In this order: each leaves a service that works to the next. */
const WALK: Page[] = [
  {
    name: 'token-theft',
    async before() {
      await signInAdmin();
      stolen = account();
      const { body } = await post('login', { email: stolen.email, password: PASSWORD });
      const next = await post('refresh', { refresh_token: body['refresh_token'] }, { from: THIEF });
      await post('refresh', { refresh_token: next.body['refresh_token'] }, { from: THIEF });
      expect((await post('refresh', { refresh_token: body['refresh_token'] }, { from: THIEF })).status).toBe(401);
    },
    says: [/REFRESH_TOKEN_REUSED/, /1 forced, 0 were already/, /192\.0\.2\.0\/24/],
    async after() {
      expect((await post('login', { email: stolen.email, password: PASSWORD })).status).toBe(401);
    },
  },
  {
    name: 'under-attack',
    async before() {
      await signInAdmin();
      reached = account();
      expect((await post('login', { email: reached.email, password: PASSWORD }, { from: ATTACKER })).status).toBe(200);
      for (let i = 0; i < 24; i++) await post('login', { email: newEmail(), password: 'from another leak' }, { from: ATTACKER });
    },
    says: [/1 forced/, /203\.0\.113\.0\/24/, /honest sign-ins work/],
    async after() {
      expect((await post('login', { email: reached.email, password: PASSWORD })).status).toBe(401);
      expect((await post('login', { email: reached.email, password: PASSWORD }, { from: ATTACKER })).status).toBe(403);
    },
  },
  {
    name: 'mail-stuck',
    async before() {
      await until(
        'what came before is delivered',
        () => stage.latchkey(['outbox', 'list', '--state', 'waiting', '--json']).trim() === '[]',
      );
      await stage.stopMail();
      await post('forgot-password', { email: account().email });
    },
    says: [/reset-password/, /the mail server does not answer/],
    async after() {
      expect(stage.mail().received).toHaveLength(1);
    },
  },
  { name: 'redis-down', before: () => stage.stopRedis(), says: [/Redis does not answer/, /tokens are verified/] },
  { name: 'upgrade', says: [/The schema is up to date/, /unbroken/] },
  {
    name: 'hardening',
    async before() {
      await signInAdmin();
      await stage.run('pg_dump -Fc -f "$BACKUPS/nightly.dump"');
    },
    says: [/^0 open$/m],
  },
  { name: 'rotate-signing-keys', says: [/is published as next/, /ES256/] },
  {
    name: 'rotate-encryption-keys',
    says: [/^2 of 2 secrets encrypted anew$/m, /^0 of 2 /m, /unbroken/],
  },
  { name: 'key-leak', says: [/\d+ forced/] },
  {
    name: 'mass-password-reset',
    says: [/would be forced/, /1 forced, 0 were already/],
    async after() {
      expect(stage.sql("select count(*) from accounts where password_hash is not null and status = 'active'")).toBe('0');
    },
  },
  { name: 'postgres-failover', says: [/backup successfully verified/, /unbroken/] }, // last: the database is elsewhere then
];

describe.runIf(canRun)('the runbooks', () => {
  beforeAll(async () => {
    stage = await runbookStage(programs ?? '');
    admins = [await admin(), await admin()];
  }, 120_000);
  afterAll(() => stage?.stop(), 60_000);

  it.each(WALK)(
    '$name does what it says, with its commands as written',
    async ({ name, before, says = [], after }) => {
      const { email } = account();
      writeFileSync(path.join(stage.folder, 'work/smoke.json'), JSON.stringify({ email, password: PASSWORD }), { mode: 0o600 });
      await before?.();
      const { code, said } = await stage.run(scriptOf(name));
      expect(code, said).toBe(0);
      for (const words of says) expect(said).toMatch(words);
      await after?.();
    },
    180_000,
  );
});

describe('the folder of runbooks', () => {
  const pages = readdirSync(PAGES)
    .filter((file) => file.endsWith('.md'))
    .map((file) => file.replace('.md', ''));

  it('has no page that nobody walks through', () => {
    const walked = [...WALK.map(({ name }) => name), 'README', 'audit']; // audit: tests/flows/audit-command.test.ts
    expect(pages.filter((page) => !walked.includes(page))).toEqual([]);
  });

  it('has an index that names every page', () => {
    expect(pages.filter((page) => page !== 'README' && !textOf('README').includes(`(${page}.md)`))).toEqual([]);
  });
});
