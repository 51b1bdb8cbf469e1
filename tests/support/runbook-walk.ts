import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newEmail, PASSWORD } from './people.ts';
import { has, postgresPrograms } from './programs.ts';
import { runbookStage, type Stage } from './runbook-stage.ts';
import { totpCode } from './totp.ts';

/**
 * Every `sh` block of docs/runbooks, in order, against a service that runs: what a page says on a bad day was walked through. What comes
 * before a page (a theft, an attack, a dead Redis) is made by the tests, tests/flows/runbooks-THEME.test.ts: each has a stage of its own,
 * so that they run side by side.
 */

export const PAGES = new URL('../../docs/runbooks/', import.meta.url);

export const THEMES = {
  attacks: ['token-theft', 'under-attack', 'key-leak', 'mass-password-reset'],
  upkeep: ['mail-stuck', 'redis-down', 'hardening', 'rotate-signing-keys', 'rotate-encryption-keys'],
  database: ['upgrade', 'audit', 'postgres-failover'],
} as const;

type Theme = keyof typeof THEMES;

/** One bad day; pages that tell several apart are walked through once for each. */
export type Day<T extends Theme> = {
  page: (typeof THEMES)[T][number];
  /** What happened, where the page knows of more than one day. */
  when?: string;
  /** The headings under which one reads on that day; all, unless it says. */
  sections?: string[];
  before?: () => Promise<void>;
  says?: RegExp[];
  after?: () => Promise<void>;
};

export function textOf(page: string): string {
  return readFileSync(new URL(`${page}.md`, PAGES), 'utf8');
}

/** What is run of a page, by heading. */
function scriptsOf(page: string): { heading: string; script: string }[] {
  return textOf(page)
    .split(/^## /m)
    .map((section) => ({
      heading: section.split('\n', 1)[0] ?? '',
      script: [...section.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block]) => block).join('\n'),
    }))
    .filter(({ script }) => script !== '');
}

type Body = Record<string, never> & { [name: string]: string };
type Account = { id: string; email: string };
type Admin = Account & { codes: string[] };

export type Walk = {
  stage(): Stage;
  post(route: string, body: object, caller?: { from?: string; token?: string }): Promise<{ status: number; body: Body }>;
  account(...options: string[]): Account;
  /** The header of a fresh sign-in by both factors. */
  signInAdmin(): Promise<void>;
};

/**
 * Walks through the pages of a theme, in the order of its days: each leaves a service that works to the next.
 * @param given before: the folder of the version that the first day begins with
 */
export function walkThrough<T extends Theme>(
  theme: T,
  daysOf: (walk: Walk) => Day<T>[],
  given: { before: () => { folder: string; remove(): void } | null } = { before: () => null },
): void {
  const programs = postgresPrograms();
  const canRun = ['curl', 'jq', 'psql', 'redis-server', 'redis-cli', 'openssl'].every((program) => has(program)) && programs !== null;
  let open: Stage | undefined;
  let admins: Admin[] = [];
  const stage = () => {
    if (!open) throw new Error('There is no stage yet');
    return open;
  };

  const post: Walk['post'] = async (route, body, { from = '127.0.0.1', token = '' } = {}) => {
    const headers = { 'content-type': 'application/json', 'x-forwarded-for': from, authorization: `Bearer ${token}` };
    const answer = await fetch(`${stage().origin}/api/auth/${route}`, { method: 'POST', headers, body: JSON.stringify(body) });
    const text = await answer.text();
    return { status: answer.status, body: text === '' ? {} : JSON.parse(text) };
  };

  const account: Walk['account'] = (...options) => {
    const email = newEmail();
    const id = stage()
      .latchkey(['users', 'create', '--email', email, '--verified', '--password-stdin', ...options], PASSWORD)
      .trim();
    return { id, email };
  };

  async function admin(): Promise<Admin> {
    const made = account('--role', 'admin');
    const { body } = await post('login', { email: made.email, password: PASSWORD });
    const token = body['access_token'] ?? '';
    const setup = await post('mfa/setup', {}, { token });
    const activated = await post('mfa/activate', { code: totpCode(setup.body['secret'] ?? '', new Date()) }, { token });
    expect(activated.status, JSON.stringify(activated.body)).toBe(200);
    return { ...made, codes: activated.body['recovery_codes'] as unknown as string[] };
  }

  async function signInAdmin(): Promise<void> {
    const [one] = admins;
    const { body } = await post('login', { email: one?.email, password: PASSWORD });
    const code = one?.codes.pop();
    const answer = await post('verify-mfa', { pre_auth_token: body['pre_auth_token'], method: 'recovery_code', code });
    expect(answer.status, JSON.stringify(answer.body)).toBe(200);
    writeFileSync(path.join(stage().folder, 'work/admin-header'), `Authorization: Bearer ${answer.body['access_token']}\n`, {
      mode: 0o600,
    });
  }

  const days = daysOf({ stage, post, account, signInAdmin });

  describe.runIf(canRun)(`the runbooks: ${theme}`, () => {
    let before: ReturnType<typeof given.before> = null;
    beforeAll(async () => {
      before = given.before();
      open = await runbookStage(programs ?? '', before?.folder ?? null);
      admins = [await admin(), await admin()];
    }, 180_000);
    afterAll(async () => {
      await open?.stop();
      before?.remove();
    }, 60_000);

    for (const { page, when, sections, before, says = [], after } of days)
      it(`${page}${when === undefined ? '' : `, when ${when},`} does what it says, with its commands as written`, async () => {
        const { email } = account();
        writeFileSync(path.join(stage().folder, 'work/smoke.json'), JSON.stringify({ email, password: PASSWORD }), { mode: 0o600 });
        await before?.();
        const read = scriptsOf(page).filter(({ heading }) => sections?.includes(heading) ?? true);
        const { code, said } = await stage().run(read.map(({ script }) => script).join('\n'));
        expect(code, said).toBe(0);
        for (const words of says) expect(said).toMatch(words);
        await after?.();
      }, 300_000);
  });

  it(`leaves out nothing that is run on the pages of ${theme}`, () => {
    const walked = (page: string, heading: string) => days.some((day) => day.page === page && (day.sections?.includes(heading) ?? true));
    const left = THEMES[theme].flatMap((page) =>
      scriptsOf(page).flatMap(({ heading }) => (walked(page, heading) ? [] : [`${page}: ${heading}`])),
    );
    expect(left).toEqual([]);
  });

  it('reads under headings that are there', () => {
    const missing = days.flatMap(({ page, sections = [] }) =>
      sections.filter((section) => !scriptsOf(page).some(({ heading }) => heading === section)),
    );
    expect(missing).toEqual([]);
  });
}
