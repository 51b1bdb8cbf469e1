import { afterAll, describe, expect, it } from 'vitest';
import { type Answer, expectProblem, tally, visible } from '#tests/support/api.ts';
import { MINUTE } from '#tests/support/clock.ts';
import { newEmail, signIn, tryLogin, verifiedPerson } from '#tests/support/people.ts';
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

  it('counts every one of many wrong passwords at once, and no guess gets through after', async () => {
    const person = await verifiedPerson(service);
    const answers = await Promise.all(Array.from({ length: 20 }, () => tryLogin(api, { ...person, password: WRONG })));
    expect(answers.every(({ status }) => status === 401 || status === 429)).toBe(true);
    expectProblem(await tryLogin(api, person), 'account-locked');
    expect(await sql`select 1 from audit_events where type = 'ACCOUNT_LOCKED' and account_id = ${person.id}`).toHaveLength(1);
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
