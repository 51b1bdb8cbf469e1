import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { urlsOf } from '#http/mount.ts';
import type { Answer } from '../support/api.ts';
import { expectProblem } from '../support/api.ts';
import { type Browsing, browsingPerson, cookieClient } from '../support/cookie-client.ts';
import { codeOf } from '../support/openapi-check.ts';
import { PASSWORD, verifiedPerson } from '../support/people.ts';
import { startService, type TestService } from '../support/service.ts';

/** STANDARDS T16: a victim's browser sends its cookies with whatever a page makes it send. */

const FRIEND = 'https://shop.example.com';
const EVIL = 'https://evil.example';

let service: TestService;
let victim: Browsing;
beforeAll(async () => {
  service = await startService({ settings: { CORS_ORIGINS: FRIEND } });
  victim = await browsingPerson(service);
});
afterAll(() => service.stop());

/** Everything of the victim that a forged request could have changed. */
async function state(): Promise<unknown> {
  const sessions = await service.sql`select id, revoked_at, auth_time, acr, encode(cookie_hash, 'hex') as value from sessions
    where account_id = ${victim.id} order by id`;
  const [account] = await service.sql`select * from accounts where id = ${victim.id}`;
  const factors = await service.sql`select id from totp_authenticators where account_id = ${victim.id}`;
  const tickets = await service.sql`select id from tickets where account_id = ${victim.id} and used_at is null`;
  return { sessions, account, factors, tickets };
}

/** Every unsafe route that a cookie can speak for, from the route table, at each of its paths. */
function unsafeRoutes(): { method: string; path: string }[] {
  return service.routes
    .filter(
      ({ method, access, session }) => method !== 'GET' && (access === 'public' ? session === 'if-there' : !('serviceClient' in access)),
    )
    .flatMap((route) => urlsOf(route).map((path) => ({ method: route.method, path: path.replace('{id}', victim.sessionId) })));
}

function describeAnswer({ status, body }: Answer): string {
  return `${status} ${codeOf(body)}`;
}

const FORGERIES: [string, { headers?: Record<string, string>; csrf?: string | null }][] = [
  ['without a token', { csrf: null }],
  ['with an empty token', { csrf: '' }],
  ['with a made-up token', { csrf: 'A'.repeat(64) }],
  ['from an evil origin, even with the token', { headers: { origin: EVIL } }],
  ['from an opaque origin', { headers: { origin: 'null' } }],
  ['from a name that begins like ours', { headers: { origin: 'https://app.example.com.evil.example' } }],
  ['from our name over plain http', { headers: { origin: 'http://app.example.com' } }],
  ['that the browser calls cross-site', { headers: { 'sec-fetch-site': 'cross-site' } }],
  ['that the browser calls same-site: a neighbour host', { headers: { 'sec-fetch-site': 'same-site' } }],
  ['cross-site with an evil origin', { headers: { 'sec-fetch-site': 'cross-site', origin: EVIL } }],
];

describe('a forged request', () => {
  for (const [name, sent] of FORGERIES) {
    it(`[V3.5.1] [V3.5.2] ${name} changes nothing on any route`, async () => {
      const before = await state();
      const routes = unsafeRoutes();
      expect(routes.length).toBeGreaterThan(12);
      for (const { method, path } of routes) {
        const answer = await victim.browser.request(method, path, { body: {}, ...sent });
        expect(`${method} ${path} ${describeAnswer(answer)}`).toBe(`${method} ${path} 403 csrf`);
      }
      expect(await state()).toEqual(before);
    });
  }

  it('[V3.5.1] with the token of another session, planted as the cookie too, changes nothing', async () => {
    const attacker = await browsingPerson(service);
    const theirs = attacker.browser.jar.get('csrf_token') ?? '';
    const planted = cookieClient(service.api(), new Map([...victim.browser.jar, ['csrf_token', theirs]]));
    for (const { method, path } of unsafeRoutes()) {
      expectProblem(await planted.request(method, path, { body: {} }), 'csrf');
      expectProblem(await victim.browser.request(method, path, { body: {}, csrf: theirs }), 'csrf');
    }
  });

  it('[V3.5.1] with the right token in the cookie alone, in the header alone, or twice in the header changes nothing', async () => {
    const token = victim.browser.jar.get('csrf_token') ?? '';
    const session = `__Host-session=${victim.browser.jar.get('__Host-session')}`;
    const sent = [
      { cookie: `${session}; csrf_token=${token}` },
      { cookie: session, 'x-csrf-token': token },
      { cookie: `${session}; csrf_token=${token}`, 'x-csrf-token': `${token}, ${token}` },
    ];
    for (const headers of sent) expectProblem(await service.api().request('POST', '/api/auth/token', { headers }), 'csrf');
  });

  it('is all that a neighbour host gets by planting a csrf_token cookie beside ours: changes still work', async () => {
    const token = victim.browser.jar.get('csrf_token') ?? '';
    const cookie = `csrf_token=planted; __Host-session=${victim.browser.jar.get('__Host-session')}; csrf_token=${token}`;
    const answer = await service.api().request('POST', '/api/auth/token', { headers: { cookie, 'x-csrf-token': token } });
    expect(answer.status).toBe(200);
  });

  it('[V3.5.2] in any form that a plain form can send is not even read', async () => {
    const before = await state();
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x']) {
      const sent = { raw: '{"current_password":"x","new_password":"y"}', headers: { 'content-type': type } };
      const answer = await victim.browser.request('POST', '/api/auth/change-password', sent);
      expectProblem(answer, 'unsupported-media-type');
    }
    expect(await state()).toEqual(before);
  });

  it('[V3.5.3] by a safe method, or one that is overridden, changes nothing', async () => {
    const before = await state();
    for (const { method, path } of unsafeRoutes()) {
      const cookie = [...victim.browser.jar].map(([name, value]) => `${name}=${value}`).join('; ');
      const headers = { cookie, 'x-http-method-override': method, 'x-method-override': method };
      for (const safe of ['GET', 'HEAD'] as const) {
        const { status } = await fetch(`${service.origin}${path}?_method=${method}`, { method: safe, headers });
        expect([200, 400, 403, 404, 405], `${safe} ${path}`).toContain(status);
      }
    }
    expect(await state()).toEqual(before);
  });

  it('[V3.5.8] reads nothing either, where the browser says that a foreign page asks', async () => {
    for (const headers of [{ 'sec-fetch-site': 'cross-site' }, { 'sec-fetch-site': 'same-site' }, { origin: EVIL }] as const) {
      expectProblem(await victim.browser.request('GET', '/api/auth/me', { headers }), 'csrf');
    }
  });
});

describe('a sign-in', () => {
  it('[V3.5.1] from a foreign page is refused: nobody ends up in a stranger’s account (login CSRF)', async () => {
    const attacker = await verifiedPerson(service);
    const body = { email: attacker.email, password: PASSWORD, transport: 'cookie' };
    for (const headers of [{ origin: EVIL }, { origin: 'null' }, { 'sec-fetch-site': 'cross-site' }, { 'sec-fetch-site': 'same-site' }]) {
      const answer = await service.api().request('POST', '/api/auth/login', { body, headers: headers as Record<string, string> });
      expectProblem(answer, 'csrf');
      expect(answer.setCookies).toEqual([]);
    }
    const form = await service.api().request('POST', '/api/auth/login', {
      raw: JSON.stringify(body),
      headers: { 'content-type': 'text/plain' },
    });
    expectProblem(form, 'unsupported-media-type');
  });

  it('from our own pages and from those of CORS_ORIGINS is welcome', async () => {
    const person = await verifiedPerson(service);
    const body = { email: person.email, password: PASSWORD, transport: 'cookie' };
    for (const headers of [
      { origin: FRIEND, 'sec-fetch-site': 'cross-site' },
      { origin: 'https://app.example.com', 'sec-fetch-site': 'same-site' },
      { origin: 'http://localhost:3000' },
      { origin: 'http://127.0.0.1:3000', 'sec-fetch-site': 'same-origin' },
    ] as Record<string, string>[]) {
      expect((await service.api().request('POST', '/api/auth/login', { body, headers })).status).toBe(200);
    }
  });
});

describe('a page of ours', () => {
  it('gets the token anew after a reload, also where it cannot read the cookie', async () => {
    const { browser } = await browsingPerson(service);
    const before = browser.jar.get('csrf_token');
    browser.jar.delete('csrf_token');
    const answer = await browser.request('GET', '/api/auth/csrf', { headers: { origin: FRIEND, 'sec-fetch-site': 'cross-site' } });
    expect(answer.body.csrf_token).toBe(browser.jar.get('csrf_token'));
    expect(answer.body.csrf_token).not.toBe(before);
    expect((await browser.post('/api/auth/token')).status).toBe(200);
  });

  it('[V3.4.2] may send cookies from CORS_ORIGINS alone, by exact name', async () => {
    const preflight = async (origin: string) => {
      const asked = { 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type,x-csrf-token' };
      const { headers } = await fetch(`${service.origin}/api/auth/token`, { method: 'OPTIONS', headers: { origin, ...asked } });
      return Object.fromEntries(headers);
    };
    const allowed = await preflight(FRIEND);
    expect(allowed).toMatchObject({ 'access-control-allow-origin': FRIEND, 'access-control-allow-credentials': 'true' });
    expect(allowed['access-control-allow-headers']?.toLowerCase()).toContain('x-csrf-token');
    expect(allowed['vary']).toContain('Origin');
    for (const origin of [EVIL, 'null', `${FRIEND}.evil.example`, 'http://shop.example.com', 'https://SHOP.example.com:8443']) {
      expect((await preflight(origin))['access-control-allow-origin']).not.toBe(origin);
      const answer = await victim.browser.request('GET', '/api/auth/me', { headers: { origin } });
      expect(answer.headers['access-control-allow-origin']).toBeUndefined();
    }
  });
});
