import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, expectProblem } from '../support/api.ts';
import { browsingPerson, type CookieClient, cookieClient, signInByCookie } from '../support/cookie-client.ts';
import { OTHER_PASSWORD, PASSWORD, signedInPerson, verifiedPerson } from '../support/people.ts';
import { nextCode, wrongCode } from '../support/second-factors.ts';
import { startService, type TestService } from '../support/service.ts';
import { totpCode } from '../support/totp.ts';

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

const SESSION = '__Host-session';
const MINUTE = 60;

function cookieOf(browser: CookieClient): string {
  return browser.jar.get(SESSION) ?? '';
}

/** The account as this cookie value sees it, without touching any jar. */
function me(value: string): Promise<Answer> {
  return service.api().request('GET', '/api/auth/me', { headers: { cookie: `${SESSION}=${value}` } });
}

/** Enrols an authenticator app through this browser. */
async function enrol(browser: CookieClient): Promise<string> {
  const { secret } = (await browser.post('/api/auth/mfa/setup')).body;
  const answer = await browser.post('/api/auth/mfa/activate', { code: totpCode(secret, service.clock.now()) });
  expect(answer.status, answer.text).toBe(200);
  return secret;
}

describe('a cookie session', () => {
  it('[V3.3.1] [V3.3.2] [V3.3.4] [V3.3.5] begins with cookies that scripts, neighbours and plain http cannot reach', async () => {
    const person = await verifiedPerson(service);
    const login = { email: person.email, password: PASSWORD, transport: 'cookie' };
    const answer = await service.api().post('/api/auth/login', login);
    expect(answer.body).toEqual({
      status: 'authenticated',
      session_id: expect.any(String),
      csrf_token: expect.any(String),
      user: expect.objectContaining({ id: person.id }),
    });
    const [session = '', csrf = ''] = answer.setCookies;
    expect(session).toMatch(/^__Host-session=[\w-]{43}; Path=\/; Max-Age=86400; SameSite=Strict; Secure; HttpOnly$/);
    expect(csrf).toBe(`csrf_token=${answer.body.csrf_token}; Path=/; Max-Age=86400; SameSite=Strict; Secure`);
    for (const cookie of answer.setCookies) expect(cookie.length).toBeLessThan(256);
    const [, value = ''] = /=([^;]*)/.exec(session) ?? [];
    expect(answer.text).not.toContain(value);
    const { text } = await service.api().request('GET', '/api/auth/sessions', { headers: { cookie: `${SESSION}=${value}` } });
    expect(text).not.toContain(value);
    expect(text).toContain('"transport":"cookie"');
  });

  it('[V7.2.3] is kept as a hash of 256 random bits, so that the table signs nobody in', async () => {
    const { browser, sessionId } = await browsingPerson(service);
    expect(Buffer.from(cookieOf(browser), 'base64url')).toHaveLength(32);
    const [row] = await service.sql<{ stored: string }[]>`select s::text as stored from sessions s where id = ${sessionId}`;
    expect(row?.stored).not.toContain(cookieOf(browser));
    const [{ hash = '' } = {}] = await service.sql<{ hash: string }[]>`
      select encode(cookie_hash, 'hex') as hash from sessions where id = ${sessionId}`;
    expectProblem(await me(hash), 'unauthenticated');
  });

  it('speaks for its user without any token', async () => {
    const { browser, id, sessionId } = await browsingPerson(service);
    expect((await browser.get('/api/auth/me')).body.id).toBe(id);
    const { sessions } = (await browser.get('/api/auth/sessions')).body;
    expect(sessions).toEqual([expect.objectContaining({ id: sessionId, current: true, transport: 'cookie' })]);
  });

  it('[V7.3.1] slides with every use, and ends an hour after the last one', async () => {
    const { browser } = await browsingPerson(service);
    for (let used = 0; used < 3; used++) {
      service.clock.advance(59 * MINUTE);
      expect((await browser.get('/api/auth/me')).status).toBe(200);
    }
    service.clock.advance(60 * MINUTE - 1);
    expect((await browser.get('/api/auth/me')).status).toBe(200);
    service.clock.advance(60 * MINUTE + 1);
    expectProblem(await browser.get('/api/auth/me'), 'unauthenticated');
  });

  it('[V7.3.2] ends a day after sign-in, however much it is used', async () => {
    const { browser } = await browsingPerson(service);
    for (let used = 0; used < 47; used++) {
      service.clock.advance(30 * MINUTE);
      expect((await browser.get('/api/auth/me')).status).toBe(200);
    }
    service.clock.advance(30 * MINUTE);
    expectProblem(await browser.get('/api/auth/me'), 'unauthenticated');
  });

  it('is written to once a minute at most, by however many requests', async () => {
    const { browser, sessionId } = await browsingPerson(service);
    const version = async () => (await service.sql`select xmin::text, last_seen_at from sessions where id = ${sessionId}`)[0];
    const atFirst = await version();
    service.clock.advance(59);
    await Promise.all(Array.from({ length: 20 }, () => browser.get('/api/auth/me')));
    expect(await version()).toEqual(atFirst);
    service.clock.advance(1);
    await Promise.all(Array.from({ length: 20 }, () => browser.get('/api/auth/me')));
    const later = await version();
    expect(later?.['last_seen_at']).toEqual(service.clock.now());
    await browser.get('/api/auth/me');
    expect(await version()).toEqual(later);
  });

  it('[V7.4.1] [V7.4.4] is gone at once after logout, and its cookies with it', async () => {
    const { browser } = await browsingPerson(service);
    const value = cookieOf(browser);
    const answer = await browser.post('/api/auth/logout');
    expect(answer.status).toBe(204);
    expect(answer.headers['clear-site-data']).toBe('"cache", "storage"');
    expect(answer.setCookies).toEqual([
      '__Host-session=; Path=/; Max-Age=0; SameSite=Strict; Secure; HttpOnly',
      'csrf_token=; Path=/; Max-Age=0; SameSite=Strict; Secure',
    ]);
    expectProblem(await me(value), 'unauthenticated');
    const again = await service.api().request('POST', '/api/auth/logout', { headers: { cookie: `${SESSION}=${value}` } });
    expect([again.status, again.setCookies.length]).toEqual([204, 2]);
  });

  it('[V7.4.3] is gone after a password reset, on every browser', async () => {
    const { browser, email } = await browsingPerson(service);
    await service.api().post('/api/auth/forgot-password', { email });
    const token = await service.mail.token(email, 'reset-password');
    expect((await service.api().post('/api/auth/reset-password', { token, new_password: OTHER_PASSWORD })).status).toBe(204);
    expectProblem(await browser.get('/api/auth/me'), 'unauthenticated');
  });

  it('[V7.2.1] is nobody when the cookie is cut, changed, made up or a token of another kind', async () => {
    const { browser } = await browsingPerson(service);
    const { accessToken, refreshToken } = await signedInPerson(service);
    const value = cookieOf(browser);
    const changed = value.slice(0, -2) + (value.endsWith('AA') ? 'BB' : 'AA');
    for (const wrong of [
      value.slice(0, -1),
      `${value}A`,
      changed,
      'x'.repeat(43),
      accessToken,
      refreshToken,
      '%00',
      '"',
      `${value},${value}`,
    ]) {
      expectProblem(await me(wrong), 'unauthenticated');
    }
    expect((await me(value)).status).toBe(200);
  });

  it('[V7.2.4] is nobody when there are two cookies of its name: which one the server set cannot be told', async () => {
    const { browser } = await browsingPerson(service);
    const value = cookieOf(browser);
    for (const cookie of [
      `${SESSION}=${value}; ${SESSION}=planted`,
      `${SESSION}=planted; ${SESSION}=${value}`,
      `${SESSION}=${value};${SESSION}=${value}`,
    ]) {
      expectProblem(await service.api().request('GET', '/api/auth/me', { headers: { cookie } }), 'unauthenticated');
    }
  });
});

describe('a fresh value', () => {
  it('[V7.2.4] is made at every sign-in: a planted one is never taken over', async () => {
    const person = await verifiedPerson(service);
    const planted = 'A'.repeat(43);
    const victim = cookieClient(service.api(), new Map([[SESSION, planted]]));
    await signInByCookie(victim, person);
    expect(cookieOf(victim)).not.toBe(planted);
    expectProblem(await me(planted), 'unauthenticated');
    expect((await me(cookieOf(victim))).body.id).toBe(person.id);
  });

  it('[V7.2.4] takes the place of the session that the browser held: an attacker who planted his own loses it', async () => {
    const attacker = await browsingPerson(service);
    const planted = cookieOf(attacker.browser);
    const person = await verifiedPerson(service);
    const victim = cookieClient(service.api(), new Map([[SESSION, planted]]));
    await signInByCookie(victim, person);
    expectProblem(await me(planted), 'unauthenticated');
    expect((await me(cookieOf(victim))).body.id).toBe(person.id);
    const { sessions } = (await victim.get('/api/auth/sessions')).body;
    expect(sessions).toHaveLength(1);
  });

  it('[V7.2.4] leaves the session that a browser holds alone while the sign-in fails', async () => {
    const { browser, email } = await browsingPerson(service);
    expectProblem(await browser.post('/api/auth/login', { email, password: 'wrong', transport: 'cookie' }), 'invalid-credentials');
    expect((await browser.get('/api/auth/me')).status).toBe(200);
  });

  it('[V7.2.4] comes with a password change: the old value and other sessions end', async () => {
    const person = await browsingPerson(service);
    const before = cookieOf(person.browser);
    const other = cookieClient(service.api());
    await signInByCookie(other, person);
    const body = { current_password: PASSWORD, new_password: OTHER_PASSWORD };
    const answer = await person.browser.post('/api/auth/change-password', body);
    expect(answer.status, answer.text).toBe(200);
    expect(answer.body).not.toHaveProperty('access_token');
    expect(cookieOf(person.browser)).not.toBe(before);
    expectProblem(await me(before), 'unauthenticated');
    expectProblem(await other.get('/api/auth/me'), 'unauthenticated');
    expect((await person.browser.get('/api/auth/me')).status).toBe(200);
    expect((await person.browser.post('/api/auth/token')).status).toBe(200);
  });

  it('[V7.2.4] comes with every rise of privilege: an enrolment and a step-up', async () => {
    const { browser, sessionId } = await browsingPerson(service);
    const atSignIn = cookieOf(browser);
    const secret = await enrol(browser);
    const enrolled = cookieOf(browser);
    expect(enrolled).not.toBe(atSignIn);
    expectProblem(await me(atSignIn), 'unauthenticated');

    service.clock.advance(11 * MINUTE);
    expectProblem(await browser.post('/api/auth/mfa/recovery-codes'), 'insufficient-user-authentication');
    const wrong = await browser.post('/api/auth/reauthenticate', { method: 'totp', code: wrongCode(service, secret) });
    expectProblem(wrong, 'invalid-code');
    expect(cookieOf(browser)).toBe(enrolled);
    const answer = await browser.post('/api/auth/reauthenticate', { method: 'totp', code: nextCode(service, { secret }) });
    expect(answer.body).toEqual({
      status: 'authenticated',
      csrf_token: browser.jar.get('csrf_token'),
      session_id: sessionId,
      auth_time: expect.any(String),
      acr: 'aal2',
    });
    expect(cookieOf(browser)).not.toBe(enrolled);
    expectProblem(await me(enrolled), 'unauthenticated');
    expect((await browser.post('/api/auth/mfa/recovery-codes')).status).toBe(200);
  });

  it('[V7.2.4] comes after the second factor, and no cookie before it', async () => {
    const person = await browsingPerson(service);
    const secret = await enrol(person.browser);
    const browser = cookieClient(service.api(), new Map([[SESSION, 'B'.repeat(43)]]));
    const first = await browser.post('/api/auth/login', { email: person.email, password: PASSWORD, transport: 'cookie' });
    expect(first.body.status).toBe('mfa_required');
    expect(first.setCookies).toEqual([]);
    const body = { pre_auth_token: first.body.pre_auth_token, method: 'totp', code: nextCode(service, { secret }) };
    const second = await browser.post('/api/auth/verify-mfa', body);
    expect(second.status, second.text).toBe(200);
    expect(second.body).not.toHaveProperty('access_token');
    expect((await browser.get('/api/auth/me')).body.id).toBe(person.id);
    expectProblem(await me('B'.repeat(43)), 'unauthenticated');
  });
});

describe('the access token of a cookie session', () => {
  it('is for other services: it is verified like any other, and reads here', async () => {
    const { browser, id, sessionId } = await browsingPerson(service);
    const answer = await browser.post('/api/auth/token');
    expect(answer.body).toEqual({ access_token: expect.any(String), token_type: 'Bearer', expires_in: 900 });
    const claims = JSON.parse(Buffer.from(answer.body.access_token.split('.')[1] ?? '', 'base64url').toString());
    expect(claims).toMatchObject({ sub: id, sid: sessionId, acr: 'aal1', amr: ['pwd'] });
    expect((await service.api().get('/api/auth/me', answer.body.access_token)).body.id).toBe(id);
  });

  it('[V3.5.1] changes nothing here: whoever got hold of one cannot do without the CSRF token', async () => {
    const { browser } = await browsingPerson(service);
    const token = (await browser.post('/api/auth/token')).body.access_token;
    for (const path of ['/api/auth/token', '/api/auth/logout', '/api/auth/mfa/setup']) {
      expectProblem(await service.api().post(path, undefined, token), 'forbidden');
    }
    const body = { password: PASSWORD };
    expectProblem(await service.api().post('/api/auth/reauthenticate', body, token), 'forbidden');
    expectProblem(await service.api().get('/api/auth/csrf', token), 'forbidden');
    expectProblem(await service.api().get('/api/auth/me/export', token), 'forbidden');
    expect((await browser.get('/api/auth/me')).status).toBe(200);
  });

  it('is not for bearer sessions: an access token alone cannot go on for ever', async () => {
    const { accessToken } = await signedInPerson(service);
    expectProblem(await service.api().post('/api/auth/token', undefined, accessToken), 'forbidden');
    expectProblem(await service.api().get('/api/auth/csrf', accessToken), 'forbidden');
  });

  it('ends with the session', async () => {
    const { browser } = await browsingPerson(service);
    const token = (await browser.post('/api/auth/token')).body.access_token;
    await browser.post('/api/auth/logout');
    expectProblem(await service.api().get('/api/auth/me', token), 'unauthenticated');
  });
});

describe('a browser whose session has ended', () => {
  it('can begin anew: its dead cookie is nobody where nobody is needed', async () => {
    const { browser, ...person } = await browsingPerson(service);
    service.clock.advance(61 * MINUTE);
    expect((await browser.post('/api/auth/webauthn/authenticate/options')).status).toBe(200);
    await signInByCookie(browser, person);
    expect((await browser.get('/api/auth/me')).status).toBe(200);
  });

  it('gives its dead cookies back, and can sign out of what is over', async () => {
    const { browser } = await browsingPerson(service);
    const value = cookieOf(browser);
    service.clock.advance(61 * MINUTE);
    const answer = await browser.get('/api/auth/me');
    expectProblem(answer, 'unauthenticated');
    expect([...browser.jar.keys()]).toEqual(['__Host-device']);
    const out = await service.api().request('POST', '/api/auth/logout', { headers: { cookie: `${SESSION}=${value}` } });
    expect([out.status, out.headers['clear-site-data']]).toEqual([204, '"cache", "storage"']);
  });

  it('keeps its cookies when another tab has just got new ones: an old value says nothing about the session', async () => {
    const { browser } = await browsingPerson(service);
    const old = cookieOf(browser);
    await enrol(browser);
    expect((await me(old)).setCookies).toEqual([]);
  });
});

describe('two step-ups at once', () => {
  it('are one: whichever comes second is refused, and the browser keeps the cookie of the first', async () => {
    const { browser } = await browsingPerson(service);
    const both = await Promise.all([1, 2].map(() => browser.post('/api/auth/reauthenticate', { password: PASSWORD })));
    expect(both.map(({ status }) => status).sort()).toEqual([200, 401]);
    expect((await browser.get('/api/auth/me')).status).toBe(200);
  });
});

describe('Safari on http://localhost', () => {
  const SAFARI = 'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Safari/605.1.15';

  it('keeps no Secure cookie there, so that in development it gets plain ones', async () => {
    const person = await verifiedPerson(service);
    const safari = cookieClient(service.api({ userAgent: SAFARI }));
    await signInByCookie(safari, person);
    expect([...safari.jar.keys()]).toEqual(['session', 'csrf_token', 'device']);
    expect((await safari.get('/api/auth/me')).body.id).toBe(person.id);
    expect((await safari.post('/api/auth/token')).status).toBe(200);
  });

  it('[V3.3.1] [V3.3.3] gets nothing but __Host- cookies where the service is reached by https', async () => {
    const issuer = 'https://auth.example.com';
    const settings = { ISSUER: issuer, ALLOWED_HOSTS: '127.0.0.1' };
    const secure = await startService({ settings, database: service.database, clock: service.clock });
    try {
      const person = await verifiedPerson(service);
      const safari = cookieClient(secure.api({ userAgent: SAFARI }));
      await signInByCookie(safari, person);
      expect([...safari.jar.keys()]).toEqual([SESSION, 'csrf_token', '__Host-device']);
      const planted = { cookie: `session=${safari.jar.get(SESSION)}` };
      expectProblem(await secure.api({ userAgent: SAFARI }).request('GET', '/api/auth/me', { headers: planted }), 'unauthenticated');
    } finally {
      await secure.stop();
    }
  });
});
