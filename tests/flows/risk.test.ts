import { afterAll, describe, expect, it } from 'vitest';
import { type Api, expectProblem, tally } from '#tests/support/api.ts';
import { MINUTE } from '#tests/support/clock.ts';
import { cookieClient } from '#tests/support/cookie-client.ts';
import { newEmail, type Person, signedInPerson, signIn, tokensOf, tryLogin } from '#tests/support/people.ts';
import {
  type Authenticator,
  assertionOf,
  authenticatorOf,
  enrolPasskey,
  nextCode,
  personWithTotp,
  preAuthOf,
  verifyMfa,
  wrongCode,
} from '#tests/support/second-factors.ts';
import { startService } from '#tests/support/service.ts';
import { until } from '#tests/support/until.ts';

/** Each step of a sign-in is scored by the rules of domain/risk.ts, whatever the factor (docs/risk.md). */
const service = await startService({ settings: { REDIS_URL: '' } });
const { sql, clock } = service;
afterAll(service.stop);

const WRONG = 'wrong horse battery';
const OTHER_PROGRAM = 'python-requests/2.32';
let last = 0;
/** An address that nobody has used, in a network of its own. */
const newIp = () => {
  last += 1;
  return `198.18.${Math.floor(last / 250)}.${(last % 250) + 1}`;
};

/** The newest event of these types about somebody, or from an address when it is about nobody. */
async function newest(of: { id: string } | { ip: string }, ...types: string[]) {
  const where = 'id' in of ? sql`account_id = ${of.id}` : sql`ip = ${of.ip}`;
  const [row] = await sql`select type, risk, details -> 'rules' as rules, details ->> 'method' as method from audit_events
    where ${where} and type in ${sql(types)} order by occurred_at desc, id desc limit 1`;
  return { type: row?.['type'], risk: row?.['risk'], rules: row?.['rules'] ?? [], method: row?.['method'] };
}
const told = async ({ email }: Person) => (await service.mail.to(email)).filter(({ subject }) => subject.includes('new device')).length;

/** Wrong passwords for one account from as many networks. */
async function guessedFrom(networks: number, { email }: Person): Promise<void> {
  for (let index = 0; index < networks; index++) await tryLogin(service.api({ ip: newIp() }), { email, password: WRONG });
}
/** Wrong passwords for as many accounts that nobody has. */
async function guesses(api: Api, accounts: number): Promise<void> {
  for (let index = 0; index < accounts; index++) await tryLogin(api, { email: newEmail(), password: WRONG });
}
const byPasskey = async (api: Api, authenticator: Authenticator, how: Parameters<Authenticator['get']>[1] = {}) =>
  await api.post('/api/auth/webauthn/authenticate/verify', { credential: await assertionOf(service, authenticator, { how }) });
const withPasskey = async () => await enrolPasskey(service, await signedInPerson(service), authenticatorOf(service));

describe('a sign-in by a passkey', () => {
  it('is scored by the rules, and calm at home', async () => {
    const person = await withPasskey();
    tokensOf(await byPasskey(service.api(), person.authenticator));
    expect(await newest(person, 'LOGIN_SUCCEEDED')).toMatchObject({ risk: 0, rules: [] });
    tokensOf(await byPasskey(service.api({ ip: newIp(), userAgent: OTHER_PROGRAM }), person.authenticator));
    expect(await newest(person, 'LOGIN_SUCCEEDED')).toMatchObject({ risk: 20, rules: ['new-device', 'new-network'] });
  });

  it('after wrong passwords from there is scored for them', async () => {
    const person = await withPasskey();
    for (let wrong = 0; wrong < 3; wrong++) await tryLogin(service.api(), { email: person.email, password: WRONG });
    tokensOf(await byPasskey(service.api(), person.authenticator));
    expect((await newest(person, 'LOGIN_SUCCEEDED')).rules).toEqual(['failures-before']);
  });

  it('that is risky is told of, and asked to prove itself again before anything sensitive; it is never refused', async () => {
    const person = await withPasskey();
    await guessedFrom(10, person);
    const thief = service.api({ ip: newIp(), userAgent: OTHER_PROGRAM });
    const { accessToken } = tokensOf(await byPasskey(thief, person.authenticator));
    expect(await newest(person, 'LOGIN_SUCCEEDED')).toMatchObject({ risk: 60, rules: ['new-device', 'new-network', 'many-networks'] });
    expectProblem(await thief.get('/api/auth/me/export', accessToken), 'insufficient-user-authentication');
    expect(await told(person)).toBe(1);
    const credential = await assertionOf(service, person.authenticator, { token: accessToken });
    const again = await thief.post('/api/auth/reauthenticate', { method: 'webauthn', credential }, accessToken);
    expect(again.status, again.text).toBe(200);
    expect(await thief.get('/api/auth/me/export', again.body.access_token)).toMatchObject({ status: 200 });
  });

  it('that fails, from a network that guesses at many accounts, has that network blocked', async () => {
    const ip = newIp();
    const bot = service.api({ ip });
    await guesses(bot, 20);
    const { authenticator } = await withPasskey();
    expectProblem(await byPasskey(bot, authenticator, { origin: 'https://app.example.org' }), 'invalid-code');
    expect(await newest({ ip }, 'LOGIN_FAILED')).toMatchObject({ risk: 90, rules: ['many-accounts'], method: 'webauthn' });
    await until('the block is known', async () => (await bot.get('/api/auth/me')).status === 403);
    expect(await sql`select from audit_events where ip = ${ip} and type = 'IP_BLOCKED'`).toHaveLength(1);
  });
});

describe('the second half of a sign-in', () => {
  it('is scored by the rules, and calm at home', async () => {
    const person = await personWithTotp(service);
    tokensOf(await verifyMfa(service.api(), await preAuthOf(service.api(), person), 'totp', nextCode(service, person)));
    expect(await newest(person, 'LOGIN_SUCCEEDED')).toMatchObject({ risk: 0, rules: [] });
  });

  it('counts what held at the password: guessed passwords do not become harmless by a second factor', async () => {
    const person = await personWithTotp(service);
    for (let wrong = 0; wrong < 3; wrong++) await tryLogin(service.api(), { email: person.email, password: WRONG });
    const preAuth = await preAuthOf(service.api(), person);
    expect((await newest(person, 'MFA_REQUIRED')).rules).toEqual(['failures-before']);
    tokensOf(await verifyMfa(service.api(), preAuth, 'totp', nextCode(service, person)));
    expect(await newest(person, 'LOGIN_SUCCEEDED')).toMatchObject({ risk: 20, rules: ['failures-before'] });
  });

  it('counts wrong second factors before it, scores each of those, and forgets them with a right one', async () => {
    const person = await personWithTotp(service);
    const preAuth = await preAuthOf(service.api(), person);
    for (let wrong = 0; wrong < 4; wrong++) {
      expectProblem(await verifyMfa(service.api(), preAuth, 'totp', wrongCode(service, person.secret)), 'invalid-code');
      expect(await newest(person, 'MFA_FAILED')).toMatchObject(
        wrong < 3 ? { risk: 30, rules: [] } : { risk: 50, rules: ['failures-before'] },
      );
    }
    tokensOf(await verifyMfa(service.api(), preAuth, 'totp', nextCode(service, person)));
    expect((await newest(person, 'LOGIN_SUCCEEDED')).rules).toEqual(['failures-before']);
    tokensOf(await verifyMfa(service.api(), await preAuthOf(service.api(), person), 'totp', nextCode(service, person)));
    expect((await newest(person, 'LOGIN_SUCCEEDED')).rules).toEqual([]);
  });

  it('that is risky is told of, and its session begins as if it were old', async () => {
    const person = await personWithTotp(service);
    await guessedFrom(10, person);
    const thief = service.api({ ip: newIp(), userAgent: OTHER_PROGRAM });
    const { accessToken } = tokensOf(await verifyMfa(thief, await preAuthOf(thief, person), 'totp', nextCode(service, person)));
    expect(await newest(person, 'LOGIN_SUCCEEDED')).toMatchObject({ risk: 60, rules: ['new-device', 'new-network', 'many-networks'] });
    expectProblem(await thief.post('/api/auth/mfa/disable', undefined, accessToken), 'insufficient-user-authentication');
    expect(await told(person)).toBe(1);
  });

  it('that fails, from a network that guesses at many accounts, has that network blocked; fifty at once make one block', async () => {
    const person = await personWithTotp(service);
    const ip = newIp();
    const bot = service.api({ ip });
    await guesses(bot, 20);
    const preAuth = await preAuthOf(bot, person);
    const answers = await Promise.all(Array.from({ length: 50 }, () => verifyMfa(bot, preAuth, 'totp', wrongCode(service, person.secret))));
    expect(Object.keys(tally(answers)).filter((kind) => !['invalid-code', 'invalid-token', 'forbidden'].includes(kind))).toEqual([]);
    expect(await newest(person, 'MFA_FAILED')).toMatchObject({ risk: 100, rules: expect.arrayContaining(['many-accounts']) });
    await until('the block is known', async () => (await bot.get('/api/auth/me')).status === 403);
    expect(await sql`select from audit_events where ip = ${ip} and type = 'IP_BLOCKED'`).toHaveLength(1);
  });
});

describe('a refresh token that came back', () => {
  it('makes the sign-ins of the day after risky: told of, and with a new device in a new network stepped up', async () => {
    const person = await signedInPerson(service);
    for (let use = 0; use < 2; use++) {
      await service.api().post('/api/auth/refresh', { refresh_token: person.refreshToken });
      clock.advance(MINUTE);
    }
    expect(await newest(person, 'REFRESH_TOKEN_REUSED')).toMatchObject({ risk: 90 });
    await signIn(service.api(), person);
    expect(await newest(person, 'LOGIN_SUCCEEDED')).toMatchObject({ risk: 40, rules: ['token-reuse'] });
    expect(await told(person)).toBe(1);
    const { accessToken } = await signIn(service.api({ ip: newIp(), userAgent: OTHER_PROGRAM }), person);
    expectProblem(await service.api().get('/api/auth/me/export', accessToken), 'insufficient-user-authentication');
    clock.advance(24 * 60 * MINUTE);
    await signIn(service.api(), person);
    expect((await newest(person, 'LOGIN_SUCCEEDED')).rules).toEqual([]);
  });
});

describe('the hidden field at sign-in', () => {
  it('is a wrong password whatever the password is, scored, and tells a program nothing', async () => {
    const person = await signedInPerson(service);
    const filled = await service
      .api()
      .post('/api/auth/login', { email: person.email, password: person.password, website_url: 'https://x' });
    expectProblem(filled, 'invalid-credentials');
    expect(await newest(person, 'LOGIN_FAILED')).toMatchObject({ risk: 70, rules: ['honeypot'] });
  });
});

describe('a device that shows its cookie', () => {
  it('is told of nothing, though its network is new and others guess', async () => {
    const person = await withPasskey();
    const browser = cookieClient(service.api());
    for (const _ of ['first', 'second']) {
      const answer = await browser.post('/api/auth/login', { email: person.email, password: person.password, transport: 'cookie' });
      expect(answer.body.status).toBe('mfa_required'); // the passkey stands beside the password
      const credential = await assertionOf(service, person.authenticator, { preAuthToken: answer.body.pre_auth_token });
      const body = { pre_auth_token: answer.body.pre_auth_token, method: 'webauthn', credential };
      expect((await browser.post('/api/auth/verify-mfa', body)).status).toBe(200);
    }
    await guessedFrom(10, person);
    const mailsBefore = await told(person);
    const moved = cookieClient(service.api({ ip: newIp() }), browser.jar);
    const credential = await assertionOf(service, person.authenticator);
    expect((await moved.post('/api/auth/webauthn/authenticate/verify', { credential, transport: 'cookie' })).status).toBe(200);
    expect(await newest(person, 'LOGIN_SUCCEEDED')).toMatchObject({ rules: ['many-networks'] });
    expect(await told(person)).toBe(mailsBefore);
  });
});
