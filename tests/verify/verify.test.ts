import { execFile } from 'node:child_process';
import { createHmac, createPublicKey, generateKeyPairSync, randomUUID } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { decodeProtectedHeader, importPKCS8, type JWTPayload, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rotated } from '#domain/key-rotation.ts';
import { addKey, createKeyFolder, readKeyFolder, writeKeyRing } from '#infrastructure/crypto/key-folder.ts';
import { holderOf } from '#tests/support/admins.ts';
import { freePort } from '#tests/support/free-port.ts';
import { codeOf } from '#tests/support/page.ts';
import { type SignedIn, signedInPerson, signIn, tokensOf } from '#tests/support/people.ts';
import { startService, type TestService } from '#tests/support/service.ts';
import { serviceClient } from '#tests/support/service-clients.ts';
import { until } from '#tests/support/until.ts';
import { type Guard, PAGES } from './programs.ts';

/** The programs of docs/verify, taken out of their pages and run against this service. */

const TYP = 'at+jwt';
const pages = PAGES.filter(({ isHere }) => isHere);
const guards = new Map<string, Guard>();
const lonely = new Map<string, Guard>();
const keys = mkdtempSync(path.join(tmpdir(), 'latchkey-verify-keys-'));
let service: TestService;
let issuer: string;
let person: SignedIn;

beforeAll(async () => {
  createKeyFolder(keys, 'RS256', new Date());
  const port = await freePort();
  issuer = `http://127.0.0.1:${port}`;
  service = await startService({ port, settings: { ISSUER: issuer, KEYS_DIR: keys } });
  person = await signedInPerson(service);
  const nobody = `http://127.0.0.1:${await freePort()}`;
  await Promise.all(
    pages.map(async ({ name, build }) => {
      const start = await build();
      guards.set(name, await start(issuer));
      lonely.set(name, await start(nobody));
    }),
  );
}, 240_000);
afterAll(async () => {
  for (const guard of [...guards.values(), ...lonely.values()]) await guard.stop();
  await service.stop();
  rmSync(keys, { recursive: true });
});

const ask = async (page: string, token: string | null, { at = '/', of = guards, headers = {} as Record<string, string> } = {}) =>
  await fetch(`${of.get(page)?.url}${at}`, { headers: { ...headers, ...(token === null ? {} : { authorization: `Bearer ${token}` }) } });

const now = () => Math.floor(Date.now() / 1000);
const current = () => readKeyFolder(keys).ring.current.kid;
const pemOf = (kid: string) => readFileSync(path.join(keys, `${kid}.pem`), 'utf8');
const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url');

/** A token as ours are, but for what is given; signed with our own key unless another is. */
async function forged({
  header = {},
  claims = {},
  without = [],
  pem = pemOf(current()),
}: {
  header?: object;
  claims?: JWTPayload;
  without?: string[];
  pem?: string;
}): Promise<string> {
  const all: JWTPayload = { iss: issuer, aud: issuer, sub: person.id, roles: ['user'], scope: '', iat: now(), exp: now() + 300, ...claims };
  for (const name of without) delete all[name];
  return await new SignJWT(all)
    .setProtectedHeader({ alg: 'RS256', typ: TYP, kid: current(), ...header })
    .sign(await importPKCS8(pem, 'RS256'));
}

const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
const changed = (token: string, claims: object) => {
  const [head, body = '', signature] = token.split('.');
  return `${head}.${encode({ ...JSON.parse(Buffer.from(body, 'base64url').toString()), ...claims })}.${signature}`;
};

const BAD: Record<string, () => string | null | Promise<string | null>> = {
  'no token': () => null,
  rubbish: () => 'rubbish',
  'two dots and nothing': () => '..',
  'the refresh token': () => person.refreshToken,
  'one that is expired': () => forged({ claims: { exp: now() - 60 } }),
  'one without an end': () => forged({ without: ['exp'] }),
  'one for another audience': () => forged({ claims: { aud: 'https://other.example.com' } }),
  'one for nobody': () => forged({ without: ['aud'] }),
  'one of another issuer': () => forged({ claims: { iss: 'https://other.example.com' } }),
  'one of no issuer': () => forged({ without: ['iss'] }),
  'an ID token': () => forged({ header: { typ: 'JWT' } }),
  'one without a type': () => forged({ header: { typ: undefined } }),
  'one signed by nobody (alg: none)': async () => {
    const [, body] = (await forged({})).split('.');
    return `${encode({ alg: 'none', typ: TYP, kid: current() })}.${body}.`;
  },
  'one signed with our public key as a password (HS256)': async () => {
    const [, body] = (await forged({})).split('.');
    const input = `${encode({ alg: 'HS256', typ: TYP, kid: current() })}.${body}`;
    const publicKey = createPublicKey(pemOf(current())).export({ type: 'spki', format: 'pem' });
    return `${input}.${createHmac('sha256', publicKey).update(input).digest('base64url')}`;
  },
  'one with other claims': () => changed(person.accessToken, { roles: ['admin'], scope: 'users:read' }),
  'one with another signature': () => `${person.accessToken.slice(0, -8)}AAAAAAAA`,
  'one without its signature': () => person.accessToken.slice(0, person.accessToken.lastIndexOf('.') + 1),
  'one by a key of strangers': () => forged({ header: { kid: 'nobody-knows-it' }, pem: stranger }),
  'one by a key of strangers under the name of ours': () => forged({ pem: stranger }),
  'one without a key id, by strangers': () => forged({ header: { kid: undefined }, pem: stranger }),
};

describe('the pages', () => {
  it('are all of docs/verify, but for Envoy, which does not run here (envoy.test.ts)', () => {
    const written = readdirSync('docs/verify').filter((name) => !['README.md', 'envoy.md'].includes(name));
    expect(written.sort()).toEqual(PAGES.map(({ name }) => name).sort());
  });

  it('show how to ask whether a session still lives', async () => {
    const client = await serviceClient(service);
    const env = { PATH: process.env['PATH'], AUTH_ISSUER: issuer, CLIENT_ID: client.id, CLIENT_SECRET: client.secret };
    const introspect = async (token: string) => {
      const script = codeOf('verify/README.md')['introspect.sh'] ?? '';
      const { stdout } = await promisify(execFile)('sh', ['-c', script], { env: { ...env, ACCESS_TOKEN: token } });
      return JSON.parse(stdout);
    };
    const other = await signIn(service.api(), person);
    expect(await introspect(other.accessToken)).toMatchObject({ active: true, sub: person.id });
    await service.api().post('/api/auth/logout', undefined, other.accessToken);
    expect(await introspect(other.accessToken)).toEqual({ active: false });
  });
});

describe.each(pages.map(({ name }) => name))('docs/verify/%s', (page) => {
  it('lets a user in who has just signed in, and says who it is', async () => {
    const answer = await ask(page, person.accessToken);
    expect(answer.status).toBe(200);
    expect(await answer.json()).toEqual({ sub: person.id, roles: ['user'] });
    expect((await ask(page, await forged({ claims: { exp: now() - 2 } }))).status, 'clocks may differ').toBe(200);
    expect((await ask(page, await forged({ claims: { aud: ['https://other.example.com', issuer] } }))).status).toBe(200);
  });

  it('looks at permissions', async () => {
    expect((await ask(page, person.accessToken, { at: '/users' })).status).toBe(403);
    const { refreshToken } = await holderOf(service, 'staff');
    const staff = tokensOf(await service.api().post('/api/auth/refresh', { refresh_token: refreshToken }));
    expect((await ask(page, staff.accessToken, { at: '/users' })).status).toBe(200);
  });

  it.each(Object.entries(BAD))('[V9.1.1] [V9.1.2] [V9.2.1] [V9.2.3] refuses %s', async (_, make) => {
    const answer = await ask(page, await make());
    expect(answer.status).toBe(401);
    expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer/);
  });

  it('asks for a token before it says what is there', async () => {
    expect((await ask(page, null, { at: '/users' })).status).toBe(401);
    expect((await ask(page, null, { at: '/nobody/thought/of/this' })).status).toBe(401);
  });

  it('answers 503 and not 401 while there are no keys to verify with', async () => {
    const answer = await ask(page, person.accessToken, { of: lonely });
    expect([answer.status, Number(answer.headers.get('retry-after'))]).toEqual([503, 2]);
    expect((await ask(page, 'rubbish', { of: lonely })).status).toBe(401);
  });
});

it.runIf(pages.some(({ name }) => name === 'nginx.md'))(
  'docs/verify/nginx.md lets nobody write the headers that say who comes',
  async () => {
    const headers = { 'x-auth-sub': randomUUID(), 'x-auth-roles': 'admin', 'x-auth-scope': 'users:read' };
    expect(await (await ask('nginx.md', person.accessToken, { headers })).json()).toEqual({ sub: person.id, roles: ['user'] });
    expect((await ask('nginx.md', person.accessToken, { headers, at: '/users' })).status).toBe(403);
  },
);

describe('all of them together', () => {
  it('pick up a key that was never published before it signed, keep those before, and go on when the service is gone', async () => {
    // Twice in a row: the key that signs now stood in no JWKS that a verifier has.
    for (let time = 1; time <= 2; time++) {
      const { ring, keys: known } = readKeyFolder(keys);
      const kid = addKey(keys, 'RS256');
      const algorithms = new Map([...known.keys(), kid].map((each) => [each, 'RS256'] as const));
      writeKeyRing(keys, rotated(ring, kid, 900, new Date()), algorithms);
    }
    const before = person.accessToken;
    const after = await until(
      'the new key signs',
      async () => {
        const { accessToken } = await signIn(service.api(), person);
        return decodeProtectedHeader(accessToken).kid === current() && accessToken;
      },
      20,
    );
    await Promise.all(pages.map(({ name }) => until(`${name} knows the new key`, async () => (await ask(name, after)).status === 200, 20)));
    for (const { name } of pages) expect((await ask(name, before)).status, name).toBe(200);
    await service.app.close();
    for (const { name } of pages) expect((await ask(name, after)).status, name).toBe(200);
  }, 60_000);
});
