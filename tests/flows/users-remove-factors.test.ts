import { afterAll, describe, expect, it } from 'vitest';
import { eventOf } from '#tests/support/admins.ts';
import { expectProblem } from '#tests/support/api.ts';
import { MINUTE } from '#tests/support/clock.ts';
import { latchkeyProcess } from '#tests/support/command.ts';
import { newEmail, type Person, signedInPerson, signIn, tryLogin } from '#tests/support/people.ts';
import {
  assertionOf,
  authenticatorOf,
  enrolPasskey,
  enrolPhone,
  enrolTotp,
  nextCode,
  personWithTotp,
  preAuthOf,
  signInWithTotp,
  smsCode,
  verifyMfa,
  wrongCode,
} from '#tests/support/second-factors.ts';
import { startService } from '#tests/support/service.ts';
import { totpCode } from '#tests/support/totp.ts';

const service = await startService();
const { sql, mail, clock } = service;
const api = service.api();
afterAll(service.stop);

async function removing(options: string[], settings: Record<string, string> = {}) {
  const ran = await latchkeyProcess(service.database.address, ['users', 'remove-factors', ...options], settings).ended;
  clock.advance(MINUTE); // the clock of the test stands still: the command's mails are due after it
  return ran;
}
const removedFrom = ({ email }: Person) => removing(['--email', email]);
const subjectsTo = async ({ email }: Person) => (await mail.to(email)).map(({ subject }) => subject);

describe('users remove-factors', () => {
  it('[V6.3.7] takes the app and its recovery codes, ends every session, tells the owner, and leaves the password', async () => {
    const person = await personWithTotp(service);
    const elsewhere = await signInWithTotp(service, person);
    expect(await removedFrom(person)).toMatchObject({
      code: 0,
      out: `Removed from ${person.email}: authenticator app, recovery codes; 2 sessions ended.\n`,
    });
    for (const { accessToken, refreshToken } of [person, elsewhere]) {
      expect((await api.get('/api/auth/me', accessToken)).status).toBe(401);
      expectProblem(await api.post('/api/auth/refresh', { refresh_token: refreshToken }), 'invalid-refresh-token');
    }
    const [newest] = await mail.to(person.email);
    expect(newest?.subject).toContain('Every second factor was removed');
    expect(await eventOf(service, 'ALL_FACTORS_REMOVED', person.id)).toMatchObject({
      risk: 60,
      user_agent: 'latchkey',
      details: { methods: ['totp', 'recovery_code'], passkeys: 0, ended: 2 },
    });

    const again = await signIn(api, person);
    const { recoveryCodes } = await enrolTotp(service, again);
    const preAuth = await preAuthOf(api, person);
    expectProblem(await verifyMfa(api, preAuth, 'recovery_code', person.recoveryCodes[0] ?? ''), 'invalid-code');
    expect((await verifyMfa(api, preAuth, 'recovery_code', recoveryCodes[0] ?? '')).status).toBe(200);
  });

  it('takes factors of every kind, of this account alone, and a passkey opens nothing from then on', async () => {
    const person = await personWithTotp(service);
    const { authenticator } = await enrolPasskey(service, person);
    await enrolPasskey(service, person, authenticatorOf(service));
    await enrolPhone(service, person);
    const other = await enrolPhone(service, await enrolPasskey(service, await personWithTotp(service)), '+1 (415) 555-2672');
    const before = await service.sql`select count(*)::int as codes from recovery_codes where account_id = ${other.id}`;
    const assertion = await assertionOf(service, authenticator);

    const ran = await removing(['--email', person.email.toUpperCase(), '--json']);
    expect(JSON.parse(ran.out)).toMatchObject({ email: person.email, totp: true, phone: true, passkeys: 2, sessions_ended: 1 });
    expectProblem(await api.post('/api/auth/webauthn/authenticate/verify', { credential: assertion }), 'invalid-code');
    await signIn(api, person);
    for (const table of ['totp_authenticators', 'phones', 'passkeys', 'recovery_codes'])
      expect(await sql`select 1 from ${sql(table)} where account_id = ${person.id}`, table).toEqual([]);

    expect((await api.get('/api/auth/me', other.accessToken)).status).toBe(200);
    expect((await tryLogin(api, other)).body).toMatchObject({
      status: 'mfa_required',
      methods: expect.arrayContaining(['totp', 'sms', 'webauthn', 'recovery_code']),
    });
    expect(await sql`select count(*)::int as codes from recovery_codes where account_id = ${other.id}`).toEqual(before);
  });

  it('ends sessions, sign-ins and enrolments under way', async () => {
    const person = await personWithTotp(service);
    const waiting = await preAuthOf(api, person);
    const { body: options } = await api.post('/api/auth/webauthn/register/options', undefined, person.accessToken);
    const number = '+14155552673';
    await api.post('/api/sms-mfa/setup', { phone_number: number }, person.accessToken);
    const code = await smsCode(service, number);
    const { secret } = (await api.post('/api/auth/mfa/setup', undefined, person.accessToken)).body;
    expect((await removedFrom(person)).code).toBe(0);

    expectProblem(await verifyMfa(api, waiting, 'totp', nextCode(service, person)), 'invalid-token');
    const open = await sql`
      select purpose from tickets where account_id = ${person.id} and used_at is null and purpose <> 'report-sign-in'`;
    expect(open).toEqual([]);
    const { accessToken } = await signIn(api, person);
    const credential = authenticatorOf(service).create(options as never);
    expectProblem(await api.post('/api/auth/webauthn/register/verify', { credential }, accessToken), 'invalid-code');
    expectProblem(await api.post('/api/sms-mfa/verify', { code }, accessToken), 'invalid-code');
    expectProblem(await api.post('/api/auth/mfa/activate', { code: totpCode(secret, clock.now()) }, accessToken), 'conflict');
    expect((await tryLogin(api, person)).body.access_token).toEqual(expect.any(String));
  });

  it('forgets the wrong codes of the factors that are gone: those that come next are judged', async () => {
    const person = await personWithTotp(service);
    for (let ticket = 0; ticket < 2; ticket++) {
      const preAuth = await preAuthOf(api, person);
      for (let time = 0; time < 5; time++) await verifyMfa(api, preAuth, 'totp', wrongCode(service, person.secret));
    }
    expect(await subjectsTo(person)).toContainEqual(expect.stringContaining('Too many wrong codes'));
    await removedFrom(person);
    await signInWithTotp(service, await enrolTotp(service, await signIn(api, person)));
  });

  it('has nothing to remove the second time, and ends and tells nothing then', async () => {
    const person = await personWithTotp(service);
    await removedFrom(person);
    const { accessToken } = await signIn(api, person);
    const told = await subjectsTo(person);
    expect(await removedFrom(person)).toMatchObject({ code: 0, out: expect.stringContaining('Nothing to remove') });
    expect((await api.get('/api/auth/me', accessToken)).status).toBe(200);
    expect(await subjectsTo(person)).toEqual(told);
    expect(await sql`select 1 from audit_events where account_id = ${person.id} and type = 'ALL_FACTORS_REMOVED'`).toHaveLength(1);
  });

  it('says why it does nothing: nobody has the address, words are missing, no database, no service that could read the mail', async () => {
    expect(await removing(['--email', newEmail()])).toMatchObject({ code: 1, err: expect.stringContaining('Nobody has the address') });
    const gone = await signedInPerson(service);
    expect((await api.delete('/api/auth/me', gone.accessToken)).status).toBeLessThan(300);
    expect(await removedFrom(gone)).toMatchObject({ code: 1, err: expect.stringContaining('Nobody has the address') });
    for (const words of [[], ['--email', 'ada'], ['--all'], ['ada@example.com']])
      expect((await removing(words)).code, words.join()).toBe(2);

    const person = await personWithTotp(service);
    const away = { DATABASE_URL: 'postgres://latchkey@127.0.0.1:1/latchkey' };
    expect(await removing(['--email', person.email], away)).toMatchObject({ code: 1, err: expect.stringContaining('does not answer') });
    const keyless = await removing(['--email', person.email], { ...away, SECRET_KEY: '' });
    expect(keyless).toMatchObject({ code: 1, err: expect.stringContaining('SECRET_KEY is not set') });
    expect((await api.get('/api/auth/me', person.accessToken)).status).toBe(200);
  });
});
