import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectProblem, tally } from '#tests/support/api.ts';
import { MINUTE } from '#tests/support/clock.ts';
import { signedInPerson, signIn, tokensOf, tryLogin, verifiedPerson } from '#tests/support/people.ts';
import { enrolTotp, nextCode, personWithTotp, preAuthOf, signInWithTotp, verifyMfa, wrongCode } from '#tests/support/second-factors.ts';
import { startService, type TestService } from '#tests/support/service.ts';
import { totpCode } from '#tests/support/totp.ts';

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

const setUp = async (token: string) => (await service.api().post('/api/auth/mfa/setup', undefined, token)).body;
const activate = (token: string, code: string) => service.api().post('/api/auth/mfa/activate', { code }, token);
const enrolled = async (token: string) =>
  (await service.api().get('/api/auth/mfa', token)).body as unknown as Record<string, Record<string, unknown>>;

describe('enrolling an authenticator app', () => {
  it('gives a secret, a URI and a picture of it, and is a factor after the first code', async () => {
    const person = await signedInPerson(service);
    const made = await setUp(person.accessToken);
    expect(made.secret).toMatch(/^[A-Z2-7]{32}$/);
    expect(made.otpauth_uri).toContain(`secret=${made.secret}`);
    expect(made.otpauth_uri).toContain(encodeURIComponent(person.email));
    expect(made.qr_code).toMatch(/^data:image\/png;base64,/);
    expect((await tryLogin(service.api(), person)).body.status).toBe('authenticated'); // not before the first code
    const answer = await activate(person.accessToken, totpCode(made.secret, service.clock.now()));
    expect(answer.status).toBe(200);
    expect(answer.body.recovery_codes).toHaveLength(10);
    expect(await enrolled(person.accessToken)).toMatchObject({
      methods: ['totp', 'recovery_code'],
      totp: { enabled: true },
      recovery_codes: { remaining: 10 },
    });
  });

  it('raises the session that activated to aal2, and no other', async () => {
    const person = await signedInPerson(service);
    const other = await signIn(service.api(), person);
    await enrolTotp(service, person);
    const { sessions } = (await service.api().get('/api/auth/sessions', person.accessToken)).body;
    expect(Object.fromEntries(sessions.map(({ id, acr }) => [id, acr]))).toEqual({ [person.sessionId]: 'aal2', [other.sessionId]: 'aal1' });
  });

  it('[V6.3.7] tells the owner by mail', async () => {
    const person = await personWithTotp(service);
    const [mail] = await service.mail.to(person.email);
    expect(mail?.text).toContain('an authenticator app');
  });

  it('refuses a wrong code, and the code of a set-up that was begun anew', async () => {
    const { accessToken } = await signedInPerson(service);
    const first = await setUp(accessToken);
    expectProblem(await activate(accessToken, wrongCode(service, first.secret)), 'invalid-code');
    const second = await setUp(accessToken);
    expectProblem(await activate(accessToken, totpCode(first.secret, service.clock.now())), 'invalid-code');
    expect((await activate(accessToken, totpCode(second.secret, service.clock.now()))).status).toBe(200);
  });

  it('can be finished by the session that began it alone', async () => {
    const person = await signedInPerson(service);
    const other = await signIn(service.api(), person);
    const { secret } = await setUp(person.accessToken);
    expectProblem(await activate(other.accessToken, totpCode(secret, service.clock.now())), 'conflict');
  });

  it('[V15.4.2] happens once of fifty at once', async () => {
    const { accessToken } = await signedInPerson(service);
    const { secret } = await setUp(accessToken);
    const code = totpCode(secret, service.clock.now());
    const answers = await Promise.all(Array.from({ length: 50 }, () => activate(accessToken, code)));
    expect(tally(answers)).toEqual({ '200': 1, conflict: 49 });
  });

  it('without a set-up is a conflict', async () => {
    expectProblem(await activate((await signedInPerson(service)).accessToken, '123456'), 'conflict');
  });

  it('again replaces the app, once the new one has shown a code', async () => {
    const person = await personWithTotp(service);
    const { secret } = await setUp(person.accessToken);
    const session = await signInWithTotp(service, person); // the old one works until then
    service.clock.advance(30);
    expectProblem(await activate(session.accessToken, totpCode(secret, service.clock.now())), 'conflict');
    expect((await activate(person.accessToken, totpCode(secret, service.clock.now()))).status).toBe(200);
    const preAuth = await preAuthOf(service.api(), person);
    expectProblem(await verifyMfa(service.api(), preAuth, 'totp', nextCode(service, person)), 'invalid-code');
    tokensOf(await verifyMfa(service.api(), preAuth, 'totp', nextCode(service, { secret })));
  });

  it('[V14.2.6] [V11.3.2] keeps the secret encrypted, and shows it once', async () => {
    const person = await personWithTotp(service);
    const [row] = await service.sql<{ secret: string }[]>`select secret from totp_authenticators where account_id = ${person.id}`;
    expect(row?.secret).toMatch(/^gAAAA/);
    expect(row?.secret).not.toContain(person.secret);
    expect((await service.api().get('/api/auth/mfa', person.accessToken)).text).not.toContain(person.secret);
  });
});

describe('a code of the app', () => {
  it('[V6.5.1] works once: not the code that activated, not twice in its half minute', async () => {
    const person = await personWithTotp(service);
    const used = totpCode(person.secret, service.clock.now());
    expectProblem(await verifyMfa(service.api(), await preAuthOf(service.api(), person), 'totp', used), 'invalid-code');
    const fresh = nextCode(service, person);
    tokensOf(await verifyMfa(service.api(), await preAuthOf(service.api(), person), 'totp', fresh));
    expectProblem(await verifyMfa(service.api(), await preAuthOf(service.api(), person), 'totp', fresh), 'invalid-code');
  });

  it('[V6.5.1] [V15.4.2] works once, though fifty sign-ins of the same user bring it at once', async () => {
    const person = await personWithTotp(service);
    const tickets = await Promise.all(Array.from({ length: 50 }, () => preAuthOf(service.api(), person)));
    const code = nextCode(service, person);
    const answers = await Promise.all(tickets.map((ticket) => verifyMfa(service.api(), ticket, 'totp', code)));
    expect(tally(answers)['200']).toBe(1);
    expect(answers.filter(({ status }) => status !== 200).every(({ status }) => status === 401 || status === 429)).toBe(true);
  });

  it('[V6.5.1] of the step before is refused once a later one was used', async () => {
    const person = await personWithTotp(service);
    service.clock.advance(30);
    const earlier = totpCode(person.secret, service.clock.now());
    tokensOf(await verifyMfa(service.api(), await preAuthOf(service.api(), person), 'totp', nextCode(service, person)));
    expectProblem(await verifyMfa(service.api(), await preAuthOf(service.api(), person), 'totp', earlier), 'invalid-code');
  });

  it('[V6.5.5] is good in its step and the next, and never ahead of its time', async () => {
    const person = await personWithTotp(service);
    service.clock.advance(2 * MINUTE);
    const now = service.clock.now().getTime();
    const codeAt = (seconds: number) => totpCode(person.secret, new Date(now + seconds * 1000));
    const preAuth = await preAuthOf(service.api(), person);
    for (const seconds of [30, -60]) expectProblem(await verifyMfa(service.api(), preAuth, 'totp', codeAt(seconds)), 'invalid-code');
    tokensOf(await verifyMfa(service.api(), preAuth, 'totp', codeAt(-30)));
  });
});

describe('removing the app', () => {
  it('makes the password enough again, kills the recovery codes and tells the owner', async () => {
    const person = await personWithTotp(service);
    expect((await service.api().post('/api/auth/mfa/disable', undefined, person.accessToken)).status).toBe(204);
    expect((await tryLogin(service.api(), person)).body.status).toBe('authenticated');
    expect(await enrolled(person.accessToken)).toMatchObject({ methods: [], totp: { enabled: false }, recovery_codes: { remaining: 0 } });
    const [mail] = await service.mail.to(person.email);
    expect(mail?.subject).toContain('removed');
    expectProblem(await service.api().post('/api/auth/mfa/disable', undefined, person.accessToken), 'conflict');
  });

  it('that is not there is a conflict', async () => {
    const person = await signIn(service.api(), await verifiedPerson(service));
    expectProblem(await service.api().post('/api/auth/mfa/disable', undefined, person.accessToken), 'conflict');
  });
});
