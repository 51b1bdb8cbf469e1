import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { holderOf } from '../support/admins.ts';
import { browsingPerson } from '../support/cookie-client.ts';
import { codeOf } from '../support/openapi-check.ts';
import { signedInPerson } from '../support/people.ts';
import { startService, type TestService } from '../support/service.ts';

let service: TestService;
beforeAll(async () => {
  service = await startService({ settings: { CORS_ORIGINS: 'https://app.example.com' } });
});
afterAll(() => service.stop());

/** One request as bytes, and all that comes back. */
function raw(bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(service.origin).port), '127.0.0.1');
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk) => {
      text += chunk;
    });
    socket.on('error', reject).on('close', () => resolve(text));
    socket.write(bytes);
  });
}

function problemIn(response: string): { status: number; code: string } {
  const [head = '', body = ''] = response.split('\r\n\r\n');
  expect(head).toMatch(/content-type: application\/problem\+json/i);
  expect(head).toMatch(/x-request-id: \S+/i);
  expect(head).toMatch(/cache-control: no-store/i);
  return { status: Number(head.split(' ')[1]), code: codeOf(JSON.parse(body)) };
}

const HEAD = 'host: localhost\r\nconnection: close\r\n';
const post = (body: string, type = 'application/json') =>
  `POST /api/auth/login HTTP/1.1\r\n${HEAD}content-type: ${type}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

describe('whatever is wrong with a request, the answer is a problem with a request id [V16.5.1]', () => {
  it.each([
    ['an unknown path', `GET /nope HTTP/1.1\r\n${HEAD}\r\n`, 404, 'not-found'],
    ['a method that the path does not have', `PUT /api/auth/login HTTP/1.1\r\n${HEAD}\r\n`, 405, 'method-not-allowed'],
    ['[V13.4.4] TRACE', `TRACE / HTTP/1.1\r\n${HEAD}\r\n`, 405, 'method-not-allowed'],
    ['a URL that cannot be decoded', `GET /% HTTP/1.1\r\n${HEAD}\r\n`, 400, 'invalid-request'],
    ['something that is not HTTP', 'HELO there\r\n\r\n', 400, 'invalid-request'],
    ['headers that are too large', `GET / HTTP/1.1\r\n${HEAD}x: ${'a'.repeat(20_000)}\r\n\r\n`, 431, 'request-header-fields-too-large'],
    ['a body that is not JSON', post('{"a":'), 400, 'invalid-request'],
    ['[V15.3.6] a body that names __proto__', post('{"__proto__":{"role":"admin"}}'), 400, 'invalid-request'],
    ['[V1.5.3] a body that names a field twice', post('{"identifier":"a","identifier":"b","password":"c"}'), 400, 'invalid-request'],
    ['a body with U+0000', post('{"identifier":"a\\u0000","password":"c"}'), 400, 'invalid-request'],
    ['a body with half a surrogate pair', post('{"identifier":"a\\ud800","password":"c"}'), 400, 'invalid-request'],
    ['no body where one is needed', `POST /api/auth/login HTTP/1.1\r\n${HEAD}content-length: 0\r\n\r\n`, 400, 'invalid-request'],
    ['[V4.1.1] another content type', post('a=b', 'application/x-www-form-urlencoded'), 415, 'unsupported-media-type'],
    ['text/plain, which browsers send across origins', post('{}', 'text/plain'), 415, 'unsupported-media-type'],
    ['[V15.3.5] a number where text belongs', post('{"identifier":"a","password":123456789}'), 400, 'invalid-request'],
    ['a host that is not ours', 'GET /health HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n', 421, 'misdirected-request'],
    ['no host', 'GET /health HTTP/1.1\r\nconnection: close\r\n\r\n', 400, 'invalid-request'],
    ['an expectation that nobody knows', `GET /nope HTTP/1.1\r\n${HEAD}expect: roses\r\n\r\n`, 404, 'not-found'],
    ['another host in the request line', `GET http://evil.example/api/auth/me HTTP/1.1\r\n${HEAD}\r\n`, 421, 'misdirected-request'],
  ])('%s', async (_what, bytes, status, code) => {
    expect(problemIn(await raw(bytes))).toEqual({ status, code });
  });

  it('a body that is too large [V2.4.1]', async () => {
    const answer = await raw(post(JSON.stringify({ identifier: 'a', password: 'x'.repeat(70_000) })));
    expect(problemIn(answer)).toEqual({ status: 413, code: 'payload-too-large' });
  });

  it('names the methods that the path has', async () => {
    expect(await raw(`PUT /api/auth/sessions HTTP/1.1\r\n${HEAD}\r\n`)).toMatch(/allow: DELETE, GET, HEAD/i);
  });

  it('closes CONNECT without a word, as Node does, and goes on whatever becomes of the socket', async () => {
    expect(await raw('CONNECT evil.example:80 HTTP/1.1\r\nhost: evil.example\r\n\r\n')).toBe('');
  });

  it('is nothing, and no error of ours, where the client has gone before it was asked', async () => {
    const said: string[] = [];
    const service = await startService({ settings: { LOG_LEVEL: 'error' }, logTo: { write: (line) => void said.push(line) } });
    const line = `GET /health HTTP/1.1\r\n${HEAD}\r\n`;
    const leave = () =>
      new Promise<void>((resolve, reject) => {
        const socket = connect(Number(new URL(service.origin).port), '127.0.0.1', () => {
          socket.write(line);
          socket.resetAndDestroy();
          resolve();
        });
        socket.on('error', reject);
      });
    for (let time = 0; time < 100; time++) await leave();
    expect((await fetch(`${service.origin}/health`)).status).toBe(200);
    expect(said).toEqual([]);
    await service.stop();
  });

  it('points at each field', async () => {
    const answer = await service.api().post('/api/auth/register', { email: 'nobody', password: '', 'a/b': 1 });
    expect(answer.body.errors.map(({ pointer }) => pointer).sort()).toEqual(['/a~1b', '/email', '/password']);
  });

  it('points at the whole body where it is not even JSON', async () => {
    expect(JSON.parse((await raw(post('{"a":'))).split('\r\n\r\n')[1] ?? '')).toMatchObject({ errors: [{ pointer: '' }] });
  });

  it('[V15.3.3] refuses fields also where none are asked for, and does nothing', async () => {
    const person = await signedInPerson(service);
    const headers = { authorization: `Bearer ${person.accessToken}`, 'content-type': 'application/json' };
    const send = (body: string) => fetch(`${service.origin}/api/auth/me`, { method: 'DELETE', headers, body });
    const answer = await send('{"roles":["admin"]}');
    expect([answer.status, await answer.json()]).toMatchObject([400, { errors: [{ pointer: '/roles' }] }]);
    expect(await (await fetch(`${service.origin}/api/auth/me`, { headers })).json()).toMatchObject({ id: person.id });
    expect((await send('{}')).status).toBe(204);
  });
});

/** The same for everybody: what is somebody's own comes after the # of the link, which no server sees. */
const PAGES = [
  '/',
  '/change-email',
  '/forgot-password',
  '/keep-account',
  '/pages/form.js',
  '/pages/style.css',
  '/report-sign-in',
  '/reset-password',
  '/revert-email',
  '/verify-email',
];

describe('the edge', () => {
  it('answers health to a probe that names the address of the pod', async () => {
    expect(await raw('GET /health/live HTTP/1.1\r\nhost: 10.1.2.3:3000\r\nconnection: close\r\n\r\n')).toMatch(/^HTTP\/1.1 200/);
  });

  it('keeps a well-formed request id and replaces any other [V16.2.4]', async () => {
    const kept = await fetch(`${service.origin}/health`, { headers: { 'x-request-id': 'abc-123' } });
    expect(kept.headers.get('x-request-id')).toBe('abc-123');
    const replaced = await fetch(`${service.origin}/health`, { headers: { 'x-request-id': 'a b"{}' } });
    expect(replaced.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('[V3.4.4] [V3.4.6] sends the security headers with errors too', async () => {
    for (const url of ['/', '/nope', '/api/auth/me']) {
      const { headers } = await fetch(service.origin + url);
      expect(headers.get('x-content-type-options'), url).toBe('nosniff');
      expect(headers.get('content-security-policy'), url).toContain("frame-ancestors 'none'");
      expect(headers.get('x-powered-by'), url).toBeNull();
    }
  });

  it('[V3.4.2] lets pages of the listed origins in, and no others', async () => {
    const ask = async (origin: string) =>
      (await fetch(`${service.origin}/health`, { headers: { origin } })).headers.get('access-control-allow-origin');
    expect(await ask('https://app.example.com')).toBe('https://app.example.com');
    expect(await ask('https://evil.example')).toBeNull();
  });

  it('[V14.3.2] lets nothing be kept but the keys and the metadata, and pages that hold nothing of anybody', async () => {
    const admin = await holderOf(service, 'admin');
    const { browser } = await browsingPerson(service);
    const cookie = [...browser.jar].map(([name, value]) => `${name}=${value}`).join('; ');
    const reads = service.routes.filter(({ method }) => method === 'GET');
    const seen = new Set<string>();
    for (const headers of [{}, { authorization: `Bearer ${admin.accessToken}` }, { cookie }] as Record<string, string>[]) {
      const kept: Record<string, string | null> = {};
      for (const { path } of reads) {
        const answer = await fetch(service.origin + path.replace('{code}', 'conflict').replace('{id}', admin.id), { headers });
        await answer.bytes();
        if (answer.status === 200) seen.add(path);
        const cacheControl = answer.headers.get('cache-control');
        if (cacheControl !== 'no-store') kept[path] = cacheControl;
      }
      expect(kept).toEqual({
        '/.well-known/jwks.json': 'public, max-age=600',
        '/.well-known/oauth-authorization-server': 'public, max-age=3600',
        '/.well-known/openid-configuration': 'public, max-age=3600',
        '/problems/{code}': 'public, max-age=3600',
        ...Object.fromEntries(PAGES.map((path) => [path, 'no-cache'])),
      });
    }
    expect(seen, 'each was asked by somebody who may').toEqual(new Set(reads.map(({ path }) => path)));
  });

  it('serves the keys once to whoever has them already', async () => {
    const url = `${service.origin}/.well-known/jwks.json`;
    const first = await fetch(url);
    expect(first.headers.get('cache-control')).toBe('public, max-age=600');
    const again = await fetch(url, { headers: { 'if-none-match': first.headers.get('etag') ?? '' } });
    expect(again.status).toBe(304);
    expect(await again.text()).toBe('');
    const { keys } = (await first.json()) as { keys: Record<string, string>[] };
    expect(keys.length).toBe(2);
    for (const key of keys) expect(Object.keys(key).sort()).toEqual(['alg', 'e', 'kid', 'kty', 'n', 'use']);
  });
});
