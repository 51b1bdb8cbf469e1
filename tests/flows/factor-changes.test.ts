import type { TransactionSql } from 'postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, expectProblem } from '#tests/support/api.ts';
import { DAY, MINUTE } from '#tests/support/clock.ts';
import { heldUp } from '#tests/support/held-up.ts';
import { type SignedIn, signedInPerson, signIn, tryLogin } from '#tests/support/people.ts';
import {
  authenticatorOf,
  enrolPasskey,
  enrolPhone,
  enrolTotp,
  personWithTotp,
  signInWithTotp,
  smsCode,
} from '#tests/support/second-factors.ts';
import { startService, type TestService } from '#tests/support/service.ts';
import { totpCode } from '#tests/support/totp.ts';

/** What happens to a change of authenticators when something else comes in between. */

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

const traces = async (id: string) => {
  const [row] = await service.sql<{ factors: number; codes: number; events: number }[]>`
    select (select count(*) from totp_authenticators where account_id = ${id} and activated_at is not null)::int
        + (select count(*) from phones where account_id = ${id})::int + (select count(*) from passkeys where account_id = ${id})::int as factors,
      (select count(*) from recovery_codes where account_id = ${id})::int as codes,
      (select count(*) from audit_events where account_id = ${id} and type = 'FACTOR_ENROLLED')::int as events`;
  return row;
};

const FINISHES: [string, (person: SignedIn) => Promise<() => Promise<Answer>>][] = [
  [
    'an app',
    async ({ accessToken }) => {
      const { secret } = (await service.api().post('/api/auth/mfa/setup', undefined, accessToken)).body;
      return () => service.api().post('/api/auth/mfa/activate', { code: totpCode(secret, service.clock.now()) }, accessToken);
    },
  ],
  [
    'a phone',
    async ({ accessToken }) => {
      await service.api().post('/api/sms-mfa/setup', { phone_number: '+1 415 555 2650' }, accessToken);
      const code = await smsCode(service, '+14155552650');
      return () => service.api().post('/api/sms-mfa/verify', { code }, accessToken);
    },
  ],
  [
    'a passkey',
    async ({ accessToken }) => {
      const { body } = await service.api().post('/api/auth/webauthn/register/options', undefined, accessToken);
      const credential = authenticatorOf(service).create(body as never);
      return () => service.api().post('/api/auth/webauthn/register/verify', { credential }, accessToken);
    },
  ],
];

describe('an enrolment', () => {
  it.each(FINISHES)('[V7.4.1] [V2.3.3] of %s leaves nothing behind when its session ends just before', async (_, begin) => {
    const person = await signedInPerson(service);
    const finish = await begin(person);
    const endSessions = (tx: TransactionSql) => tx`update sessions set revoked_at = ${service.clock.now()} where account_id = ${person.id}`;
    const [answer] = await heldUp(service, person.id, [finish], endSessions);
    expectProblem(answer, 'unauthenticated');
    expect(await traces(person.id)).toEqual({ factors: 0, codes: 0, events: 0 });
    expect((await tryLogin(service.api(), person)).body.status).toBe('authenticated');
  });

  it.each(FINISHES)('[V6.3.4] of %s that a password began is over once the account holds a second factor', async (_, begin) => {
    const thief = await signedInPerson(service);
    const finish = await begin(thief);
    const owner = await signIn(service.api(), thief);
    await enrolPasskey(service, owner);
    const answer = await finish();
    expectProblem(answer, 'insufficient-user-authentication');
    expect(answer.headers['www-authenticate']).toContain('acr_values="aal2"');
  });

  it('that was begun is over after ten minutes', async () => {
    const { accessToken } = await signedInPerson(service);
    const { secret } = (await service.api().post('/api/auth/mfa/setup', undefined, accessToken)).body;
    service.clock.advance(10 * MINUTE);
    const answer = await service.api().post('/api/auth/mfa/activate', { code: totpCode(secret, service.clock.now()) }, accessToken);
    expectProblem(answer, 'conflict');
  });
});

describe('a sensitive change', () => {
  it('[V7.5.1] looks at the session again under the lock: an enrolment that was first decides', async () => {
    const person = await signedInPerson(service);
    const old = await signIn(service.api(), person);
    const app = { id: crypto.randomUUID(), at: service.clock.now() };
    const askForCodes = () => service.api().post('/api/auth/mfa/recovery-codes', undefined, old.accessToken);
    const enrol = (tx: TransactionSql) => tx`insert into totp_authenticators (id, account_id, session_id, secret, created_at, activated_at)
        values (${app.id}, ${person.id}, ${person.sessionId}, 'x', ${app.at}, ${app.at})`;
    const [answer] = await heldUp(service, person.id, [askForCodes], enrol);
    expectProblem(answer, 'insufficient-user-authentication');
  });
});

describe('what a factor was worth', () => {
  it('[V7.4.3] goes with it: other sessions end, this one is worth what is left', async () => {
    const person = await personWithTotp(service);
    const other = await signInWithTotp(service, person);
    expect((await service.api().post('/api/auth/mfa/disable', undefined, person.accessToken)).status).toBe(204);
    expectProblem(await service.api().get('/api/auth/me', other.accessToken), 'unauthenticated');
    const { sessions } = (await service.api().get('/api/auth/sessions', person.accessToken)).body;
    expect(sessions).toMatchObject([{ current: true, acr: 'aal1' }]);
  });

  it('[V7.4.3] of an app that was replaced: who signed in with the old one is out, and the owner is told of both', async () => {
    const person = await personWithTotp(service);
    const thief = await signInWithTotp(service, person);
    const replaced = await enrolTotp(service, person);
    expectProblem(await service.api().get('/api/auth/me', thief.accessToken), 'unauthenticated');
    const subjects = (await service.mail.to(person.email)).map(({ subject }) => subject);
    for (const word of ['was added', 'was removed', 'recovery codes'])
      expect(subjects.some((subject) => subject.includes(word))).toBe(true);
    await signInWithTotp(service, replaced);
  });

  it('stays with the session that has the other factor', async () => {
    const person = await enrolPhone(service, await personWithTotp(service));
    expect((await service.api().post('/api/auth/mfa/disable', undefined, person.accessToken)).status).toBe(204);
    const { sessions } = (await service.api().get('/api/auth/sessions', person.accessToken)).body;
    expect(sessions).toMatchObject([{ current: true, acr: 'aal2' }]);
  });
});

describe('where SMS is no factor any more', () => {
  it('[V6.6.1] a phone does not stand in for the last factor that works, and no password alone signs in', async () => {
    const person = await enrolPhone(service, await personWithTotp(service));
    const phoneOnly = await enrolPhone(service, await signedInPerson(service), '+1 415 555 2651');
    const strict = await startService({ settings: { SMS_MFA: 'false' }, database: service.database, clock: service.clock });
    try {
      const session = await signInWithTotp(strict, person);
      expectProblem(await strict.api().post('/api/auth/mfa/disable', undefined, session.accessToken), 'conflict');
      expect((await tryLogin(strict.api(), phoneOnly)).body.methods).toEqual(['recovery_code']);
      await strict.sql`update recovery_codes set used_at = now() where account_id = ${phoneOnly.id}`;
      expectProblem(await tryLogin(strict.api(), phoneOnly), 'forbidden');
    } finally {
      await strict.stop();
    }
  });
});

describe('tickets that are over', () => {
  it('go as new ones come, so that challenges for strangers do not pile up', async () => {
    const ask = () => service.api().post('/api/auth/webauthn/authenticate/options');
    const count = async () =>
      (await service.sql`select from tickets where purpose = 'webauthn-authentication' and account_id is null`).length;
    for (let asked = 0; asked < 20; asked++) await ask();
    const before = await count();
    service.clock.advance(2 * DAY);
    for (let asked = 0; asked < 10; asked++) await ask();
    expect(await count()).toBeLessThan(before);
  });
});
