import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign as signBytes,
  verify as verifyBytes,
} from 'node:crypto';
import { promisify } from 'node:util';

/** `alg` is a property of the key, never of a token (RFC 8725 3.1). Ed25519 by its full name (RFC 9864). */
export const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'Ed25519'] as const;
export type Algorithm = (typeof ALGORITHMS)[number];

export type SigningKey = {
  /** The RFC 7638 thumbprint of the public key. */
  kid: string;
  alg: Algorithm;
  /** Off the event loop. @returns the signature as JWS wants it (RFC 7518 3) */
  sign(data: Buffer): Promise<Buffer>;
  verify(data: Buffer, signature: Buffer): boolean;
  /** The public key as a member of a JWKS (RFC 7517 5). */
  jwk: Record<string, string>;
};

const LEAST_RSA_BITS = 2048; // RFC 7518 3.3
const PSS = { padding: 6, saltLength: 32 } as const; // RSA_PKCS1_PSS_PADDING, salt as long as the hash (RFC 7518 3.5)

export class BadSigningKey extends Error {
  readonly isForPeople = true;
}

/** A key as PEM (PKCS#8). @param alg RSA keys can be used in two ways; the others have one */
export function generateKeyPem(alg: Algorithm, rsaBits = LEAST_RSA_BITS): string {
  const pair =
    alg === 'ES256'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : alg === 'Ed25519'
        ? generateKeyPairSync('ed25519')
        : generateKeyPairSync('rsa', { modulusLength: rsaBits });
  return pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/**
 * Reads a private key.
 * @param rsaAlg how an RSA key signs
 * @throws BadSigningKey with a sentence for the operator; never with the key
 */
export function signingKey(pem: string, rsaAlg: Algorithm = 'RS256'): SigningKey {
  const privateKey = readPrivateKey(pem);
  const publicKey = createPublicKey(privateKey);
  const alg = algorithmOf(privateKey, rsaAlg);
  const { kty, n, e, crv, x, y } = publicKey.export({ format: 'jwk' });
  const members = Object.fromEntries(
    Object.entries({ crv, e, kty, n, x, y }).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
  const kid = createHash('sha256').update(JSON.stringify(members)).digest('base64url'); // RFC 7638 3: members in this order
  const digest = alg === 'Ed25519' ? null : 'sha256';
  const options = alg === 'PS256' ? PSS : alg === 'ES256' ? ({ dsaEncoding: 'ieee-p1363' } as const) : {};
  // RS256 needs no options, and a bare key is the cheaper argument.
  const forSigning = alg === 'RS256' ? privateKey : { key: privateKey, ...options };
  const forVerifying = alg === 'RS256' ? publicKey : { key: publicKey, ...options };
  const signLater = promisify<string | null, Buffer, typeof forSigning, Buffer>(signBytes);
  return {
    kid,
    alg,
    sign: (data) => signLater(digest, data, forSigning),
    verify: (data, signature) => verifyBytes(digest, data, forVerifying, signature),
    jwk: { ...members, kid, alg, use: 'sig' },
  };
}

/** Whether the two belong together. */
export function isPair(privatePem: string, publicPem: string): boolean {
  try {
    return createPublicKey(privatePem).equals(createPublicKey(publicPem));
  } catch {
    return false;
  }
}

function readPrivateKey(pem: string): KeyObject {
  try {
    return createPrivateKey(pem.replaceAll('\\n', '\n')); // one line in an environment file
  } catch {
    throw new BadSigningKey('A signing key cannot be read: give a private key as PEM (PKCS#8)');
  }
}

function algorithmOf(key: KeyObject, rsaAlg: Algorithm): Algorithm {
  if (key.asymmetricKeyType === 'ed25519') return 'Ed25519';
  if (key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return 'ES256';
  if (key.asymmetricKeyType !== 'rsa') throw new BadSigningKey('A signing key must be RSA, P-256 or Ed25519');
  if ((key.asymmetricKeyDetails?.modulusLength ?? 0) < LEAST_RSA_BITS)
    throw new BadSigningKey(`An RSA signing key needs ${LEAST_RSA_BITS} bits`);
  return rsaAlg === 'PS256' ? 'PS256' : 'RS256';
}
