import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { holderOf } from '#tests/support/admins.ts';
import { expectProblem } from '#tests/support/api.ts';
import { codeOf } from '#tests/support/openapi-check.ts';
import { newEmail, PASSWORD } from '#tests/support/people.ts';
import { startService } from '#tests/support/service.ts';
import { serviceClient } from '#tests/support/service-clients.ts';

const logged: string[] = [];
const service = await startService({
  settings: { CORS_ORIGINS: 'https://app.example.com' },
  logTo: { write: (line) => void logged.push(line) },
});
const api = service.api();
const { authorization } = await serviceClient(service);
afterAll(service.stop);

const JSON_TYPE = 'application/json';
const FORM_TYPE = 'application/x-www-form-urlencoded';

async function send(path: string, body: Buffer | string, headers: Record<string, string>) {
  const response = await fetch(service.origin + path, { method: 'POST', body: body as never, headers });
  const text = await response.text();
  return { status: response.status, code: text === '' ? '' : codeOf(JSON.parse(text)), headers: response.headers };
}

const register = (body: Buffer | string, headers: Record<string, string> = {}) =>
  send('/api/auth/register', body, { 'content-type': JSON_TYPE, ...headers });
const introspect = (body: Buffer | string) => send('/api/auth/introspect', body, { 'content-type': FORM_TYPE, authorization });

/** A body with these bytes in its password. */
function passwordOf(...bytes: number[]): Buffer {
  const [before = '', after = ''] = JSON.stringify({ email: newEmail(), password: `${PASSWORD}|` }).split('|');
  return Buffer.concat([Buffer.from(before), Buffer.from(bytes), Buffer.from(after)]);
}

/** A request whose target is sent as it is; fetch would tidy it up. */
function asIs(line: string, headers: readonly string[] = []): Promise<{ status: number; code: string; head: string }> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(service.origin).port), '127.0.0.1');
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk) => {
      text += chunk;
    });
    socket.on('error', reject).on('close', () => {
      const [head = '', body = ''] = text.split('\r\n\r\n');
      const isProblem = /content-type: application\/problem\+json/i.test(head);
      resolve({ status: Number(head.split(' ')[1]), code: isProblem ? codeOf(JSON.parse(body)) : '', head });
    });
    socket.write([`${line} HTTP/1.1`, 'host: localhost', 'connection: close', ...headers, '', ''].join('\r\n'));
  });
}

describe('a body', () => {
  it.each([
    ['a byte that begins nothing', [0xff]],
    ['an overlong form', [0xc0, 0xaf]],
    ['half a surrogate pair', [0xed, 0xa0, 0x80]],
    ['a character that is cut off', [0xe2, 0x82]],
  ])('[V1.5.3] with %s, which is not UTF-8, is refused: different passwords would be one', async (_what, bytes) => {
    expect(await register(passwordOf(...bytes))).toMatchObject({ status: 400, code: 'invalid-request' });
    expect(await introspect(Buffer.from([...Buffer.from('token='), ...bytes]))).toMatchObject({ status: 400, code: 'invalid-request' });
    const escaped = bytes.map((byte) => `%${byte.toString(16)}`).join('');
    expect(await introspect(`token=${escaped}`)).toMatchObject({ status: 400, code: 'invalid-request' });
  });

  it('in UTF-8 is taken, U+FFFD itself too', async () => {
    for (const text of ['ö', '🚂', '\ufffd']) expect(await register(passwordOf(...Buffer.from(text)))).toMatchObject({ status: 201 });
    expect(await introspect('token=%C3%B6+%F0%9F%9A%82')).toMatchObject({ status: 200 });
  });

  it.each(['utf-16', 'latin1', 'iso-8859-1', '"UTF-16"', 'utf-8; charset=utf-16', ''])('in charset=%s is refused', async (charset) => {
    const answer = await register(passwordOf(), { 'content-type': `${JSON_TYPE}; charset=${charset}` });
    expect(answer).toMatchObject({ status: 415, code: 'unsupported-media-type' });
  });

  it.each(['utf-8', 'UTF-8', '"utf-8"', 'utf8'])('in charset=%s is taken', async (charset) => {
    expect(await register(passwordOf(), { 'content-type': `${JSON_TYPE};charset=${charset}` })).toMatchObject({ status: 201 });
  });

  it.each(['gzip', 'br', 'x-unknown', 'identity, gzip'])('with Content-Encoding: %s is refused, packed or not', async (coding) => {
    for (const body of [passwordOf(), gzipSync(passwordOf())]) {
      const answer = await register(body, { 'content-encoding': coding });
      expect(answer).toMatchObject({ status: 415, code: 'unsupported-media-type' });
      expect(answer.headers.get('accept-encoding')).toBe('identity');
    }
  });

  it('of nothing but unknown fields is answered with the first twenty, and how many there are', async () => {
    const names = Array.from({ length: 6000 }, (_, at) => at.toString(36));
    const answer = await api.post('/api/auth/register', Object.fromEntries(names.map((name) => [name, 1])));
    expectProblem(answer, 'invalid-request');
    expect(answer.body.errors).toHaveLength(20);
    expect(answer.body.detail).toBe('6002 fields are not valid; the first 20 are named.');
  });
});

describe('a request target', () => {
  it('may name a URL in its query', async () => {
    const answer = await asIs('GET /health?next=https://elsewhere.example/');
    expect(answer.status).toBe(200);
    expect((await asIs('GET /api/auth/me?next=https://elsewhere.example/')).status).toBe(401);
  });

  it.each(['http://localhost/health', 'HTTP://evil.example/health', 'https://localhost'])(
    'that names a host is refused: %s',
    async (target) => {
      expect(await asIs(`GET ${target}`)).toMatchObject({ status: 421, code: 'misdirected-request' });
    },
  );

  it.each(['/docs/static/..', '/docs/static/../../package.json', '/docs/static/%2e%2e/x', '/docs/static/..%2f..%2fpackage.json'])(
    'that leaves the files of the reference is not found, and no fault of ours: %s',
    async (target) => {
      logged.length = 0;
      expect(await asIs(`GET ${target}`)).toMatchObject({ status: 404, code: 'not-found' });
      expect(logged.filter((line) => line.includes('request failed'))).toEqual([]);
    },
  );

  it('whose conditions a plugin cannot meet is a request that is not valid', async () => {
    const file = 'GET /docs/static/swagger-ui.css';
    expect((await asIs(file)).status).toBe(200);
    for (const header of ['range: bytes=99999999-', 'if-match: "another"'])
      expect(await asIs(file, [header])).toMatchObject({ status: 400, code: 'invalid-request' });
  });
});

describe('a number in a query', () => {
  it('is decimal digits and nothing else', async () => {
    const { accessToken } = await holderOf(service, 'admin');
    const status = async (limit: string) => (await api.get(`/api/admin/users?limit=${limit}`, accessToken)).status;
    for (const limit of ['1', '100', '007']) expect(await status(limit), limit).toBe(200);
    const wrong = ['1e2', '0x10', '%205', '5%20', '+5', '5.0', '-1', '0', '101', '', '%0a5', '0b1', '1_0', '%D9%A5', '5&limit=6'];
    for (const limit of wrong) expect(await status(limit), limit).toBe(400);
    expect((await api.get('/api/admin/users', accessToken)).status).toBe(200);
  });
});

describe('If-None-Match', () => {
  it('takes a star for any copy of the keys (RFC 9110 13.1.2)', async () => {
    const keys = (kept: string) => fetch(`${service.origin}/.well-known/jwks.json`, { headers: { 'if-none-match': kept } });
    const etag = (await keys('"another"')).headers.get('etag') ?? '';
    for (const kept of ['*', etag, `W/${etag}`, `"another", ${etag}`]) expect((await keys(kept)).status, kept).toBe(304);
    expect((await keys('"*"')).status).toBe(200);
  });
});

describe('OPTIONS', () => {
  it('that is no preflight is answered with a problem, as it is without CORS', async () => {
    for (const headers of [[], ['origin: https://app.example.com'], ['access-control-request-method: POST']]) {
      const answer = await asIs('OPTIONS /api/auth/login', headers);
      expect(answer).toMatchObject({ status: 405, code: 'method-not-allowed' });
      expect(answer.head).toMatch(/allow: POST/i);
      expect(answer.head).toMatch(/x-request-id: \S+/i);
    }
    expect(await asIs('OPTIONS /nope')).toMatchObject({ status: 404, code: 'not-found' });
    expect(await asIs('OPTIONS *')).toMatchObject({ status: 404, code: 'not-found' });
  });

  it('of a page of a listed origin is a preflight', async () => {
    const answer = await asIs('OPTIONS /api/auth/login', ['origin: https://app.example.com', 'access-control-request-method: POST']);
    expect(answer.status).toBe(204);
    expect(answer.head).toMatch(/access-control-allow-origin: https:\/\/app\.example\.com/i);
  });
});

describe('a token of another kind, as long as an access token is,', () => {
  const other = 'eyJhbGciOiJSUzI1NiJ9.'.padEnd(2000, 'x');
  it.each([
    ['/api/auth/refresh', { refresh_token: other }, 'invalid-refresh-token'],
    ['/api/auth/verify-email', { token: other }, 'invalid-token'],
    ['/api/auth/reset-password', { token: other, new_password: PASSWORD }, 'invalid-token'],
    ['/api/auth/verify-mfa', { pre_auth_token: other, method: 'totp', code: '123456' }, 'invalid-token'],
    ['/api/auth/keep-account', { token: other }, 'invalid-token'],
    ['/api/auth/change-email/revert', { token: other }, 'invalid-token'],
  ] as const)('is just one that we never made: %s', async (path, body, code) => {
    expectProblem(await api.post(path, body), code);
  });
});
