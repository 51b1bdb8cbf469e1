import { pbkdf2 as derive } from 'node:crypto';
import { promisify } from 'node:util';
import { adaptedBase64, base64, type Check, type Form, isSame, oddParts, tooCostly } from './form.ts';

const pbkdf2 = promisify(derive);
const DJANGO = /^pbkdf2_(sha1|sha256)\$(\d{1,12})\$([^$]+)\$([A-Za-z0-9+/=]+)$/;
const PASSLIB = /^\$pbkdf2(?:-(sha256|sha512))?\$(\d{1,12})\$([./A-Za-z0-9]+)\$([./A-Za-z0-9]+)$/;
/** Django 6 does 1,200,000. A tag longer than the digest is derived block by block, each as costly as the first (RFC 8018 5.2). */
const MOST_ITERATIONS = 2_000_000;
const DIGEST_BYTES: Record<string, number> = { sha1: 20, sha256: 32, sha512: 64 };

/** PBKDF2 (RFC 8018) as Django writes it, with the salt as text. */
export const djangoPbkdf2: Form = (text) => {
  if (!text.startsWith('pbkdf2_')) return null;
  const [, digest = '', iterations = '', salt = '', tag = ''] = DJANGO.exec(text) ?? [];
  return checkPbkdf2(digest, Number(iterations), Buffer.from(salt), base64(tag));
};

/** As passlib writes it: `$pbkdf2$` is SHA-1. */
export const passlibPbkdf2: Form = (text) => {
  if (!text.startsWith('$pbkdf2')) return null;
  const [, digest = 'sha1', iterations = '', salt = '', tag = ''] = PASSLIB.exec(text) ?? [];
  return checkPbkdf2(digest, Number(iterations), adaptedBase64(salt), adaptedBase64(tag));
};

const ASPNET = /^A[A-Za-f][A-Za-z0-9+/]{50,200}={0,2}$/;
const ASPNET_V3_HEAD_BYTES = 1 + 3 * 4;
const ASPNET_PRFS = ['sha1', 'sha256', 'sha512'];

/**
 * ASP.NET Identity, which writes no name but a first byte. 0: salt 16, key 32, 1,000 rounds of SHA-1. 1: PRF, iterations and length of
 * the salt as 32-bit numbers, salt, key.
 */
export const aspNetIdentity: Form = (text) => {
  const bytes = ASPNET.test(text) ? base64(text) : null;
  if (bytes === null) return null;
  if (bytes[0] === 0) return bytes.length === 49 ? checkPbkdf2('sha1', 1000, bytes.subarray(1, 17), bytes.subarray(17)) : null;
  if (bytes[0] !== 1) return null;
  const saltEnd = ASPNET_V3_HEAD_BYTES + bytes.readUInt32BE(9);
  const digest = ASPNET_PRFS[bytes.readUInt32BE(1)] ?? '';
  return checkPbkdf2(digest, bytes.readUInt32BE(5), bytes.subarray(ASPNET_V3_HEAD_BYTES, saltEnd), bytes.subarray(saltEnd));
};

function checkPbkdf2(digest: string, iterations: number, salt: Buffer | null, tag: Buffer | null): Check | { refused: string } {
  if (digest === '' || !Number.isInteger(iterations) || iterations < 1)
    return { refused: 'The password hash looks like PBKDF2, but is not.' };
  const odd = oddParts(salt, tag);
  if (odd || salt === null || tag === null) return odd ?? { refused: '' };
  const inAll = iterations * Math.ceil(tag.length / (DIGEST_BYTES[digest] ?? 1));
  if (inAll > MOST_ITERATIONS) return tooCostly(`PBKDF2 with ${inAll} iterations`, String(MOST_ITERATIONS));
  return async (password) => isSame(await pbkdf2(password, salt, iterations, tag.length, digest), tag);
}
