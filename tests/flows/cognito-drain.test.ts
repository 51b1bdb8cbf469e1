import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { expectProblem, tally, visible } from '#tests/support/api.ts';
import { runLatchkey } from '#tests/support/cli.ts';
import { cognitoLocal } from '#tests/support/cognito-local.ts';
import { type CognitoStub, cognitoStub, STUB_CODE, type StubUser } from '#tests/support/cognito-stub.ts';
import { newEmail, OTHER_PASSWORD, PASSWORD, registeredPerson, tokensOf, tryLogin, verifiedPerson } from '#tests/support/people.ts';
import { nextCode, personWithTotp, verifyMfa } from '#tests/support/second-factors.ts';
import { startService, type TestService } from '#tests/support/service.ts';
import { until } from '#tests/support/until.ts';

/** Users of a Cognito pool who know nothing of it: they sign in here with the password that they have, and it moves. */

let pool: CognitoStub;
let service: TestService;
beforeAll(async () => {
  pool = await cognitoStub();
  service = await startService({ settings: { COGNITO_MIGRATE: 'true', ...pool.settings } });
});
beforeEach(() => {
  pool.reply = null;
});
afterAll(async () => {
  await service.stop();
  await pool.stop();
});

const signIn = ({ username, password }: Pick<StubUser, 'username' | 'password'>, { api } = service) =>
  api().post('/api/auth/login', { identifier: username, password });
const account = async ({ email }: { email: string }) =>
  (await service.sql<{ id: string; hash: string | null }[]>`select id, password_hash as hash from accounts where email = ${email}`)[0];
const migrations = async (id = '') =>
  (await service.sql`select from audit_events where type = 'PASSWORD_MIGRATED' and account_id = ${id}`).length;
/** Questions about this user with this user's password: what pretends to ask does not count. */
const asked = ({ password }: StubUser) => pool.asked.filter(({ body }) => body.AuthParameters?.['PASSWORD'] === password).length;

describe('the drain', () => {
  it('hashes the right password of an unknown user here, once: from then on Cognito is not asked', async () => {
    const user = pool.add({ password: 'the password of old, unlike any' });
    const first = await signIn(user);
    expect(first.body.user).toMatchObject({ email: user.email, email_verified: true });
    expect((await account(user))?.hash).toMatch(/^\$argon2id\$v=19\$m=7168,t=1,p=1\$/);
    pool.users.delete(user.username);
    tokensOf(await signIn(user));
    expect(asked(user)).toBe(1);
    expect(await migrations(first.body.user.id)).toBe(1);
  });

  it('moves a user who signs in by a name, which the account takes over', async () => {
    const name = `grace${Date.now()}`;
    const user = pool.add({ username: name });
    tokensOf(await signIn(user));
    pool.users.delete(name);
    expect((await signIn(user)).body.user.username).toBe(name);
  });

  it('moves a user who has an account without a password, and keeps everything of it', async () => {
    const person = await verifiedPerson(service);
    await service.sql`update accounts set password_hash = null where id = ${person.id}`;
    const user = pool.add({ email: person.email, password: OTHER_PASSWORD });
    expect((await signIn(user)).body.user).toMatchObject({ id: person.id, username: person.username });
    expect((await account(user))?.hash).toMatch(/^\$argon2id\$/);
  });

  it('leaves alone who has a password here: that one counts, the one at Cognito does not', async () => {
    const person = await verifiedPerson(service);
    const user = pool.add({ email: person.email, password: 'the one that the pool knows' });
    const before = await account(user);
    expectProblem(await signIn(user), 'invalid-credentials');
    expect(asked(user)).toBe(0);
    expect(await account(user)).toEqual(before);
    tokensOf(await signIn({ username: person.email, password: PASSWORD }));
  });

  it('is not kept out by whoever registered the address here first', async () => {
    const squatter = await registeredPerson(service);
    const user = pool.add({ email: squatter.email, password: OTHER_PASSWORD });
    expect((await signIn(user)).body.user).toMatchObject({ username: null, email_verified: true });
    expectProblem(await signIn({ username: squatter.email, password: squatter.password }), 'invalid-credentials');
    tokensOf(await signIn(user));
  });

  it('is one account and one hash under fifty first sign-ins at once', async () => {
    const user = pool.add();
    const answers = await Promise.all(Array.from({ length: 50 }, () => signIn(user)));
    expect(tally(answers)).toEqual({ '200': 50 });
    const { id = '' } = (await account(user)) ?? {};
    expect(new Set(answers.map(({ body }) => body.user.id))).toEqual(new Set([id]));
    expect(await migrations(id)).toBe(1);
  });

  it('does not go past a second factor of Cognito: it is asked each time, and no hash is made', async () => {
    const user = pool.add({ challenges: ['SMS_MFA'] });
    for (let times = 0; times < 2; times++) {
      const first = await signIn(user);
      expect(first.body).toMatchObject({ status: 'mfa_required', methods: ['sms'] });
      expect((await account(user))?.hash ?? null).toBeNull();
      tokensOf(await verifyMfa(service.api(), first.body.pre_auth_token, 'sms', STUB_CODE));
      expect((await account(user))?.hash).toBeNull();
    }
  });

  it('asks for the second factor that is enrolled here, and moves only with it', async () => {
    const person = await personWithTotp(service);
    await service.sql`update accounts set password_hash = null where id = ${person.id}`;
    const user = pool.add({ email: person.email, password: OTHER_PASSWORD });
    const first = await signIn(user);
    expect(first.body).toMatchObject({ status: 'mfa_required' });
    expect((await account(user))?.hash).toBeNull();
    tokensOf(await verifyMfa(service.api(), first.body.pre_auth_token, 'totp', nextCode(service, person)));
    expect((await account(user))?.hash).toMatch(/^\$argon2id\$/);
  });

  it('keeps the new password that Cognito asked for', async () => {
    const user = pool.add({ challenges: ['NEW_PASSWORD_REQUIRED'] });
    const { pre_auth_token } = (await signIn(user)).body;
    tokensOf(await service.api().post('/api/auth/verify-mfa', { pre_auth_token, method: 'new_password', new_password: OTHER_PASSWORD }));
    pool.users.delete(user.username);
    tokensOf(await signIn({ ...user, password: OTHER_PASSWORD }));
  });

  it('lets nobody in whose address the pool has not verified', async () => {
    const user = pool.add({ isVerified: false });
    expectProblem(await signIn(user), 'email-not-verified');
    expect(await account(user)).toBeUndefined();
  });

  it('does not let clients ask for Cognito by name, unless AUTH_PROVIDER does', async () => {
    const { email, password } = pool.add();
    expectProblem(await service.api().post('/api/auth/login', { email, password, provider: 'cognito' }), 'invalid-request');
  });
});

describe('the drain of a pool that is not our stub', () => {
  it('hashes the password here at the first sign-in; the next one needs no pool', { timeout: 60_000 }, async () => {
    const emulated = await cognitoLocal();
    let drain: TestService | undefined;
    try {
      drain = await startService({ settings: { COGNITO_MIGRATE: 'true', ...emulated.settings } });
      const { api, sql } = drain;
      const user = { email: newEmail(), password: PASSWORD };
      await emulated.add(user);
      expectProblem(await tryLogin(api(), { ...user, password: OTHER_PASSWORD }), 'invalid-credentials');
      const { body } = await tryLogin(api(), user);
      expect(body.user).toMatchObject({ email: user.email, email_verified: true });
      const [row] = await sql<{ hash: string }[]>`select password_hash as hash from accounts where id = ${body.user.id}`;
      expect(row?.hash).toMatch(/^\$argon2id\$v=19\$m=7168,t=1,p=1\$/);
      await emulated.stop();
      const stranger = () => tryLogin(api(), { ...user, email: newEmail() });
      await until('nobody answers for the pool', async () => (await stranger()).status === 503);
      expect((await tryLogin(api(), user)).body.user.id).toBe(body.user.id);
    } finally {
      await drain?.stop();
      await emulated.stop();
    }
  });
});

describe('a stranger at the drain', () => {
  it('[V6.3.8] cannot tell who has moved, who has not and who is nobody: the same answer, and Cognito asked once for each', async () => {
    const moved = pool.add();
    tokensOf(await signIn(moved));
    const waiting = pool.add();
    const native = await verifiedPerson(service);
    const seen = [];
    for (const username of [moved.username, waiting.username, native.email, newEmail()]) {
      const before = pool.asked.length;
      seen.push(visible(await signIn({ username, password: 'a wrong pass phrase' })));
      expect(pool.asked.length).toBe(before + 1);
    }
    expect(new Set(seen.map((one) => JSON.stringify(one))).size).toBe(1);
  });

  it('sends nobody’s mistyped password to Cognito who has one here', async () => {
    const moved = pool.add();
    tokensOf(await signIn(moved));
    await signIn({ ...moved, password: 'nearly my pass phrase' });
    expect(JSON.stringify(pool.asked)).not.toContain('nearly my pass phrase');
  });

  it('[V6.3.1] is locked out after five tries, and Cognito is not asked any more', async () => {
    const waiting = pool.add();
    for (let tries = 0; tries < 5; tries++) expectProblem(await signIn({ ...waiting, password: 'wrong' }), 'invalid-credentials');
    const before = pool.asked.length;
    expectProblem(await signIn(waiting), 'account-locked');
    expect(pool.asked.length).toBe(before);
  });

  it('guesses no faster while Cognito is down: a wrong password of who has moved counts', async () => {
    const moved = pool.add();
    tokensOf(await signIn(moved));
    pool.reply = () => ({ error: 'TooManyRequestsException' });
    for (let tries = 0; tries < 5; tries++) expectProblem(await signIn({ ...moved, password: 'wrong' }), 'unavailable');
    expectProblem(await signIn(moved), 'account-locked');
  });
});

describe('while Cognito throttles', () => {
  it('who has moved signs in, who has not hears 503 with Retry-After, and no attempt is counted', async () => {
    const moved = pool.add();
    tokensOf(await signIn(moved));
    const waiting = pool.add();
    pool.reply = () => ({ error: 'TooManyRequestsException' });
    for (let tries = 0; tries < 8; tries++) {
      const answer = await signIn(waiting);
      expectProblem(answer, 'unavailable');
      expect(answer.headers['retry-after']).toBe('5');
    }
    tokensOf(await signIn(moved));
    pool.reply = null;
    tokensOf(await signIn(waiting));
  });
});

describe('latchkey users migration', () => {
  const run = (args: string[], settings = {}) =>
    runLatchkey(['users', ...args], service.database.address, { DATA_DIR: '/nowhere', ...KEYS, ...settings });
  const KEYS = { FERNET_KEY: 'cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=' };
  const figures = async () => JSON.parse((await run(['migration', '--json'])).printed.join('')) as Record<string, number>;

  it('counts where everybody stands, as a table and as JSON, and names them', async () => {
    const before = await figures();
    const user = pool.add();
    tokensOf(await signIn(user));
    const changed = pool.add();
    const { accessToken } = tokensOf(await signIn(changed));
    const change = { current_password: PASSWORD, new_password: OTHER_PASSWORD };
    expect((await service.api().post('/api/auth/change-password', change, accessToken)).status).toBe(200);
    const heldBack = pool.add({ challenges: ['SMS_MFA'] });
    tokensOf(await verifyMfa(service.api(), (await signIn(heldBack)).body.pre_auth_token, 'sms', STUB_CODE));
    await verifiedPerson(service);
    const after = await figures();
    const grown = Object.entries(after).flatMap(([name, count]) => (count === before[name] ? [] : [[name, count - (before[name] ?? 0)]]));
    expect(Object.fromEntries(grown)).toMatchObject({ drained: 1, changed: 1, held_back: 1, native: 1, drained_in_a_week: 2 });

    const { printed } = await run(['migration']);
    expect(printed[0]).toMatch(/^STATE +ACCOUNTS +EACH$/);
    expect(printed.find((line) => line.startsWith('drained'))).toMatch(new RegExp(`^drained +${after['drained']} `));
    expect((await run(['migration', '--list', 'held_back'])).printed.join()).toContain(heldBack.email);
    const [line = ''] = (await run(['migration', '--list', 'changed', '--json'])).printed;
    expect(Object.keys(JSON.parse(line))).toEqual(['id', 'email', 'linked_at', 'drained_at']);
    expect((await run(['migration', '--list', 'elsewhere'])).code).toBe(2);
  });

  it('undoes it: who moved signs in at Cognito again, who chose a password here keeps that', async () => {
    const moved = pool.add();
    tokensOf(await signIn(moved));
    const changed = pool.add();
    const { accessToken } = tokensOf(await signIn(changed));
    await service.api().post('/api/auth/change-password', { current_password: PASSWORD, new_password: OTHER_PASSWORD }, accessToken);

    expect((await run(['migration', '--undo'], { COGNITO_MIGRATE: 'true', ...pool.settings })).complained.join()).toContain(
      'COGNITO_MIGRATE=false',
    );
    expect((await run(['migration', '--undo'])).complained.join()).toContain('AUTH_PROVIDER');
    expect((await account(moved))?.hash).not.toBeNull();

    const back = { AUTH_PROVIDER: 'both', ...pool.settings };
    const undone = await run(['migration', '--undo'], back);
    expect(undone).toMatchObject({ code: 0, printed: [expect.stringMatching(/^[1-9]\d* drained passwords were forgotten here/)] });
    expect((await account(moved))?.hash).toBeNull();
    expect((await figures())['drained']).toBe(0);
    expect(await service.sql`select from audit_events where type = 'MIGRATION_UNDONE'`).toHaveLength(1);
    expect((await run(['migration', '--undo'], back)).printed[0]).toMatch(/^0 /);

    const before = await startService({ settings: back, database: service.database });
    try {
      expectProblem(await signIn(moved, before), 'invalid-credentials');
      const { email, password } = moved;
      tokensOf(await before.api().post('/api/auth/login', { email, password, provider: 'cognito' }));
      expect((await account(moved))?.hash).toBeNull();
      tokensOf(await signIn({ ...changed, password: OTHER_PASSWORD }, before));
    } finally {
      await before.stop();
    }
  });

  it('parts an account from a user that was made anew at the pool, so that the next one is linked', async () => {
    const old = pool.add();
    tokensOf(await signIn(old));
    await service.sql`update accounts set password_hash = null where email = ${old.email}`;
    const again = pool.add({ email: old.email, password: OTHER_PASSWORD });
    expectProblem(await signIn(again), 'forbidden');
    expect((await run(['unlink', '--email', old.email])).code).toBe(0);
    tokensOf(await signIn(again));
    expect((await run(['unlink', '--email', newEmail()])).code).toBe(1);
    expect(await service.sql`select from audit_events where type = 'IDENTITY_UNLINKED'`).toHaveLength(1);
  });
});
