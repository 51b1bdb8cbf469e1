import { createHmac, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { importJWK, jwtVerify } from 'jose';
import { describe, expect, it } from 'vitest';
import type { AccessClaims } from '#application/ports/services.ts';
import { accessTokens } from '#infrastructure/crypto/access-tokens.ts';
import { keyringFromPem, openKeyFolder } from '#infrastructure/crypto/keyring.ts';
import { ALGORITHMS, type Algorithm, generateKeyPem } from '#infrastructure/crypto/signing-key.ts';

const NOW = new Date('2026-11-21T12:00:00Z');
const clock = { now: () => NOW };
const ISSUER = 'https://auth.example.com';
const PARTIES = { issuer: ISSUER, audience: ISSUER, clientId: 'latchkey' };

const claims: AccessClaims = {
  accountId: '01a1fc57-7735-7605-ad12-93c1f15c098b',
  sessionId: '01a1fc57-776f-71f3-ae4c-4b58c13a3910',
  issuedAt: NOW,
  expiresAt: new Date(NOW.getTime() + 900_000),
  authTime: NOW,
  acr: 'aal1',
  amr: ['pwd'],
  roles: ['user', 'moderator'],
};

const pem = generateKeyPem('RS256');
const keyring = keyringFromPem(pem, undefined, clock, 'RS256');
const tokens = accessTokens(keyring, PARTIES);
const { kid } = keyring.current();

const b64 = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const HEADER = { alg: 'RS256', typ: 'at+jwt', kid };
const seconds = NOW.getTime() / 1000;
const PAYLOAD = { iss: ISSUER, aud: ISSUER, sub: claims.accountId, sid: claims.sessionId, iat: seconds, exp: seconds + 900 };

/** A token with our own signature over whatever is said. */
function signed(header: object, payload: unknown): string {
  const input = `${b64(header)}.${b64(payload)}`;
  return `${input}.${sign('sha256', Buffer.from(input), pem).toString('base64url')}`;
}

describe('an access token', () => {
  it.each(ALGORITHMS)("of %s is verified by a stranger's library and by us [V9.1.1]", async (alg: Algorithm) => {
    const ring = keyringFromPem(generateKeyPem(alg), undefined, clock, alg);
    const token = await accessTokens(ring, PARTIES).sign(claims);
    const { keys } = JSON.parse(ring.jwks().body) as { keys: Record<string, string>[] };
    const { payload, protectedHeader } = await jwtVerify(token, await importJWK(keys[0] ?? {}, alg), {
      issuer: ISSUER,
      audience: ISSUER,
      typ: 'at+jwt',
      currentDate: NOW,
    });
    expect(protectedHeader).toEqual({ alg, typ: 'at+jwt', kid: keys[0]?.['kid'] });
    expect(payload).toMatchObject({
      sub: claims.accountId,
      sid: claims.sessionId,
      client_id: 'latchkey',
      acr: 'aal1',
      amr: ['pwd'],
      roles: ['user', 'moderator'],
      scope: 'users:read users:lock',
      auth_time: seconds,
      iat: seconds,
      exp: seconds + 900,
    });
    expect(payload.jti).toMatch(/^[0-9a-f-]{36}$/);
    expect(accessTokens(ring, PARTIES).verify(token, NOW)).toEqual({ accountId: claims.accountId, sessionId: claims.sessionId });
  });

  it('is right exactly until it expires, remembered or not [V9.2.1]', async () => {
    const token = await tokens.sign(claims);
    const fresh = accessTokens(keyring, PARTIES);
    expect(fresh.verify(token, new Date(NOW.getTime() + 899_999))).not.toBeNull();
    expect(fresh.verify(token, new Date(NOW.getTime() + 900_000))).toBeNull();
    expect(fresh.verify(token, new Date(NOW.getTime() - 61_000))).toBeNull();
  });

  it('is ours alone: the signed control passes, so that what is refused below is refused for its reason', () => {
    expect(tokens.verify(signed(HEADER, PAYLOAD), NOW)).not.toBeNull();
  });

  const input = `${b64(HEADER)}.${b64(PAYLOAD)}`;
  const publicPem = createPublicKey(pem).export({ type: 'spki', format: 'pem' }).toString();
  const publicDer = createPublicKey(pem).export({ type: 'spki', format: 'der' });
  const hs256 = (secret: string | Buffer) => {
    const forged = `${b64({ ...HEADER, alg: 'HS256' })}.${b64(PAYLOAD)}`;
    return `${forged}.${createHmac('sha256', secret).update(forged).digest('base64url')}`;
  };
  it.each([
    ['no signature', `${b64({ ...HEADER, alg: 'none' })}.${b64(PAYLOAD)}.`],
    ['none in another case', `${b64({ ...HEADER, alg: 'nOnE' })}.${b64(PAYLOAD)}.`],
    ['an HMAC under our public key as PEM', hs256(publicPem)],
    ['the same without the last newline', hs256(publicPem.trim())],
    ['the same as DER', hs256(publicDer)],
    ['the same as JWK', hs256(keyring.jwks().body)],
    ['another algorithm of the same key', signed({ ...HEADER, alg: 'PS256' }, PAYLOAD)],
    ['the signature of nothing', `${input}.`],
  ])('[V9.1.2] is refused with %s', (_what, token) => {
    expect(tokens.verify(token, NOW)).toBeNull();
  });

  const attacker = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const smuggled = (header: object) => {
    const forged = `${b64({ ...HEADER, ...header })}.${b64(PAYLOAD)}`;
    return `${forged}.${sign('sha256', Buffer.from(forged), attacker.privateKey).toString('base64url')}`;
  };
  it.each([
    ['a path as kid', smuggled({ kid: '../../../../dev/null' })],
    ['SQL as kid', smuggled({ kid: "' UNION SELECT 'k'--" })],
    ['a list as kid', smuggled({ kid: [kid] })],
    ['a very long kid', smuggled({ kid: 'k'.repeat(9000) })],
    ['no kid', signed({ alg: 'RS256', typ: 'at+jwt' }, PAYLOAD)],
    ['a key in the header', smuggled({ jwk: attacker.publicKey.export({ format: 'jwk' }) })],
    ['the address of a key set', smuggled({ jku: 'https://sink.example/jwks' })],
    ['a critical extension, though we signed it', signed({ ...HEADER, crit: ['x'], x: 1 }, PAYLOAD)],
    ['an unencoded payload, though we signed it', signed({ ...HEADER, b64: false }, PAYLOAD)],
  ])('[V9.1.3] is refused with %s', (_what, token) => {
    expect(tokens.verify(token, NOW)).toBeNull();
  });

  it.each([
    ['no expiry', { ...PAYLOAD, exp: undefined }],
    ['an expiry in text', { ...PAYLOAD, exp: '9999999999' }],
    ['an endless expiry', { ...PAYLOAD, exp: 1e300 }],
    ['a start that we never set', { ...PAYLOAD, nbf: seconds }],
    ['no audience', { ...PAYLOAD, aud: undefined }],
    ['another audience', { ...PAYLOAD, aud: 'https://other.example.com' }],
    ['a list of audiences', { ...PAYLOAD, aud: [ISSUER] }],
    ['an issuer with a slash more', { ...PAYLOAD, iss: `${ISSUER}/` }],
    ['a subject that is no id', { ...PAYLOAD, sub: "' or 1=1" }],
    ['no session', { ...PAYLOAD, sid: undefined }],
    ['a list instead of claims', [PAYLOAD]],
  ])('[V9.2.3] is refused with %s, though we signed it', (_what, payload) => {
    expect(tokens.verify(signed(HEADER, payload), NOW)).toBeNull();
  });

  it('[V9.2.2] is refused when it is another kind of JWT that we signed', () => {
    for (const typ of ['JWT', 'at+JWT', 'application/at+jwt', 'statuslist+jwt', undefined]) {
      expect(tokens.verify(signed({ ...HEADER, typ }, PAYLOAD), NOW), String(typ)).toBeNull();
    }
  });

  it('[V7.4.1] has one spelling only', async () => {
    const token = await tokens.sign(claims);
    const slack = token.slice(0, -1) + String.fromCharCode(token.charCodeAt(token.length - 1) + 1);
    for (const other of [`${token}=`, `${token}==`, `${token}\n`, `${token} `, ` ${token}`, `${token}.`, `${token}.${b64('x')}`, slack]) {
      expect(tokens.verify(other, NOW), JSON.stringify(other.slice(-4))).toBeNull();
    }
    expect(tokens.verify(token, NOW)).not.toBeNull();
  });

  it('is refused once its key has left the ring, remembered or not [V13.3.4]', async () => {
    const dir = path.join(mkdtempSync(path.join(tmpdir(), 'latchkey-keys-')), 'keys');
    const ring = openKeyFolder(dir, 'ES256', clock, (error) => {
      throw error;
    });
    const found = { ...ring };
    const mine = accessTokens(found, PARTIES);
    const token = await mine.sign(claims);
    expect(mine.verify(token, NOW)).not.toBeNull();
    found.find = () => null;
    expect(mine.verify(token, NOW)).toBeNull();
    ring.stop();
  });

  it('[V13.3.4] of a key in the settings moves to the next one by restarts, without a moment in which a replica or verifier lacks a key', async () => {
    const [old, next] = [generateKeyPem('ES256'), generateKeyPem('Ed25519')];
    const publicOf = (of: string) => createPublicKey(of).export({ type: 'spki', format: 'pem' }).toString();
    const both = `${publicOf(old)}${publicOf(next)}`;
    const rings = [
      keyringFromPem(old, undefined, clock, 'RS256'),
      keyringFromPem(old, both, clock, 'RS256'),
      keyringFromPem(next, both.replaceAll('\n', '\\n'), clock, 'RS256'),
      keyringFromPem(next, publicOf(next), clock, 'RS256'),
    ];
    for (const [step, ring] of rings.entries()) {
      const token = await accessTokens(ring, PARTIES).sign(claims);
      for (const other of rings.slice(Math.max(0, step - 1), step + 2)) {
        expect(accessTokens(other, PARTIES).verify(token, NOW), `signed at step ${step}`).not.toBeNull();
        expect(other.jwks().maxAgeSeconds).toBe(60);
      }
    }
    expect(rings.map((ring) => JSON.parse(ring.jwks().body).keys.length)).toEqual([1, 2, 2, 1]);
    expect(() => keyringFromPem(old, publicOf(next), clock, 'RS256')).toThrow('JWT_PUBLIC_KEY does not belong to JWT_PRIVATE_KEY');
    expect(() => keyringFromPem(old, `${publicOf(old)}-----BEGIN PUBLIC KEY-----\nAAAA`, clock, 'RS256')).toThrow(
      /JWT_PUBLIC_KEY cannot be read/,
    );
    const small = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ type: 'spki', format: 'pem' });
    expect(() => keyringFromPem(old, `${publicOf(old)}${small}`, clock, 'RS256')).toThrow('2048 bits');
  });
});
