import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { SignJWT } from 'jose';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { DependencyDown } from '#application/ports/errors.ts';
import { cognitoTokens } from '#infrastructure/aws/cognito-tokens.ts';
import { testClock } from '#tests/support/clock.ts';

/** The pool of AWS itself, which no emulator is: two issuers name it, each with its own address for the keys. */

const POOL = {
  userPoolId: 'eu-central-1_Ab1Cd2Ef3',
  clientId: 'the-client',
  endpoint: null,
  timeoutMs: 400,
  clock: testClock(),
  onOldKeys: () => {},
};
const FIRST = 'https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Ab1Cd2Ef3';
const SECOND = 'https://issuer-cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Ab1Cd2Ef3';
const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const KEYS = JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'aws', use: 'sig', alg: 'RS256' }] });

let fetched: string[];
beforeEach(() => {
  fetched = [];
  // Whoever asks gets the right keys: a token of another issuer is refused for its issuer and for nothing else.
  vi.stubGlobal('fetch', async (uri: string) => {
    fetched.push(String(uri));
    return new Response(KEYS);
  });
});
afterEach(() => {
  vi.unstubAllGlobals();
});

const idToken = (issuer: string, subject: string = randomUUID()) =>
  new SignJWT({ token_use: 'id', email: 'ada@example.com', email_verified: true, 'cognito:username': 'ada', auth_time: 1_700_000_000 })
    .setProtectedHeader({ alg: 'RS256', kid: 'aws' })
    .setIssuer(issuer)
    .setSubject(subject)
    .setAudience(POOL.clientId)
    .setIssuedAt()
    .setExpirationTime('1h')
    .sign(privateKey);

describe('a token of a pool at AWS', () => {
  it('[V6.8.2] is accepted from either issuer of the pool, by the keys that stand there', async () => {
    const tokens = cognitoTokens(POOL);
    for (const issuer of [FIRST, SECOND]) {
      expect(await tokens.verify(await idToken(issuer)), issuer).toMatchObject({
        use: 'id',
        identity: { verifiedEmail: 'ada@example.com' },
      });
    }
    expect(fetched).toEqual([`${FIRST}/.well-known/jwks.json`, `${SECOND}/.well-known/jwks.json`]);
  });

  it('is of the same user whichever of them it names, or a user would have two accounts', async () => {
    const tokens = cognitoTokens(POOL);
    const subject = randomUUID();
    const [one, other] = [await tokens.verify(await idToken(FIRST, subject)), await tokens.verify(await idToken(SECOND, subject))];
    expect(one?.identity).toMatchObject({ issuer: FIRST, subject });
    expect(other).toEqual(one);
  });

  it.each([
    ['of another pool', FIRST.replace('Ab1Cd2Ef3', 'Other')],
    ['of another region', FIRST.replaceAll('eu-central-1', 'us-east-1')],
    ['of the same pool in a form that AWS has not', 'https://cognito-idp-fips.eu-central-1.amazonaws.com/eu-central-1_Ab1Cd2Ef3'],
    ['of an emulator', 'http://localhost:9229/eu-central-1_Ab1Cd2Ef3'],
    ['of a host that begins as AWS does', FIRST.replace('amazonaws.com', 'amazonaws.com.example.com')],
    ['with a slash at the end', `${FIRST}/`],
  ])('[V6.8.2] is refused from an issuer %s, and its keys are not asked for', async (_what, issuer) => {
    expect(await cognitoTokens(POOL).verify(await idToken(issuer))).toBeNull();
    expect(fetched).toEqual([]);
  });
});

it('keys without an end are not read to it', async () => {
  let megabytes = 0;
  const endless = new ReadableStream({
    pull(controller) {
      controller.enqueue(new Uint8Array(1024 * 1024));
      if (++megabytes === 20) controller.close();
    },
  });
  vi.stubGlobal('fetch', async () => new Response(endless));
  await expect(cognitoTokens(POOL).verify(await idToken(FIRST))).rejects.toThrow(DependencyDown);
  expect(megabytes).toBeLessThan(5);
});
