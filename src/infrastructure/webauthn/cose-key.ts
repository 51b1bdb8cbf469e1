import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import { onlyItemOf } from './attestation.ts';
import { helpers } from './library.ts';

/** Public keys of credentials as WebAuthn stores them: COSE_Key (RFC 9052 7, RFC 9053 7, RFC 8230 4). */

type CoseKey = Map<unknown, unknown>;

const [KTY, ALG] = [1, 3];
const KEY_TYPE = { okp: 1, ec2: 2, rsa: 3 };
const CURVE = { p256: 1, ed25519: 6 };
/** RSA of 8192 bits needs 1034. */
export const MOST_KEY_BYTES = 2048;
const LEAST_RSA_BITS = 2048; // RFC 8812 2
const LEAST_EXPONENT = 3n; // RFC 8017 3.1: with 1 anybody signs

/** How a key of each algorithm that we offer, the one that we like best first, reads as a JWK; null: it has not its shape. */
const FORMS = new Map<unknown, (key: CoseKey) => JsonWebKey | null>([
  [-7, es256],
  [-8, eddsa],
  [-257, rs256],
]);

/** ES256, EdDSA, RS256. */
export const ALGORITHMS = [...FORMS.keys()] as number[];

/** Why no passkey that is verified here can have this public key; null: one can. It is looked at as its library will look. */
export async function faultOfKey(cose: Buffer): Promise<string | null> {
  if (cose.length > MOST_KEY_BYTES) return `It has more than ${MOST_KEY_BYTES} bytes.`;
  const { isoCBOR } = await helpers();
  const key = nullIfThrown(() => onlyItemOf(cose, isoCBOR));
  if (!(key instanceof Map)) return 'It is no COSE key.';
  const form = FORMS.get(key.get(ALG));
  if (form === undefined) return 'It is of none of the algorithms that are offered here: ES256, EdDSA, RS256.';
  const jwk = form(key);
  const read = jwk && nullIfThrown(() => createPublicKey({ key: jwk, format: 'jwk' }));
  return read !== null && isStrong(read) ? null : 'It is no key of the algorithm that it names.';
}

function isStrong({ asymmetricKeyType, asymmetricKeyDetails: { modulusLength = 0, publicExponent = 0n } = {} }: KeyObject): boolean {
  return asymmetricKeyType !== 'rsa' || (modulusLength >= LEAST_RSA_BITS && publicExponent >= LEAST_EXPONENT && publicExponent % 2n === 1n);
}

function es256(key: CoseKey): JsonWebKey | null {
  const [x, y] = [bytesAt(key, -2, 32, 32), bytesAt(key, -3, 32, 32)];
  return key.get(KTY) === KEY_TYPE.ec2 && key.get(-1) === CURVE.p256 && x && y ? { kty: 'EC', crv: 'P-256', x, y } : null;
}

function eddsa(key: CoseKey): JsonWebKey | null {
  const x = bytesAt(key, -2, 32, 32);
  return key.get(KTY) === KEY_TYPE.okp && key.get(-1) === CURVE.ed25519 && x ? { kty: 'OKP', crv: 'Ed25519', x } : null;
}

function rs256(key: CoseKey): JsonWebKey | null {
  const [n, e] = [bytesAt(key, -1), bytesAt(key, -2)];
  return key.get(KTY) === KEY_TYPE.rsa && n && e ? { kty: 'RSA', n, e } : null;
}

function bytesAt(key: CoseKey, label: number, least = 1, most = Number.POSITIVE_INFINITY): string | null {
  const value = key.get(label);
  if (!(value instanceof Uint8Array) || value.length < least || value.length > most) return null;
  return Buffer.from(value).toString('base64url');
}

function nullIfThrown<T>(read: () => T): T | null {
  try {
    return read();
  } catch {
    return null;
  }
}
