import { createPublicKey, generateKeyPairSync, randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type JWTPayload, SignJWT } from 'jose';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { legacyNotice } from '#src/legacy.ts';
import { holderOf } from '#tests/support/admins.ts';
import { type Answer, expectProblem } from '#tests/support/api.ts';
import { DAY, MINUTE, testClock } from '#tests/support/clock.ts';
import { latchkeyProcess } from '#tests/support/command.ts';
import { type LegacyIssuer, legacyIssuer } from '#tests/support/legacy-issuer.ts';
import { newEmail, PASSWORD, registeredPerson, signedInPerson, signIn, verifiedPerson } from '#tests/support/people.ts';
import { startService, type TestService } from '#tests/support/service.ts';
import { serviceClient } from '#tests/support/service-clients.ts';
import { until } from '#tests/support/until.ts';

/** Access tokens of the service that was replaced, and everything that is not quite one. */

const SECRET = 'the HS256 secret of the old service, long enough';
const ISSUER = 'https://old.example.com';
const AUDIENCE = 'old-app';
const UNTIL = new Date(Date.now() + 30 * DAY * 1000).toISOString();

const folder = mkdtempSync(path.join(tmpdir(), 'latchkey-legacy-'));
const open: TestService[] = [];
let old: LegacyIssuer;
let byBoth: TestService;
let bySecret: TestService;
/** Somebody who was imported with the id that the old service knows them by. */
let user: { id: string; email: string };

beforeAll(async () => {
  old = await legacyIssuer();
  const common = { LEGACY_TOKENS_UNTIL: UNTIL, LEGACY_ISSUER: ISSUER, LEGACY_AUDIENCE: AUDIENCE };
  byBoth = await startService({ settings: { ...common, LEGACY_JWKS_URL: old.url, LEGACY_HS256_SECRET: SECRET } });
  bySecret = await startService({ settings: { LEGACY_TOKENS_UNTIL: UNTIL, LEGACY_HS256_SECRET: SECRET } });
  open.push(byBoth, bySecret);
  user = await imported(byBoth);
  await hasKeys(byBoth, await old.sign(claimsOf(byBoth, user.id)));
}, 30_000);
afterAll(async () => {
  for (const service of open) await service.stop();
  await old.stop();
  rmSync(folder, { recursive: true, force: true });
});
afterEach(() => vi.restoreAllMocks());

async function imported(service: TestService, more: object = {}): Promise<{ id: string; email: string }> {
  const person = { id: randomUUID(), email: newEmail(), ...more };
  const file = path.join(folder, `${person.id}.ndjson`);
  writeFileSync(file, `${JSON.stringify({ ...person, email_verified: true })}\n`);
  const { code, err } = await latchkeyProcess(service.database.address, ['users', 'import', file]).ended;
  expect(code, err).toBe(0);
  return person;
}

const seconds = (service: TestService) => Math.floor(service.clock.now().getTime() / 1000);
const claimsOf = (service: TestService, sub: string): JWTPayload => ({
  sub,
  type: 'access',
  iat: seconds(service) - 60,
  exp: seconds(service) + 30 * MINUTE,
  ...(service === bySecret ? {} : { iss: ISSUER, aud: AUDIENCE }),
});
const hs = (claims: JWTPayload, secret: string | Uint8Array = SECRET, header: object = {}) =>
  new SignJWT(claims)
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT', ...header })
    .sign(typeof secret === 'string' ? new TextEncoder().encode(secret) : secret);
const me = (service: TestService, token: string) => service.api().get('/api/auth/me', token);
/** The first to need the keys may be told to come again, when they take their time. */
const hasKeys = (service: TestService, token: string) => until('its keys are there', async () => (await me(service, token)).status === 200);
const b64 = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** Read-only by decision: adding to this list is a change that a reviewer sees. */
const READING = ['/api/auth/me', '/api/auth/me/activity', '/api/auth/mfa', '/api/auth/sessions', '/api/auth/webauthn/credentials'];

describe('an access token of the replaced service', () => {
  it('reads what its user may read, signed with either key, and nothing that asks for more than being somebody', async () => {
    const taking = byBoth.routes.filter(({ access }) => access !== 'public' && 'takesLegacyTokens' in access);
    expect(taking.map(({ path: where }) => where).sort()).toEqual(READING);
    for (const { method, access } of taking)
      expect({ method, access }).toEqual({ method: 'GET', access: { aal: 'aal1', beforeSecondFactor: true, takesLegacyTokens: true } });
    const claims = claimsOf(byBoth, user.id);
    for (const token of [await hs(claims), await old.sign(claims), await old.sign(claims, { typ: 'at+jwt' })]) {
      for (const url of READING) expect((await byBoth.api().get(url, token)).status, url).toBe(200);
      expect(await me(byBoth, token)).toMatchObject({ body: { id: user.id, email: user.email } });
    }
    await signIn(byBoth.api(), { ...(await verifiedPerson(byBoth)), username: '' });
    const listed = await byBoth.api().get('/api/auth/sessions', await hs(claims));
    expect(listed.body.sessions).toEqual([]); // it is no session, and sees none of others
  });

  it('[V8.2.1] does nothing else: no change, no step-up, no administration, no refresh, no token, no introspection', {
    timeout: 60_000,
  }, async () => {
    const admin = await holderOf(byBoth, 'admin');
    await byBoth.sql`update accounts set security_stamp = 0 where id = ${admin.id}`; // as if imported with the role
    const token = await hs(claimsOf(byBoth, admin.id));
    expect((await me(byBoth, token)).status).toBe(200);
    const guarded = byBoth.routes.filter(({ access }) => access !== 'public' && !('serviceClient' in access));
    const others = guarded.filter(({ method, path: where }) => method !== 'GET' || !READING.includes(where));
    expect(others.length).toBeGreaterThan(25);
    for (const { method, path: where } of others) {
      const answer = await byBoth.api().request(method, where.replace('{id}', admin.sessionId), { token });
      expect(`${method} ${where} ${answer.status}`).toBe(`${method} ${where} 401`);
      expectProblem(answer, 'unauthenticated');
    }
    for (const where of ['/api/auth/logout', '/api/sms-mfa/send-code', '/api/auth/webauthn/authenticate/options'])
      expect((await byBoth.api().post(where, undefined, token)).status, where).not.toBe(204);
    expectProblem(await byBoth.api().post('/api/auth/refresh', { refresh_token: token }), 'invalid-refresh-token');
    const { authorization } = await serviceClient(byBoth);
    const seen = await byBoth.api().request('POST', '/api/auth/introspect', { body: { token }, headers: { authorization } });
    expect(seen.body).toEqual({ active: false });
  });

  it('speaks for an imported id, or for an address that both say is verified, and for nobody else', async () => {
    const verified = await verifiedPerson(byBoth);
    const unverified = await registeredPerson(byBoth);
    const asked = async (claims: JWTPayload) => (await me(byBoth, await hs({ ...claimsOf(byBoth, randomUUID()), ...claims }))).body.id;
    expect(await asked({ sub: user.id.toUpperCase() })).toBe(user.id);
    expect(await asked({ sub: '4711', email: verified.email.toUpperCase(), email_verified: true })).toBe(verified.id);
    const wrong: JWTPayload[] = [
      { sub: verified.email },
      { sub: verified.email, email: verified.email },
      { email: verified.email, email_verified: 'true' },
      { email: verified.email, email_verified: false },
      { email: [verified.email], email_verified: true },
      { email: unverified.email, email_verified: true },
      { email: newEmail(), email_verified: true },
      { sub: verified.username },
      { sub: `${user.id} ` },
      { sub: "' or 1=1 --" },
      { sub: undefined as never },
      { sub: [user.id] as never },
      { sub: 1 as never },
    ];
    for (const claims of wrong) expect(await asked(claims), JSON.stringify(claims)).toBeUndefined();
  });

  it('speaks for the account that the import made of an integer id, by the formula of the page, where LEGACY_SUBJECT says so', async () => {
    const service = await startService({
      settings: { LEGACY_TOKENS_UNTIL: UNTIL, LEGACY_HS256_SECRET: SECRET, LEGACY_SUBJECT: 'integer' },
      database: bySecret.database,
    });
    const page = readFileSync(new URL('../../docs/migrate/native-and-cognito.md', import.meta.url), 'utf8');
    const [, formula = ''] = /^ {2}'id', (.*),$/m.exec(page) ?? [];
    const asked = async (at: TestService, sub: unknown) =>
      (await me(at, await hs({ ...claimsOf(bySecret, ''), sub: sub as string }))).body.id;
    try {
      for (const number of [1, 42, 2_147_483_647]) {
        const [row] = await service.sql.unsafe<{ made: string }[]>(`select ${formula} as made from (select ${number} as id) as users`);
        const { id } = await imported(service, { id: row?.made ?? '' });
        for (const sub of [String(number), number]) expect(await asked(service, sub), String(sub)).toBe(id);
        expect(await asked(bySecret, String(number))).toBeUndefined();
        expect(await asked(service, id)).toBeUndefined();
      }
      for (const sub of ['43', '042', '4', -42, 42.5]) expect(await asked(service, sub), String(sub)).toBeUndefined();
    } finally {
      await service.stop();
    }
  });

  it('ends with what ends sessions here: suspended, deleted, another password, all sessions ended', async () => {
    const service = byBoth;
    const tokenFor = ({ id }: { id: string }) => hs(claimsOf(service, id));
    const [suspended, deleted, changed, kept] = await Promise.all(Array.from({ length: 4 }, () => signedInPerson(service)));
    if (!suspended || !deleted || !changed || !kept) throw new Error('there are four');
    for (const person of [suspended, deleted, changed, kept]) expect((await me(service, await tokenFor(person))).status).toBe(200);
    const { accessToken: admin } = await holderOf(service, 'admin');
    expect((await service.api().patch(`/api/admin/users/${suspended.id}`, { status: 'suspended' }, admin)).status).toBe(200);
    expectProblem(await me(service, await tokenFor(suspended)), 'account-suspended');
    expect((await service.api().patch(`/api/admin/users/${suspended.id}`, { status: 'active' }, admin)).status).toBe(200);
    expectProblem(await me(service, await tokenFor(suspended)), 'unauthenticated');
    await service.api().delete('/api/auth/me', deleted.accessToken);
    expectProblem(await me(service, await tokenFor(deleted)), 'unauthenticated');
    const next = { current_password: PASSWORD, new_password: 'a brand new phrase of 6 words' };
    expect((await service.api().post('/api/auth/change-password', next, changed.accessToken)).status).toBe(200);
    expectProblem(await me(service, await tokenFor(changed)), 'unauthenticated');
    expect((await service.api().delete('/api/auth/sessions', kept.accessToken)).status).toBe(204);
    expectProblem(await me(service, await tokenFor(kept)), 'unauthenticated');
    const gone = await imported(service, { status: 'suspended' });
    expectProblem(await me(service, await tokenFor(gone)), 'account-suspended');
  });

  it('counts until LEGACY_TOKENS_UNTIL and not a second longer, without a restart, and the settings may stay behind', async () => {
    const end = new Date(Date.now() + 10 * MINUTE * 1000);
    const clock = testClock(new Date(Math.floor(Date.now() / 1000) * 1000));
    const settings = { LEGACY_TOKENS_UNTIL: end.toISOString(), LEGACY_HS256_SECRET: SECRET };
    const service = await startService({ settings, clock });
    open.push(service);
    const person = await imported(service);
    const token = await hs({ sub: person.id, type: 'access', exp: seconds(service) + DAY });
    expect((await me(service, token)).status).toBe(200);
    clock.advance((end.getTime() - clock.now().getTime()) / 1000 - 1);
    expect((await me(service, token)).status).toBe(200);
    clock.advance(1);
    expectProblem(await me(service, token), 'unauthenticated');
    const later = await startService({ settings, clock, database: service.database });
    expectProblem(await me(later, token), 'unauthenticated');
    await later.stop();
    expect(legacyNotice(service.config, new Date(end.getTime() - 1))).toContain('read here until');
    expect(legacyNotice(service.config, end)).toContain('take the LEGACY_ settings out');
    expect(legacyNotice({ ...service.config, LEGACY_TOKENS_UNTIL: undefined }, end)).toBeNull();
  });
});

describe('a forged one', () => {
  const attacker = generateKeyPairSync('rsa', { modulusLength: 2048 });

  it('[V9.1.2] [V9.1.1] is refused whatever its header says: the algorithm picks one key, and the header brings none', async () => {
    const claims = claimsOf(byBoth, user.id);
    const pem = createPublicKey({ key: old.jwk() as never, format: 'jwk' })
      .export({ type: 'spki', format: 'pem' })
      .toString();
    const der = createPublicKey(pem).export({ type: 'spki', format: 'der' });
    const smuggled = (header: object) =>
      new SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid: 'old-1', ...header }).sign(attacker.privateKey);
    const input = `${b64({ alg: 'RS256', kid: 'old-1' })}.${b64(claims)}`;
    const forged: Record<string, string | Promise<string>> = {
      'no signature': `${b64({ alg: 'none' })}.${b64(claims)}.`,
      'none in another case': `${b64({ alg: 'nOnE', kid: 'old-1' })}.${b64(claims)}.`,
      'an empty signature': `${input}.`,
      'an HMAC under the public key as PEM': hs(claims, pem, { kid: 'old-1' }),
      'the same, trimmed': hs(claims, pem.trim(), { kid: 'old-1' }),
      'the same as DER': hs(claims, der, { kid: 'old-1' }),
      'the same as JWK': hs(claims, JSON.stringify(old.jwk())),
      'an empty secret': hs(claims, new Uint8Array(32)),
      'another secret': hs(claims, `${SECRET}!`),
      'the right secret with a longer hash': new SignJWT(claims)
        .setProtectedHeader({ alg: 'HS512' })
        .sign(new TextEncoder().encode(SECRET)),
      'a key of its own under a known kid': smuggled({}),
      'a key in the header': smuggled({ jwk: attacker.publicKey.export({ format: 'jwk' }) }),
      'the address of a key set': smuggled({ jku: 'http://127.0.0.1:1/jwks' }),
      'a certificate': smuggled({ x5c: ['MIIB'] }),
      'a kid that is a path': smuggled({ kid: '../../../dev/null' }),
      'a very long token': hs({ ...claims, x: 'x'.repeat(9000) }),
      rubbish: 'a.b.c',
    };
    for (const [what, token] of Object.entries(forged)) {
      const answer = await me(byBoth, await token);
      expect(`${what}: ${answer.status}`).toBe(`${what}: 401`);
      expectProblem(answer, 'unauthenticated');
    }
  });

  it('[V9.2.1] [V9.2.2] [V9.2.3] is refused when it is over, early, of or for somebody else, or not an access token, though the secret signed it', async () => {
    const now = seconds(byBoth);
    const wrong: JWTPayload[] = [
      { exp: now },
      { exp: undefined as never },
      { exp: String(now + 600) as never },
      { nbf: now + 61 },
      { iat: now + 61 },
      { iss: 'https://other.example.com' },
      { iss: undefined as never },
      { aud: 'other-app' },
      { aud: undefined as never },
      { type: 'refresh' },
      { type: 'email_verification' },
      { type: undefined },
      { type: ['access'] },
    ];
    for (const change of wrong) {
      const answer = await me(byBoth, await hs({ ...claimsOf(byBoth, user.id), ...change }));
      expect(`${JSON.stringify(change)}: ${answer.status}`).toBe(`${JSON.stringify(change)}: 401`);
    }
    for (const typ of ['refresh+jwt', 'logout+jwt', 'JWE'])
      expectProblem(await me(byBoth, await hs(claimsOf(byBoth, user.id), SECRET, { typ })), 'unauthenticated');
    const quiet = await imported(bySecret);
    expect((await me(bySecret, await hs(claimsOf(bySecret, quiet.id)))).status).toBe(200);
    for (const unasked of [{ iss: ISSUER }, { aud: AUDIENCE }])
      expectProblem(await me(bySecret, await hs({ ...claimsOf(bySecret, quiet.id), ...unasked })), 'unauthenticated');
    expectProblem(await me(bySecret, await old.sign(claimsOf(bySecret, quiet.id))), 'unauthenticated'); // there is no JWKS here
  });

  it('[V7.4.1] is not one of our own whose session has ended, even where LEGACY_JWKS_URL leads to ourselves', async () => {
    const first = await startService({ settings: { JWT_ALGORITHM: 'RS256' } });
    open.push(first);
    const settings = {
      LEGACY_JWKS_URL: `${first.origin}/.well-known/jwks.json`,
      LEGACY_TOKENS_UNTIL: UNTIL,
      LEGACY_ISSUER: first.config.ISSUER,
      LEGACY_AUDIENCE: first.config.ISSUER,
      LEGACY_ACCESS_CLAIM: 'client_id=latchkey',
    };
    const service = await startService({ settings, database: first.database, clock: first.clock });
    const person = await signedInPerson(service);
    await service.api().post('/api/auth/logout', undefined, person.accessToken);
    expectProblem(await me(service, person.accessToken), 'unauthenticated');
    await service.sql`delete from sessions where id = ${person.sessionId}`; // as housekeeping does, some days later
    expectProblem(await me(service, person.accessToken), 'unauthenticated');
    await service.stop();
  });
});

describe('the key set of the old issuer', () => {
  const withKeys = async (): Promise<{
    issuer: LegacyIssuer;
    service: TestService;
    token(): Promise<string>;
    unknown(): Promise<string>;
  }> => {
    const issuer = await legacyIssuer();
    const settings = { LEGACY_TOKENS_UNTIL: UNTIL, LEGACY_ISSUER: ISSUER, LEGACY_AUDIENCE: AUDIENCE, LEGACY_JWKS_URL: issuer.url };
    const service = await startService({ settings });
    const person = await imported(service);
    const stop = async () => {
      await service.stop();
      await issuer.stop();
    };
    open.push({ ...service, stop });
    const claims = { ...claimsOf(service, person.id), iss: ISSUER, aud: AUDIENCE };
    return { issuer, service, token: () => issuer.sign(claims), unknown: () => issuer.sign(claims, { kid: randomUUID() }) };
  };
  const timed = async (ask: () => Promise<Answer>) => {
    const startMs = performance.now();
    const answer = await ask();
    return { answer, ms: performance.now() - startMs };
  };

  it('is fetched once for many, and no more often for whoever makes up kids', async () => {
    const { issuer, service, token, unknown } = await withKeys();
    const good = await token();
    await Promise.all(Array.from({ length: 20 }, () => hasKeys(service, good)));
    for (const answer of await Promise.all(Array.from({ length: 50 }, () => me(service, good)))) expect(answer.status).toBe(200);
    expect(issuer.fetched()).toBe(1);
    const made = await Promise.all(Array.from({ length: 200 }, unknown));
    for (const answer of await Promise.all(made.map((forged) => me(service, forged)))) expectProblem(answer, 'unauthenticated');
    expect(issuer.fetched()).toBe(1);
    const real = Date.now;
    vi.spyOn(Date, 'now').mockImplementation(() => real() + 31_000);
    await Promise.all(made.map((forged) => me(service, forged)));
    expect(issuer.fetched()).toBe(2);
  });

  it('[V16.5.2] [V16.5.3] when it is away makes an answer 503 soon, never 401, and is asked seldom; what is known goes on', async () => {
    const { issuer, service, token, unknown } = await withKeys();
    const good = await token();
    for (const how of ['error', 'silence'] as const) {
      issuer.answer(how);
      const { answer, ms } = await timed(() => me(service, good));
      expectProblem(answer, 'unavailable');
      expect(ms).toBeLessThan(500);
      expect(answer.headers['retry-after']).toBeDefined();
      const before = issuer.fetched();
      const all = await Promise.all(Array.from({ length: 100 }, () => me(service, good)));
      for (const each of all) expectProblem(each, 'unavailable');
      expect(issuer.fetched() - before).toBeLessThanOrEqual(1);
      await until('it would be asked again', async () => (await me(service, good)).status === 503 && issuer.fetched() > before);
    }
    issuer.answer('set');
    await until('it is asked again', async () => (await me(service, good)).status === 200);
    issuer.answer('error');
    expect((await me(service, good)).status).toBe(200);
    const real = Date.now;
    vi.spyOn(Date, 'now').mockImplementation(() => real() + 31_000);
    expectProblem(await me(service, await unknown()), 'unavailable'); // the set of now may have it
    expect((await me(service, good)).status).toBe(200);
    expectProblem(await service.api().get('/api/auth/me', 'rubbish'), 'unauthenticated'); // nobody needs a key to see that
  }, 30_000);

  it('is refused when it is endless or no set at all, with 503', async () => {
    const { issuer, service, token } = await withKeys();
    const good = await token();
    issuer.answer((_, response) => {
      response.writeHead(200);
      const write = () => {
        while (!response.destroyed && response.write('x'.repeat(65_536)));
        if (!response.destroyed) response.once('drain', write);
      };
      write();
    });
    expectProblem(await me(service, good), 'unavailable');
    issuer.answer((_, response) => void response.end('{"keys":"none"}'));
    await until('it is asked again', async () => {
      const seen = issuer.fetched();
      expectProblem(await me(service, good), 'unavailable');
      return issuer.fetched() > seen;
    });
  });

  it('is fetched anew when the old issuer has rotated, and what it dropped counts no more', async () => {
    const { issuer, service, token } = await withKeys();
    const before = await token();
    await hasKeys(service, before);
    await issuer.rotate();
    const real = Date.now;
    vi.spyOn(Date, 'now').mockImplementation(() => real() + 31_000);
    await hasKeys(service, await token());
    expectProblem(await me(service, before), 'unauthenticated');
  });
});
