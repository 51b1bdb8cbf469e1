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

export type VerifyingKey = {
  /** The RFC 7638 thumbprint of the public key. */
  kid: string;
  alg: Algorithm;
  verify(data: Buffer, signature: Buffer): boolean;
  /** The public key as a member of a JWKS (RFC 7517 5). */
  jwk: Record<string, string>;
};

export type SigningKey = VerifyingKey & {
  /** Off the event loop. @returns the signature as JWS wants it (RFC 7518 3) */
  sign(data: Buffer): Promise<Buffer>;
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
  const privateKey = read(createPrivateKey, pem, 'A signing key cannot be read: give a private key as PEM (PKCS#8)');
  const key = keyOf(createPublicKey(privateKey), rsaAlg);
  const { digest, options } = formOf(key.alg);
  // RS256 needs no options, and a bare key is the cheaper argument.
  const forSigning = options === null ? privateKey : { key: privateKey, ...options };
  const signLater = promisify<string | null, Buffer, typeof forSigning, Buffer>(signBytes);
  return { ...key, sign: (data) => signLater(digest, data, forSigning) };
}

/**
 * Reads public keys, one after the other in one text.
 * @param rsaAlg how RSA keys sign
 * @throws BadSigningKey with a sentence for the operator
 */
export function verifyingKeys(pems: string, rsaAlg: Algorithm = 'RS256'): VerifyingKey[] {
  const texts = pems.split(/(?=-----BEGIN )/).filter((text) => text.trim() !== '');
  return texts.map((pem) => keyOf(read(createPublicKey, pem, 'JWT_PUBLIC_KEY cannot be read: give public keys as PEM'), rsaAlg));
}

function keyOf(publicKey: KeyObject, rsaAlg: Algorithm): VerifyingKey {
  const alg = algorithmOf(publicKey, rsaAlg);
  const { kty, n, e, crv, x, y } = publicKey.export({ format: 'jwk' });
  const members = Object.fromEntries(
    Object.entries({ crv, e, kty, n, x, y }).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
  const kid = createHash('sha256').update(JSON.stringify(members)).digest('base64url'); // RFC 7638 3: members in this order
  const { digest, options } = formOf(alg);
  const forVerifying = options === null ? publicKey : { key: publicKey, ...options };
  return {
    kid,
    alg,
    verify: (data, signature) => verifyBytes(digest, data, forVerifying, signature),
    jwk: { ...members, kid, alg, use: 'sig' },
  };
}

function formOf(alg: Algorithm) {
  const options = alg === 'PS256' ? PSS : alg === 'ES256' ? ({ dsaEncoding: 'ieee-p1363' } as const) : alg === 'Ed25519' ? {} : null;
  return { digest: alg === 'Ed25519' ? null : 'sha256', options };
}

function read(create: (pem: string) => KeyObject, pem: string, otherwise: string): KeyObject {
  try {
    return create(pem.replaceAll('\\n', '\n')); // one line in an environment file
  } catch {
    throw new BadSigningKey(otherwise);
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
