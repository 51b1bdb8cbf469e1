import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { Agent } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { archiveAudit } from '#application/archive-audit.ts';
import { archiveStore } from '#infrastructure/archive/archive-store.ts';
import { folderFiles } from '#infrastructure/archive/folder.ts';
import { openDatabase } from '#infrastructure/postgres/database.ts';
import { apiOf } from '#tests/support/api.ts';
import { asOwner, chain, clearTrail, trailOn } from '#tests/support/audit.ts';
import { type TestDatabase, testDatabase } from '#tests/support/database.ts';
import { newEmail, newUsername, signIn, tokensOf } from '#tests/support/people.ts';
import { enrolTotp, nextCode, PHONE, preAuthOf, smsCode, verifyMfa, wrongCode } from '#tests/support/second-factors.ts';
import { startService, type TestService } from '#tests/support/service.ts';
import { until } from '#tests/support/until.ts';

/** Secrets go through every route and every way to fail; then everything that is kept or printed is searched for them. */

const CANARY = 'Canary-7Rk2-in-the-coal-mine-1!';
const NEXT = 'Canary-9Xw4-out-of-the-mine-2!';

const logged: string[] = [];
const printed: string[] = [];
const folder = mkdtempSync(path.join(tmpdir(), 'latchkey-canary-'));
/** By name: whatever the service made or was told that nobody else may know. */
const secrets = new Map<string, string>([
  ['password', CANARY],
  ['next password', NEXT],
]);
let service: TestService;
let database: TestDatabase;
let isStopped = false;

beforeAll(async () => {
  const write = process.stdout.write.bind(process.stdout);
  // Lines of events are kept here; the rest is the test runner's own.
  vi.spyOn(process.stdout, 'write').mockImplementation(((chunk: string | Uint8Array, ...rest: unknown[]) => {
    if (!String(chunk).includes('"latchkey.audit"')) return write(chunk, ...(rest as []));
    printed.push(...String(chunk).trimEnd().split('\n'));
    rest.find((each) => typeof each === 'function')?.();
    return true;
  }) as typeof process.stdout.write);
  database = await testDatabase();
  const logTo = { write: (line: string) => void logged.push(line) };
  service = await startService({ settings: { AUDIT_STDOUT: 'true', LOG_LEVEL: 'trace' }, logTo, database });
});
async function stop(): Promise<void> {
  if (!isStopped) await service.stop();
  isStopped = true;
}
afterAll(async () => {
  await stop();
  await database.drop();
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true, force: true });
});

/** Every way that a request can carry it to this route; whatever the answer is. */
async function assail(token: string | undefined): Promise<Record<number, number>> {
  const agent = new Agent({ keepAlive: true });
  const api = apiOf(service.origin, agent, () => {}); // answers that the document does not have are asked for
  const statuses: Record<number, number> = {};
  const send = async (method: string, url: string, sent: Parameters<typeof api.request>[2] = {}) => {
    const { status } = await api.request(method, url, { ...(token === undefined ? {} : { token }), ...sent });
    statuses[status] = (statuses[status] ?? 0) + 1;
  };
  for (const { method, path: at, body } of service.routes) {
    const url = at.replace('{id}', '0198a000-0000-7000-8000-000000000000').replace('{code}', 'forbidden');
    const names = body ? Object.keys(z.toJSONSchema(body, { io: 'input', unrepresentable: 'any' }).properties ?? {}) : [];
    const filled = Object.fromEntries(names.map((name) => [name, CANARY]));
    const plausible = { ...filled, ...(names.includes('email') ? { email: newEmail() } : {}) };
    if (method !== 'GET') {
      await send(method, url, { body: filled });
      await send(method, url, { body: plausible });
      for (const name of names) {
        await send(method, url, { body: { [name]: CANARY } });
        await send(method, url, { body: { ...plausible, [name]: { nested: CANARY } } });
      }
      await send(method, url, { body: { ...filled, unknown_field: CANARY } });
      await send(method, url, { raw: `{"password":"${CANARY}"` });
      await send(method, url, { raw: `password=${CANARY}`, headers: { 'content-type': 'application/x-www-form-urlencoded' } });
    }
    await send(method, `${url}?token=${CANARY}&access_token=${CANARY}&password=${CANARY}`, method === 'GET' ? {} : { body: filled });
    await send(method, at.replace(/\{\w+\}/, CANARY), method === 'GET' ? {} : { body: filled });
    await send(method, url, {
      token: CANARY,
      headers: { cookie: `__Host-session=${CANARY}; csrf_token=${CANARY}`, 'x-csrf-token': CANARY },
    });
  }
  await send('GET', `/nowhere/${CANARY}?token=${CANARY}`);
  await send('POST', `/api/auth/login/${CANARY}`, { body: { password: CANARY } });
  agent.destroy();
  return statuses;
}

/** Somebody's whole life, every secret of it noted. */
async function live(): Promise<string> {
  const api = service.api();
  const note = (name: string, value: string) => void secrets.set(name, value);
  const person = { id: '', email: newEmail(), username: newUsername(), password: CANARY };
  await api.post('/api/auth/register', { email: person.email, username: person.username, password: CANARY });
  const verifying = await service.mail.token(person.email, 'verify-email');
  note('token to verify', verifying);
  await api.post('/api/auth/verify-email', { token: verifying });
  await api.post('/api/auth/verify-email', { token: verifying });
  const first = await signIn(api, person);
  const enrolled = await enrolTotp(service, first);
  note('TOTP secret', enrolled.secret);
  for (const [index, code] of enrolled.recoveryCodes.entries()) note(`recovery code ${index}`, code);
  await api.post('/api/sms-mfa/setup', { phone_number: PHONE }, first.accessToken);
  const sms = await smsCode(service);
  note('code by SMS', sms);
  await api.post('/api/sms-mfa/verify', { code: sms }, first.accessToken);
  const preAuth = await preAuthOf(api, person);
  note('PRE_AUTH ticket', preAuth);
  await verifyMfa(api, preAuth, 'totp', wrongCode(service, enrolled.secret));
  await verifyMfa(api, preAuth, 'recovery_code', CANARY);
  const code = nextCode(service, enrolled);
  note('code of the app', code);
  const again = await preAuthOf(api, person);
  const second = tokensOf(await verifyMfa(api, again, 'totp', code));
  await verifyMfa(api, await preAuthOf(api, person), 'totp', code);
  await verifyMfa(api, await preAuthOf(api, person), 'recovery_code', enrolled.recoveryCodes[0] ?? '');
  const renewed = tokensOf(await api.post('/api/auth/refresh', { refresh_token: second.refreshToken }));
  for (const [name, tokens] of Object.entries({ first, second, renewed })) {
    note(`access token, ${name}`, tokens.accessToken);
    note(`refresh token, ${name}`, tokens.refreshToken);
  }
  await api.post('/api/auth/reauthenticate', { password: CANARY }, renewed.accessToken);
  await api.post('/api/auth/reauthenticate', { password: NEXT }, renewed.accessToken);
  await api.post('/api/auth/change-password', { current_password: NEXT, new_password: CANARY }, renewed.accessToken);
  await api.post('/api/auth/forgot-password', { email: person.email });
  const reset = await service.mail.token(person.email, 'reset-password');
  note('token to reset', reset);
  await api.post('/api/auth/reset-password', { token: reset, new_password: NEXT });
  await api.post('/api/auth/reset-password', { token: reset, new_password: CANARY });
  await api.post('/api/auth/refresh', { refresh_token: first.refreshToken });
  for (let time = 0; time < 6; time++) await api.post('/api/auth/login', { identifier: CANARY, password: CANARY });
  const last = { ...person, password: NEXT };
  return (await verifyMfa(api, await preAuthOf(api, last), 'recovery_code', enrolled.recoveryCodes[1] ?? '')).body.access_token;
}

/** @returns where the secrets stand, if anywhere */
function found(name: string, lines: readonly string[]): string[] {
  return [...secrets].flatMap(([secret, value]) => {
    // A code of six digits stands by chance in longer numbers.
    const sought = /^\d{6}$/.test(value) ? new RegExp(`(?<![\\da-f.-])${value}(?![\\da-f-])`) : null;
    const forms = sought
      ? []
      : [value, encodeURIComponent(value), Buffer.from(value).toString('base64url'), Buffer.from(value).toString('hex')];
    const line = lines.find((each) => sought?.test(each) || forms.some((form) => each.includes(form)));
    return line === undefined ? [] : [`${secret} in ${name}: ${line.slice(0, 300)}`];
  });
}

describe('passwords, tokens, codes and secrets', () => {
  it('[V16.2.5] [V16.4.1] stand in no event, log line, printed line or archive, whatever was sent to whichever route', {
    timeout: 120_000,
  }, async () => {
    const token = await live();
    secrets.set('access token, last', token);
    // A row that the database refuses stands in its error, whole.
    await asOwner(service.sql, (tx) => tx`alter table accounts add constraint canary check (display_name is distinct from 'refused')`);
    expect((await service.api().patch('/api/auth/me', { display_name: 'refused' }, token)).status).toBe(500);
    const [kept] = await service.sql<{ hash: string; email: string }[]>`
      select split_part(a.password_hash, '$', 5) as hash, a.email from accounts a join sessions s on s.account_id = a.id
      where s.revoked_at is null and a.password_hash is not null order by s.created_at desc limit 1`;
    secrets.set('salt of the password', kept?.hash ?? '').set('address', kept?.email ?? '');
    expect([...secrets.values()].filter((value) => value.length < 6)).toEqual([]);
    const refused = await assail(undefined);
    const asSomebody = await assail(token);
    expect(refused[400] ?? 0).toBeGreaterThan(50);
    expect(asSomebody[400] ?? 0).toBeGreaterThan(50);

    const events = await service.sql`select * from audit_events`;
    await until('every event was printed', () => printed.length >= events.length);
    // Now everything fails.
    await asOwner(service.sql, async (tx) => {
      for (const table of ['accounts', 'tickets', 'login_throttles', 'sessions'])
        await tx`alter table ${tx(table)} rename to ${tx(`${table}_gone`)}`;
    });
    const failed = await assail(token);
    expect(failed[500] ?? 0).toBeGreaterThan(50);

    await stop(); // its worker would seal, under its own key, what is sealed and archived here
    const rows = (await service.sql`select to_jsonb(e)::text as row from audit_events e`).map((row) => String(row['row']));
    const archived = await archivedLines();
    expect(rows.length).toBeGreaterThan(30);
    expect(logged.filter((line) => line.includes('"err"')).length).toBeGreaterThan(50);
    expect(archived.length).toBeGreaterThanOrEqual(rows.length);
    expect([
      ...found('an event', rows),
      ...found('the log', logged),
      ...found('a printed line', printed),
      ...found('the archive', archived),
    ]).toEqual([]);
    for (const line of [...logged, ...printed]) expect(() => JSON.parse(line)).not.toThrow();
  });
});

async function archivedLines(): Promise<string[]> {
  const pool = openDatabase(database.address, { poolSize: 2, prepare: true });
  try {
    await asOwner(service.sql, (tx) => tx`truncate audit_seals`); // those of the service are under its own key
    const { trail, seal, sealAll } = trailOn(pool, service.sql);
    await sealAll();
    const archives = archiveAudit({
      trail,
      store: archiveStore(folderFiles(folder)),
      chain,
      clock: service.clock,
      madeBy: 'a test',
      seal,
      pause: async () => {},
    });
    const months = await service.sql<
      { month: string }[]
    >`select distinct to_char(occurred_at at time zone 'UTC', 'YYYY-MM') as month from audit_events`;
    for (const { month } of months) await expect(archives.archive(month)).rejects.toThrow('too young');
    const files = readdirSync(folder).map((name) => readFileSync(path.join(folder, name)));
    return files.flatMap((bytes) => (bytes[0] === 0x1f ? gunzipSync(bytes) : bytes).toString().split('\n'));
  } finally {
    await pool.close();
    await clearTrail(service.sql);
  }
}
