import { createServer, type Server } from 'node:http';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { findChromium, openChromium } from '#tests/support/browser.ts';
import { freePort } from '#tests/support/free-port.ts';
import { PASSWORD, type Person, verifiedPerson } from '#tests/support/people.ts';
import { startService, type TestService } from '#tests/support/service.ts';

/** Cookies, CORS and CSRF as Chromium does them: what no client of our making can show. */

const chromium = findChromium();

/** A site of somebody else's making: an empty page. */
async function site(host: string): Promise<{ origin: string; server: Server }> {
  const port = await freePort();
  const server = createServer((_request, response) => {
    response.setHeader('content-type', 'text/html').end('<!doctype html><title>A page</title>');
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return { origin: `http://${host}:${port}`, server };
}

type Seen = { status: number; code?: string; body?: Record<string, unknown> } | { failed: string };

describe.skipIf(chromium === null)('a browser on the page of another origin', () => {
  let service: TestService;
  let browser: Browser;
  let auth: string;
  let app: string;
  let neighbour: string;
  let stranger: string;
  const servers: Server[] = [];

  beforeAll(async () => {
    // Another port is another origin of the same site, where SameSite keeps nothing away; 127.0.0.1 is another site altogether.
    const sites = await Promise.all([site('localhost'), site('localhost'), site('127.0.0.1')]);
    [app, neighbour, stranger] = sites.map(({ origin }) => origin) as [string, string, string];
    servers.push(...sites.map(({ server }) => server));
    const port = await freePort();
    auth = `http://localhost:${port}`;
    service = await startService({ port, settings: { ISSUER: auth, FRONTEND_URL: app, CORS_ORIGINS: app, WEBAUTHN_RP_ID: 'localhost' } });
    browser = await openChromium(chromium ?? '');
  }, 60_000);
  afterEach(async () => {
    await Promise.all(browser.contexts().map((context) => context.close()));
  });
  afterAll(async () => {
    await browser?.close();
    await service?.stop();
    for (const server of servers) server.close();
  });

  /** What the page itself gets to see of a request to the service. */
  async function call(page: Page, method: string, path: string, { body, csrf }: { body?: object; csrf?: string } = {}): Promise<Seen> {
    const headers = { ...(body ? { 'content-type': 'application/json' } : {}), ...(csrf ? { 'x-csrf-token': csrf } : {}) };
    const init = { method, credentials: 'include', headers, ...(body ? { body: JSON.stringify(body) } : {}) };
    return await page.evaluate(`fetch(${JSON.stringify(auth + path)}, ${JSON.stringify(init)}).then(
      async (response) => {
        const text = await response.text();
        const body = text === '' ? {} : JSON.parse(text);
        return { status: response.status, code: body.type?.split('/').pop(), body };
      },
      (error) => ({ failed: String(error) }),
    )`);
  }

  async function pageAt(origin: string, context?: BrowserContext): Promise<Page> {
    const page = await (context ?? (await browser.newContext())).newPage();
    await page.goto(origin);
    return page;
  }

  async function signedIn(): Promise<{ page: Page; person: Person; csrf: string }> {
    const person = await verifiedPerson(service);
    const page = await pageAt(app);
    const body = { email: person.email, password: PASSWORD, transport: 'cookie' };
    const seen = await call(page, 'POST', '/api/auth/login', { body });
    expect(seen).toMatchObject({ status: 200, body: { status: 'authenticated', csrf_token: expect.any(String) } });
    return { page, person, csrf: 'body' in seen ? String(seen.body?.['csrf_token']) : '' };
  }

  const isSignedIn = (page: Page) => call(page, 'GET', '/api/auth/me');
  const sessionsOf = ({ id }: Person) => service.sql`select id from sessions where account_id = ${id} and revoked_at is null`;

  it('[V3.3.4] signs in, and no script of it can read the session', async () => {
    const { page, person, csrf } = await signedIn();
    expect(await isSignedIn(page)).toMatchObject({ status: 200, body: { id: person.id } });
    const cookies = await page.context().cookies(auth);
    expect(cookies.map(({ name, httpOnly, secure, sameSite }) => ({ name, httpOnly, secure, sameSite }))).toEqual(
      expect.arrayContaining([
        { name: '__Host-session', httpOnly: true, secure: true, sameSite: 'Strict' },
        { name: 'csrf_token', httpOnly: false, secure: true, sameSite: 'Strict' },
        { name: '__Host-device', httpOnly: true, secure: true, sameSite: 'Strict' },
      ]),
    );
    const readable = await page.evaluate<string>('document.cookie');
    expect(readable).toContain(csrf);
    for (const { name, value } of cookies) if (name !== 'csrf_token') expect(readable).not.toContain(value);
  });

  it('survives a reload and another tab, and changes things with the token that it asks for', async () => {
    const { page, person } = await signedIn();
    await page.reload();
    const tab = await pageAt(app, page.context());
    for (const one of [page, tab]) {
      expect(await isSignedIn(one)).toMatchObject({ status: 200, body: { id: person.id } });
      const asked = await call(one, 'GET', '/api/auth/csrf');
      const csrf = 'body' in asked ? String(asked.body?.['csrf_token']) : '';
      expect(await call(one, 'POST', '/api/auth/token', { csrf })).toMatchObject({ status: 200, body: { token_type: 'Bearer' } });
    }
  });

  it('[V7.4.4] signs out: the browser forgets the session, and keeps what it is known again by', async () => {
    const { page, person, csrf } = await signedIn();
    expect(await call(page, 'POST', '/api/auth/logout', { csrf })).toMatchObject({ status: 204 });
    expect((await page.context().cookies(auth)).map(({ name }) => name)).toEqual(['__Host-device']);
    expect(await isSignedIn(page)).toMatchObject({ status: 401, code: 'unauthenticated' });
    expect(await sessionsOf(person)).toEqual([]);
  });

  it('[V3.5.1] [V3.5.2] is no way in for a third origin: its page neither reads nor changes anything', async () => {
    const { page, person, csrf } = await signedIn();
    for (const origin of [neighbour, stranger]) {
      const evil = await pageAt(origin, page.context());
      expect(await isSignedIn(evil)).toHaveProperty('failed');
      expect(await call(evil, 'GET', '/api/auth/csrf')).toHaveProperty('failed');
      expect(await call(evil, 'POST', '/api/auth/logout', { csrf })).toHaveProperty('failed');
      expect(await call(evil, 'DELETE', '/api/auth/sessions', { csrf })).toHaveProperty('failed');
    }
    expect(await sessionsOf(person)).toHaveLength(1);
    expect(await isSignedIn(page)).toMatchObject({ status: 200 });
  });

  it('[V3.5.1] [V3.5.2] is not fooled by a form, which needs no leave of the browser to be sent', async () => {
    const { page, person } = await signedIn();
    for (const origin of [neighbour, stranger]) {
      for (const enctype of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data']) {
        for (const path of ['/api/auth/logout', '/api/auth/change-password', '/api/auth/mfa/setup']) {
          const evil = await pageAt(origin, page.context());
          const answered = evil.waitForResponse((response) => response.url() === auth + path);
          await evil.evaluate(`(() => {
            const form = document.createElement('form');
            Object.assign(form, { method: 'post', enctype: ${JSON.stringify(enctype)}, action: ${JSON.stringify(auth + path)} });
            form.innerHTML = '<input name="a" value="b">';
            document.body.append(form);
            form.submit();
          })()`);
          expect([401, 403, 415]).toContain((await answered).status());
          await evil.close();
        }
      }
    }
    expect(await sessionsOf(person)).toHaveLength(1);
    expect(await isSignedIn(page)).toMatchObject({ status: 200 });
  });

  it('[V3.5.1] signs nobody in for a third origin (login CSRF)', async () => {
    const attacker = await verifiedPerson(service);
    const { page, person } = await signedIn();
    const evil = await pageAt(neighbour, page.context());
    const body = { email: attacker.email, password: PASSWORD, transport: 'cookie' };
    expect(await call(evil, 'POST', '/api/auth/login', { body })).toHaveProperty('failed');
    const form = `{"email":"${attacker.email}","password":"${PASSWORD}","transport":"cookie","website_url":"`;
    const answered = evil.waitForResponse((response) => response.url() === `${auth}/api/auth/login`);
    await evil.evaluate(`(() => {
      const form = document.createElement('form');
      Object.assign(form, { method: 'post', enctype: 'text/plain', action: ${JSON.stringify(`${auth}/api/auth/login`)} });
      const input = document.createElement('input');
      Object.assign(input, { name: ${JSON.stringify(form)}, value: '"}' });
      form.append(input);
      document.body.append(form);
      form.submit();
    })()`);
    expect([403, 415]).toContain((await answered).status());
    expect(await sessionsOf(attacker)).toEqual([]);
    expect(await isSignedIn(page)).toMatchObject({ status: 200, body: { id: person.id } });
  });
});
