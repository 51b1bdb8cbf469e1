import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, expectProblem, tally } from '../support/api.ts';
import { cookieClient, signInByCookie } from '../support/cookie-client.ts';
import { PASSWORD, type Person, signedInPerson, signIn, tokensOf, tryLogin, verifiedPerson } from '../support/people.ts';
import { assertionOf, enrolPasskey, enrolTotp, personWithTotp, preAuthOf, signInWithTotp, verifyMfa } from '../support/second-factors.ts';
import { startService, type TestService } from '../support/service.ts';
import { totpCode } from '../support/totp.ts';

let lastWins: TestService;
let three: TestService;
beforeAll(async () => {
  lastWins = await startService({ settings: { MAX_SESSIONS_PER_USER: '1' } });
  const { database, clock } = lastWins;
  // Mail is sent by one of the two alone, so that it is found in its mailbox.
  three = await startService({ settings: { MAX_SESSIONS_PER_USER: '3', ROLE: 'web' }, database, clock });
});
afterAll(async () => {
  await three.stop();
  await lastWins.stop();
});

async function live({ id }: Person): Promise<string[]> {
  const rows = await lastWins.sql<{ id: string }[]>`select id from sessions where account_id = ${id} and revoked_at is null`;
  return rows.map((row) => row.id);
}

describe('MAX_SESSIONS_PER_USER', () => {
  it('[V7.1.2] of one lets the last sign-in win, and tells the device before why it ended, whatever it shows', async () => {
    const before = await signedInPerson(lastWins);
    const browser = cookieClient(lastWins.api());
    await signInByCookie(browser, before);
    expectProblem(await lastWins.api().get('/api/auth/me', before.accessToken), 'session-superseded');
    expectProblem(await lastWins.api().post('/api/auth/refresh', { refresh_token: before.refreshToken }), 'session-superseded');
    const after = await signIn(lastWins.api(), before);
    expectProblem(await browser.get('/api/auth/me'), 'session-superseded');
    expect(await live(before)).toEqual([after.sessionId]);
  });

  it('[V7.1.2] counts sign-ins by a second factor and by passkey, of either transport', async () => {
    const person = await personWithTotp(lastWins);
    const second = await signInWithTotp(lastWins, person);
    expect(await live(person)).toEqual([second.sessionId]);
    const owner = await enrolPasskey(lastWins, await signedInPerson(lastWins));
    const body = { credential: await assertionOf(lastWins, owner.authenticator), transport: 'cookie' };
    const answer = await lastWins.api().post('/api/auth/webauthn/authenticate/verify', body);
    expect(await live(owner)).toEqual([answer.body.session_id]);
  });

  it('[V7.1.2] holds when a hundred sign in at once', async () => {
    const person = await verifiedPerson(lastWins);
    const answers = await Promise.all(Array.from({ length: 100 }, () => tryLogin(lastWins.api(), person)));
    expect(tally(answers)).toEqual({ 200: 100 });
    expect(await live(person)).toHaveLength(1);
    const still = await Promise.all(answers.map(({ body }) => lastWins.api().get('/api/auth/me', body.access_token)));
    expect(tally(still)).toEqual({ 200: 1, 'session-superseded': 99 });
  });

  it('[V7.1.2] holds for second factors at once, and keeps the newest of more than one', async () => {
    const person = await enrolTotp(three, await signIn(three.api(), await verifiedPerson(lastWins)));
    const codes = Array.from({ length: 5 }, async () => {
      const preAuth = await preAuthOf(three.api(), person);
      return await verifyMfa(three.api(), preAuth, 'recovery_code', person.recoveryCodes.pop() ?? '');
    });
    expect(tally(await Promise.all(codes))).toEqual({ 200: 5 });
    expect(await live(person)).toHaveLength(3);

    const other = await verifiedPerson(lastWins);
    const opened: Answer[] = [];
    for (let time = 0; time < 5; time++) {
      three.clock.advance(1);
      opened.push(await tryLogin(three.api(), other));
    }
    expect((await live(other)).sort()).toEqual(opened.slice(2).map(({ body }) => body.session_id));
    const [event] =
      await three.sql`select details from audit_events where account_id = ${other.id} and type = 'SESSIONS_SUPERSEDED' limit 1`;
    expect(event?.['details']).toEqual({ ended: 1 });
  });

  it('says nothing of sessions that ended for another reason, and nothing to whoever has no right to know', async () => {
    const person = await signedInPerson(lastWins);
    await lastWins.api().post('/api/auth/logout', undefined, person.accessToken);
    expectProblem(await lastWins.api().post('/api/auth/refresh', { refresh_token: person.refreshToken }), 'invalid-refresh-token');
    const superseded = await signedInPerson(lastWins);
    await signIn(lastWins.api(), superseded);
    const [head = '', body = ''] = superseded.accessToken.split('.');
    expectProblem(await lastWins.api().get('/api/auth/me', `${head}.${body}.AAAA`), 'unauthenticated');
  });
});

describe('the security stamp', () => {
  it('[V7.4.3] ends a session that no other rule has seen, when the password changes; the one that changed it goes on', async () => {
    const service = three;
    const browser = cookieClient(service.api());
    const known = await verifiedPerson(lastWins);
    const person = { ...known, sessionId: await signInByCookie(browser, known) };
    const other = await signIn(service.api(), person);
    const answer = await browser.post('/api/auth/change-password', {
      current_password: PASSWORD,
      new_password: 'a quite different 9 password!',
    });
    expect(answer.status, answer.text).toBe(200);
    // As if it had been opened at the very same time: alive by its own row.
    await service.sql`update sessions set revoked_at = null, revoked_reason = null where id = ${other.sessionId}`;
    expectProblem(await service.api().get('/api/auth/me', other.accessToken), 'unauthenticated');
    expectProblem(await service.api().post('/api/auth/refresh', { refresh_token: other.refreshToken }), 'invalid-refresh-token');
    expect((await browser.get('/api/auth/sessions')).body.sessions.map(({ id }) => id)).toEqual([person.sessionId]);
    expect((await browser.post('/api/auth/token')).status).toBe(200);
  });

  it('ends nothing else: other accounts, and the session that removed a factor, stay', async () => {
    const bystander = await signIn(three.api(), await verifiedPerson(lastWins));
    const person = await enrolTotp(three, await signIn(three.api(), await verifiedPerson(lastWins)));
    three.clock.advance(30);
    const other = tokensOf(
      await verifyMfa(three.api(), await preAuthOf(three.api(), person), 'totp', totpCode(person.secret, three.clock.now())),
    );
    expect((await three.api().post('/api/auth/mfa/disable', undefined, person.accessToken)).status).toBe(204);
    expectProblem(await three.api().get('/api/auth/me', other.accessToken), 'unauthenticated');
    expect((await three.api().get('/api/auth/me', person.accessToken)).status).toBe(200);
    expect((await three.api().post('/api/auth/refresh', { refresh_token: person.refreshToken })).status).toBe(200);
    expect((await three.api().get('/api/auth/me', bystander.accessToken)).status).toBe(200);
  });
});
