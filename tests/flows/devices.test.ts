import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, expectProblem } from '../support/api.ts';
import { browsingPerson, type CookieClient, cookieClient, signInByCookie } from '../support/cookie-client.ts';
import { heldUp } from '../support/held-up.ts';
import { OTHER_PASSWORD, PASSWORD, type Person, signedInPerson, signIn, tryLogin, verifiedPerson } from '../support/people.ts';
import { enrolTotp, nextCode } from '../support/second-factors.ts';
import { startService, type TestService } from '../support/service.ts';

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

const DEVICE = '__Host-device';
const HOME = '203.0.113.10';
const ELSEWHERE = '198.51.100.20';
const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0';
const CHROME = 'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36';

function browserAt(ip: string, userAgent = FIREFOX, jar?: Map<string, string>): CookieClient {
  return cookieClient(service.api({ ip, userAgent }), jar);
}

/** The mails about new devices that this person got. */
async function told({ email }: Person) {
  return (await service.mail.to(email)).filter(({ subject }) => subject.includes('new device'));
}

/** Somebody who has signed in once, at home. */
async function personAtHome(): Promise<Person & { home: CookieClient }> {
  const person = await verifiedPerson(service);
  const home = browserAt(HOME);
  await signInByCookie(home, person);
  return { ...person, home };
}

describe('a device', () => {
  it('[V3.3.1] gets a cookie of its own that lasts as long as browsers allow, by either transport', async () => {
    const person = await verifiedPerson(service);
    for (const transport of ['cookie', 'bearer']) {
      const answer = await service.api().post('/api/auth/login', { email: person.email, password: PASSWORD, transport });
      const cookie = answer.setCookies.find((line) => line.startsWith(DEVICE));
      expect(cookie).toMatch(/^__Host-device=[\w-]{43}; Path=\/; Max-Age=34560000; SameSite=Strict; Secure; HttpOnly$/);
    }
  });

  it('shows in the list of sessions by the kind that it is, when it was given no name', async () => {
    const { home } = await personAtHome();
    const { sessions } = (await home.get('/api/auth/sessions')).body;
    expect(sessions[0]).toMatchObject({ device: 'Firefox on Linux', ip: HOME, user_agent: FIREFOX });
  });

  it('is not new the first time, nor when its cookie comes back from anywhere', async () => {
    const { home, ...person } = await personAtHome();
    const before = home.jar.get(DEVICE);
    await home.post('/api/auth/logout');
    await signInByCookie(browserAt(ELSEWHERE, CHROME, home.jar), person);
    expect(home.jar.get(DEVICE)).toBe(before);
    expect(await told(person)).toEqual([]);
  });

  it('[V6.3.5] is new where it has no cookie, though one of its kind and network is known by its own', async () => {
    const { home, ...person } = await personAtHome();
    await signInByCookie(home, person);
    await signInByCookie(browserAt(HOME), person);
    expect(await told(person)).toHaveLength(1);
  });

  it('without cookies is not new in the network that it was seen in, and stays one row however often it signs in', async () => {
    const person = await verifiedPerson(service);
    for (let time = 0; time < 5; time++) await signIn(service.api({ ip: HOME, userAgent: 'curl/8.0' }), person);
    expect(await told(person)).toEqual([]);
    expect(await service.sql`select from devices where account_id = ${person.id}`).toHaveLength(1);
  });

  it('[V6.3.5] that nobody has seen is told of by mail, once, with what it is and where', async () => {
    const { home: _, ...person } = await personAtHome();
    const stranger = browserAt(ELSEWHERE, CHROME);
    await signInByCookie(stranger, person);
    await stranger.post('/api/auth/logout');
    await signInByCookie(stranger, person);
    const mails = await told(person);
    expect(mails).toHaveLength(1);
    expect(mails[0]?.text).toContain(`Chrome on Windows, from the address ${ELSEWHERE}`);
    expect(mails[0]?.links[0]).toMatch(/^https:\/\/app\.example\.com\/report-sign-in#token=[\w-]{43}$/);
    const [event] = await service.sql`select details from audit_events
      where account_id = ${person.id} and type = 'LOGIN_SUCCEEDED' and details ->> 'new_device' = 'true'`;
    expect(event?.['details']).toEqual({
      method: 'pwd',
      transport: 'cookie',
      new_device: true,
      rules: ['new-device', 'new-network'],
    });
  });

  it('[V6.3.5] that nobody has seen is told of after a second factor too', async () => {
    const person = await enrolTotp(service, await signIn(service.api({ ip: HOME, userAgent: FIREFOX }), await verifiedPerson(service)));
    const stranger = browserAt(ELSEWHERE, CHROME);
    const { pre_auth_token } = (await stranger.post('/api/auth/login', { email: person.email, password: PASSWORD })).body;
    expect(await told(person)).toEqual([]);
    const body = { pre_auth_token, method: 'totp', code: nextCode(service, person) };
    expect((await stranger.post('/api/auth/verify-mfa', body)).status).toBe(200);
    expect(await told(person)).toHaveLength(1);
  });

  it('never takes over a planted cookie: whoever planted it is known by it to nobody', async () => {
    const attacker = await personAtHome();
    const planted = attacker.home.jar.get(DEVICE) ?? '';
    const victim = await personAtHome();
    const browser = browserAt(HOME, FIREFOX, new Map([[DEVICE, planted]]));
    await signInByCookie(browser, victim);
    expect(browser.jar.get(DEVICE)).not.toBe(planted);
    await signInByCookie(browserAt(ELSEWHERE, CHROME, new Map([[DEVICE, planted]])), victim);
    expect(await told(victim)).toHaveLength(1);
    // The browser that both use is known to both by its new cookie.
    await signInByCookie(browserAt(ELSEWHERE, CHROME, browser.jar), attacker);
    expect(await told(attacker)).toEqual([]);
  });

  it('is forgotten when fifty others were seen after it', async () => {
    const { home, ...person } = await personAtHome();
    for (let index = 0; index < 50; index++) {
      service.clock.advance(1);
      await signInByCookie(browserAt(`192.0.2.${index}`, CHROME), person);
    }
    expect(await service.sql`select from devices where account_id = ${person.id}`).toHaveLength(50);
    await signInByCookie(browserAt('192.0.2.99', CHROME, home.jar), person);
    expect(await told(person)).toHaveLength(51);
  });
});

describe('"this was not me"', () => {
  async function reported(): Promise<{ person: Person; thief: CookieClient; token: string; home: CookieClient }> {
    const { home, ...person } = await personAtHome();
    const thief = browserAt(ELSEWHERE, CHROME);
    service.clock.advance(1);
    await signInByCookie(thief, person);
    return { person, thief, home, token: await service.mail.token(person.email, 'report-sign-in') };
  }
  const report = (token: string): Promise<Answer> => service.api().post('/api/auth/report-sign-in', { token });

  it('[V7.4.3] ends every session, the password and the device, and mails a way back in', async () => {
    const { person, thief, home, token } = await reported();
    expect((await report(token)).body).toEqual({ status: 'secured' });
    for (const browser of [thief, home]) expectProblem(await browser.get('/api/auth/me'), 'unauthenticated');
    expectProblem(await tryLogin(service.api(), person), 'invalid-credentials');
    const reset = await service.mail.token(person.email, 'reset-password');
    expect((await service.api().post('/api/auth/reset-password', { token: reset, new_password: OTHER_PASSWORD })).status).toBe(204);
    await signInByCookie(home, { ...person, password: OTHER_PASSWORD });
    expect(await told(person)).toHaveLength(1);
    await signInByCookie(thief, { ...person, password: OTHER_PASSWORD });
    expect(await told(person)).toHaveLength(2);
  });

  it('works once, of fifty at once for one', async () => {
    const { person, token } = await reported();
    const answers = await Promise.all(Array.from({ length: 50 }, () => report(token)));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect((await service.mail.to(person.email)).filter(({ subject }) => subject.startsWith('Set a new password'))).toHaveLength(1);
  });

  it('[V15.4.3] is answered for each of two links that come at the same moment', async () => {
    const { person, token } = await reported();
    service.clock.advance(1);
    await signInByCookie(browserAt('192.0.2.77', CHROME), person);
    const second = await service.mail.token(person.email, 'report-sign-in');
    const answers = await heldUp(service, person.id, [() => report(token), () => report(second)]);
    for (const { status, body } of answers) expect([200, 400], JSON.stringify(body)).toContain(status);
    expect(answers.map(({ status }) => status)).toContain(200);
  });

  it('is not said by opening the link, by another token, or after a week', async () => {
    const { home, token } = await reported();
    for (const path of ['/report-sign-in', `/report-sign-in?token=${token}`]) await fetch(service.origin + path);
    expectProblem(await report('x'.repeat(43)), 'invalid-token');
    expect((await home.get('/api/auth/me')).status).toBe(200);
    service.clock.advance(7 * 86_400 + 1);
    expectProblem(await report(token), 'invalid-token');
  });

  it('leaves second factors on: a mail box alone switches none off', async () => {
    const person = await enrolTotp(service, await signIn(service.api({ ip: HOME, userAgent: FIREFOX }), await verifiedPerson(service)));
    service.clock.advance(1);
    const stranger = browserAt(ELSEWHERE, CHROME);
    const { pre_auth_token } = (await stranger.post('/api/auth/login', { email: person.email, password: PASSWORD })).body;
    await stranger.post('/api/auth/verify-mfa', { pre_auth_token, method: 'totp', code: nextCode(service, person) });
    expect((await report(await service.mail.token(person.email, 'report-sign-in'))).status).toBe(200);
    const reset = await service.mail.token(person.email, 'reset-password');
    await service.api().post('/api/auth/reset-password', { token: reset, new_password: OTHER_PASSWORD });
    const answer = await tryLogin(service.api(), { ...person, password: OTHER_PASSWORD });
    expect(answer.body.status).toBe('mfa_required');
  });
});

describe('a session that turns up on another kind of device', () => {
  const moves = (of: { id: string }) =>
    service.sql`select details, risk from audit_events where account_id = ${of.id} and type = 'SESSION_MOVED'`;

  it('is written down once for each kind, however they take turns, and goes on (SESSION_BINDING=log)', async () => {
    const { home, ...person } = await personAtHome();
    for (let time = 0; time < 3; time++) expect((await browserAt(HOME, CHROME, home.jar).get('/api/auth/me')).status).toBe(200);
    expect(await moves(person)).toEqual([{ risk: 60, details: { from: 'Firefox on Linux', to: 'Chrome on Windows', binding: 'log' } }]);
    for (let time = 0; time < 6; time++) await browserAt(HOME, time % 2 === 0 ? 'curl/8.0' : CHROME, home.jar).get('/api/auth/me');
    expect(await moves(person)).toHaveLength(2);
    const newer = FIREFOX.replaceAll('145', '146');
    expect((await browserAt(ELSEWHERE, newer, home.jar).get('/api/auth/me')).status).toBe(200);
    expect(await moves(person)).toHaveLength(2);
  });

  it('is written down for refresh tokens too; access tokens are shown by other services, from wherever those run', async () => {
    const person = await signIn(service.api({ userAgent: FIREFOX }), await verifiedPerson(service));
    const thief = service.api({ userAgent: 'python-requests/2.32' });
    expect((await thief.post('/api/auth/refresh', { refresh_token: person.refreshToken })).status).toBe(200);
    expect(await moves(person)).toEqual([expect.objectContaining({ details: expect.objectContaining({ to: 'Python' }) })]);
    const other = service.api({ userAgent: 'Go-http-client/2.0' });
    expect((await other.get('/api/auth/me', person.accessToken)).status).toBe(200);
    expect(await moves(person)).toHaveLength(1);
  });

  it('ends, and its owner is told, where the operator says so (SESSION_BINDING=revoke)', async () => {
    const strict = await startService({ settings: { SESSION_BINDING: 'revoke' }, database: service.database, clock: service.clock });
    try {
      const { home, ...person } = await personAtHome();
      const thief = cookieClient(strict.api({ ip: HOME, userAgent: CHROME }), new Map(home.jar));
      const answers = await Promise.all(Array.from({ length: 20 }, () => thief.get('/api/auth/me')));
      for (const answer of answers) expectProblem(answer, 'unauthenticated');
      expectProblem(await home.get('/api/auth/me'), 'unauthenticated');
      expect(await moves(person)).toHaveLength(1);
      const [row] = await service.sql`select revoked_reason from sessions where account_id = ${person.id}`;
      expect(row?.['revoked_reason']).toBe('moved');
      expect(await service.sql`select from outbox where account_id = ${person.id} and template = 'session-moved'`).toHaveLength(1);

      const bearer = await signIn(strict.api({ userAgent: FIREFOX }), person);
      const stolen = { refresh_token: bearer.refreshToken };
      expectProblem(await strict.api({ userAgent: 'curl/8.0' }).post('/api/auth/refresh', stolen), 'invalid-refresh-token');
      expectProblem(await strict.api({ userAgent: FIREFOX }).get('/api/auth/me', bearer.accessToken), 'unauthenticated');
    } finally {
      await strict.stop();
    }
  });

  it('is nobody’s business where the operator says so (SESSION_BINDING=off)', async () => {
    const loose = await startService({ settings: { SESSION_BINDING: 'off' }, database: service.database, clock: service.clock });
    try {
      const person = await signedInPerson(service);
      const body = { refresh_token: person.refreshToken };
      expect((await loose.api({ userAgent: CHROME }).post('/api/auth/refresh', body)).status).toBe(200);
      expect(await moves(person)).toEqual([]);
    } finally {
      await loose.stop();
    }
  });
});

describe('the sessions of an account', () => {
  it('are not told apart by the browser that holds another account’s', async () => {
    const { browser } = await browsingPerson(service);
    const other = await verifiedPerson(service);
    await signInByCookie(browser, other);
    expect((await browser.get('/api/auth/me')).body.id).toBe(other.id);
  });
});
