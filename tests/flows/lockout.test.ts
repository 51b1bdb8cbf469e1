import { afterAll, describe, expect, it } from 'vitest';
import { type Answer, expectProblem, tally, visible } from '#tests/support/api.ts';
import { MINUTE } from '#tests/support/clock.ts';
import { cookieClient, signInByCookie } from '#tests/support/cookie-client.ts';
import { newEmail, OTHER_PASSWORD, signedInPerson, signIn, tryLogin, verifiedPerson } from '#tests/support/people.ts';
import { assertionOf, authenticatorOf, enrolPasskey } from '#tests/support/second-factors.ts';
import { startService } from '#tests/support/service.ts';

const service = await startService();
const { clock, sql, database } = service;
const api = service.api();
afterAll(service.stop);

const WRONG = 'wrong horse battery';

async function failTimes(times: number, email: string, from = api): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (let time = 0; time < times; time++) answers.push(await tryLogin(from, { email, password: WRONG }));
  return answers;
}

describe('lockout', () => {
  it('[V6.3.1] begins with the fifth wrong password, lasts 30 minutes, and says how long', async () => {
    const person = await verifiedPerson(service);
    expect(tally(await failTimes(5, person.email))).toEqual({ 'invalid-credentials': 5 });
    const locked = await tryLogin(api, person);
    expectProblem(locked, 'account-locked');
    expect(locked.headers['retry-after']).toBe(String(30 * MINUTE));
    clock.advance(30 * MINUTE - 1);
    expect((await tryLogin(api, person)).headers['retry-after']).toBe('1');
    clock.advance(1);
    await signIn(api, person);
  });

  it('[V6.3.8] looks the same to the byte for an address that nobody has', async () => {
    const person = await verifiedPerson(service);
    const known = await failTimes(7, person.email);
    const unknown = await failTimes(7, newEmail());
    expect(unknown.map(visible)).toEqual(known.map(visible));
    expectProblem(known[6] ?? known[0] ?? assertNever(), 'account-locked');
  });

  it('[V6.1.1] locks nobody out on purpose: the owner signs in from another network, and so from another IPv6 /64', async () => {
    const person = await verifiedPerson(service);
    await failTimes(6, person.email, service.api({ ip: '2001:db8:1:1::1' }));
    expectProblem(await tryLogin(service.api({ ip: '2001:db8:1:1:ffff::9' }), person), 'account-locked');
    await signIn(service.api({ ip: '2001:db8:1:2::1' }), person);
  });

  it('counts wrong passwords in a row: a right one begins anew', async () => {
    const person = await verifiedPerson(service);
    await failTimes(4, person.email);
    await signIn(api, person);
    await failTimes(4, person.email);
    await signIn(api, person);
  });

  it('forgets failures that lie longer back than a lock lasts', async () => {
    const person = await verifiedPerson(service);
    await failTimes(4, person.email);
    clock.advance(30 * MINUTE);
    await failTimes(4, person.email);
    await signIn(api, person);
  });

  it('counts anew after a lock that ran out: one more failure does not lock again', async () => {
    const person = await verifiedPerson(service);
    await failTimes(5, person.email);
    clock.advance(30 * MINUTE);
    expect(tally(await failTimes(4, person.email))).toEqual({ 'invalid-credentials': 4 });
    await signIn(api, person);
  });

  it('[V6.3.1] judges five of two hundred wrong passwords at once, and no right one among those that follow', {
    timeout: 60_000,
  }, async () => {
    const person = await verifiedPerson(service);
    const wrong = Array.from({ length: 200 }, () => tryLogin(api, { ...person, password: WRONG }));
    expect(tally(await Promise.all(wrong))).toEqual({ 'invalid-credentials': 5, 'account-locked': 195 });
    const right = await Promise.all(Array.from({ length: 50 }, () => tryLogin(api, person)));
    expect(tally(right)).toEqual({ 'account-locked': 50 });
    expect(await sql`select from sessions where account_id = ${person.id}`).toHaveLength(0);
    expect(await sql`select 1 from audit_events where type = 'ACCOUNT_LOCKED' and account_id = ${person.id}`).toHaveLength(1);
  });

  it('lasts twice as long each time, up to a day; a sign-in or a quiet day begins anew', async () => {
    const person = await verifiedPerson(service);
    const lockedFor = async () => {
      await failTimes(5, person.email);
      const seconds = Number((await tryLogin(api, person)).headers['retry-after']);
      clock.advance(seconds);
      return seconds / MINUTE;
    };
    const locks: number[] = [];
    for (let time = 0; time < 8; time++) locks.push(await lockedFor());
    expect(locks).toEqual([30, 60, 120, 240, 480, 960, 1440, 1440]);
    await signIn(api, person);
    expect([await lockedFor(), await lockedFor()]).toEqual([30, 60]);
    clock.advance(24 * 60 * MINUTE);
    expect(await lockedFor()).toBe(30);
  });

  it('[V6.3.1] counts the spellings and the names of one account together', async () => {
    const person = await verifiedPerson(service);
    const guess = (identifier: string, password = WRONG) => api.post('/api/auth/login', { identifier, password });
    await guess(person.email);
    await guess(person.email.toUpperCase());
    await guess(person.username);
    await guess(person.username.toUpperCase());
    expectProblem(await guess(person.email), 'invalid-credentials');
    // Neither name shows a lock: that would tell whose they are. The right password is no use, all the same.
    for (const name of [person.email, person.username]) expectProblem(await guess(name, person.password), 'invalid-credentials');
    const [held] = await sql`select count(*)::int as times from audit_events
      where account_id = ${person.id} and details ->> 'reason' = 'withheld'`;
    expect(held).toEqual({ times: 2 });
    clock.advance(30 * MINUTE);
    await signIn(api, person);
  });

  it('[V6.1.1] leaves the owner’s browser a lane of its own, which can lock too', async () => {
    const person = await verifiedPerson(service);
    const home = cookieClient(api);
    await signInByCookie(home, person);
    await failTimes(6, person.email);
    expectProblem(await tryLogin(api, person), 'account-locked');
    await signInByCookie(home, person);
    for (let time = 0; time < 5; time++) await home.post('/api/auth/login', { email: person.email, password: WRONG });
    const right = { email: person.email, password: person.password };
    expectProblem(await home.post('/api/auth/login', right), 'account-locked');
    await signIn(service.api({ ip: '198.51.100.77' }), person);
  });

  it('[V6.3.5] is told to the owner once a day, and to nobody of an address that nobody has', async () => {
    const person = await verifiedPerson(service);
    const told = async () => (await service.mail.to(person.email)).filter(({ subject }) => subject.startsWith('Wrong passwords')).length;
    await failTimes(4, person.email);
    expect(await told()).toBe(0);
    await failTimes(1, person.email);
    await failTimes(5, person.email, service.api({ ip: '198.51.100.5' }));
    expect(await told()).toBe(1);
    clock.advance(24 * 60 * MINUTE);
    await failTimes(5, person.email, service.api({ ip: '198.51.100.6' }));
    expect(await told()).toBe(2);
    const nobody = newEmail();
    await failTimes(5, nobody);
    expect(await sql`select from outbox where recipient = ${nobody}`).toHaveLength(0);
  });

  it('[V6.1.1] is lifted by a password reset, whatever was counted', async () => {
    const person = await verifiedPerson(service);
    await failTimes(6, person.email);
    await api.post('/api/auth/forgot-password', { email: person.email });
    const token = await service.mail.token(person.email, 'reset-password');
    expect((await api.post('/api/auth/reset-password', { token, new_password: OTHER_PASSWORD })).status).toBe(204);
    expect(
      await sql`select from login_throttles where length(identifier_hash) = 16
      and identifier_hash = uuid_send(${person.id}::uuid)`,
    ).toHaveLength(0);
    await signIn(api, { ...person, password: OTHER_PASSWORD });
  });

  it('[V6.1.1] shuts out nobody who has a passkey or reads their mail, though every lane of the password is locked', async () => {
    const person = await enrolPasskey(service, await signedInPerson(service), authenticatorOf(service));
    const home = cookieClient(api);
    const byPasskey = async () =>
      await home.post('/api/auth/webauthn/authenticate/verify', {
        credential: await assertionOf(service, person.authenticator),
        transport: 'cookie',
      });
    expect((await byPasskey()).status).toBe(200); // from now on the browser is a known device
    for (let time = 0; time < 5; time++) await home.post('/api/auth/login', { email: person.email, password: WRONG });
    await failTimes(5, person.email);
    await sql`update login_throttles set failures = 100, locked_until = ${new Date(clock.now().getTime() + 3_600_000)}
      where identifier_hash = uuid_send(${person.id}::uuid)`;
    const lanes = await sql`select split_part(network, ':', 1) as lane from login_throttles
      where identifier_hash = uuid_send(${person.id}::uuid) and locked_until > ${clock.now()} order by 1`;
    expect(lanes.map(({ lane }) => lane)).toEqual(expect.arrayContaining(['device', 'everywhere']));
    expectProblem(await tryLogin(api, person), 'account-locked');
    expectProblem(await home.post('/api/auth/login', { email: person.email, password: person.password }), 'account-locked');
    expectProblem(await tryLogin(service.api({ ip: '198.51.100.88' }), person), 'invalid-credentials'); // everywhere: it does not show

    expect((await byPasskey()).status).toBe(200);
    await api.post('/api/auth/forgot-password', { email: person.email });
    const token = await service.mail.token(person.email, 'reset-password');
    expect((await api.post('/api/auth/reset-password', { token, new_password: OTHER_PASSWORD })).status).toBe(204);
    for (const from of [api, home, service.api({ ip: '198.51.100.88' })]) {
      const answer = await from.post('/api/auth/login', { email: person.email, password: OTHER_PASSWORD });
      expect(answer.body.status, answer.text).toBe('mfa_required');
    }
  });

  it('does not count what nobody could judge: a busy service locks nobody out', async () => {
    const person = await verifiedPerson(service);
    const suspended = async (status: string) => sql`update accounts set status = ${status} where id = ${person.id}`;
    await suspended('suspended');
    for (let time = 0; time < 7; time++) expectProblem(await tryLogin(api, person), 'account-suspended');
    await suspended('active');
    await signIn(api, person);
  });

  it('outlives a restart of the service', async () => {
    const person = await verifiedPerson(service);
    await failTimes(5, person.email);
    const restarted = await startService({ database, clock });
    try {
      expectProblem(await tryLogin(restarted.api(), person), 'account-locked');
    } finally {
      await restarted.stop();
    }
  });

  it('is audited once, at risk 50, and tries while it holds are audited too', async () => {
    const person = await verifiedPerson(service);
    await failTimes(7, person.email);
    const events = await sql`select type, risk, details->>'reason' as reason from audit_events
      where account_id = ${person.id} and (type like 'LOGIN%' or type = 'ACCOUNT_LOCKED') order by occurred_at, id`;
    expect(events.filter(({ type }) => type === 'ACCOUNT_LOCKED')).toMatchObject([{ risk: 50 }]);
    expect(events.filter(({ reason }) => reason === 'wrong-password')).toHaveLength(5);
    expect(events.filter(({ reason }) => reason === 'locked')).toHaveLength(2);
  });

  it('keeps no name of anybody: the table holds keyed hashes', async () => {
    const email = newEmail();
    await failTimes(1, email);
    const rows = await sql`select identifier_hash from login_throttles`;
    const { createHash } = await import('node:crypto');
    const plain = createHash('sha256').update(`email:${email}`).digest('hex');
    expect(rows.map((row) => row['identifier_hash'].toString('hex'))).not.toContain(plain);
  });
});

function assertNever(): never {
  throw new Error('there were no answers');
}
