import { createCipheriv, createDecipheriv, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { SecretBox } from '#application/ports/services.ts';

/**
 * Fernet to the letter of its spec: version 0x80 | seconds u64 | IV 16 | AES-128-CBC | HMAC-SHA-256, in padded base64url.
 * What the Python service encrypted opens here, and the other way round.
 */
export type FernetKey = { signing: Buffer; encryption: Buffer };

const VERSION = 0x80;
const HEAD_BYTES = 1 + 8;
const IV_BYTES = 16;
const BLOCK_BYTES = 16;
const MAC_BYTES = 32;
const LEAST_BYTES = HEAD_BYTES + IV_BYTES + BLOCK_BYTES + MAC_BYTES;
/** How far the clock of whoever made a token may be ahead of ours. */
const MAX_SKEW_SECONDS = 60;

/** @param text 32 bytes in base64url, padded or not @returns undefined when it is anything else */
export function parseFernetKey(text: string): FernetKey | undefined {
  const bytes = Buffer.from(text, 'base64url');
  if (bytes.length !== 32 || bytes.toString('base64url') !== text.replace(/=$/, '')) return undefined;
  return { signing: bytes.subarray(0, 16), encryption: bytes.subarray(16) };
}

/** @param list comma-separated, as FERNET_KEY @throws when one of them is no key, or there is none */
export function parseFernetKeys(list: string): [FernetKey, ...FernetKey[]] {
  const [first, ...others] = list.split(',').map((text) => {
    const key = parseFernetKey(text.trim());
    if (key === undefined) throw new Error('FERNET_KEY: give 32 bytes in base64url each');
    return key;
  });
  if (first === undefined) throw new Error('FERNET_KEY holds no key');
  return [first, ...others];
}

/** A key as FERNET_KEY wants it. */
export function newFernetKey(): string {
  return `${randomBytes(32).toString('base64url')}=`;
}

/** @param iv only for the spec's vectors; random otherwise */
export function fernetSeal(key: FernetKey, text: string | Buffer, at: Date, iv = randomBytes(IV_BYTES)): string {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt8(VERSION);
  head.writeBigUInt64BE(BigInt(Math.floor(at.getTime() / 1000)), 1);
  const cipher = createCipheriv('aes-128-cbc', key.encryption, iv);
  const signed = Buffer.concat([head, iv, cipher.update(text), cipher.final()]);
  return padded(Buffer.concat([signed, createHmac('sha256', key.signing).update(signed).digest()]));
}

/**
 * @param ttlSeconds none: the token's age does not matter
 * @returns undefined when it is malformed, of another key, changed, too old or from the future
 */
export function fernetOpen(
  key: FernetKey,
  token: string,
  { now, ttlSeconds }: { now?: Date; ttlSeconds?: number } = {},
): Buffer | undefined {
  const bytes = Buffer.from(token, 'base64url');
  if (padded(bytes) !== token) return undefined; // one token, one spelling
  if (bytes[0] !== VERSION || bytes.length < LEAST_BYTES || (bytes.length - LEAST_BYTES) % BLOCK_BYTES !== 0) return undefined;
  const signed = bytes.subarray(0, -MAC_BYTES);
  const mac = createHmac('sha256', key.signing).update(signed).digest();
  if (!timingSafeEqual(mac, bytes.subarray(-MAC_BYTES))) return undefined;
  if (now !== undefined && ttlSeconds !== undefined) {
    const ageSeconds = Math.floor(now.getTime() / 1000) - Number(bytes.readBigUInt64BE(1));
    if (ageSeconds > ttlSeconds || ageSeconds < -MAX_SKEW_SECONDS) return undefined;
  }
  const decipher = createDecipheriv('aes-128-cbc', key.encryption, signed.subarray(HEAD_BYTES, HEAD_BYTES + IV_BYTES));
  try {
    return Buffer.concat([decipher.update(signed.subarray(HEAD_BYTES + IV_BYTES)), decipher.final()]);
  } catch {
    return undefined; // wrong padding under a right MAC: made by nobody who knows the format
  }
}

/** The first key encrypts, all decrypt (key rotation). @param keys at least one */
export function fernetBox([first, ...others]: readonly [FernetKey, ...FernetKey[]]): SecretBox & { isCurrent(sealed: string): boolean } {
  return {
    /** Whether the first key made it: if not, it is to be encrypted anew before its key may go. */
    isCurrent: (sealed) => fernetOpen(first, sealed) !== undefined,
    seal: (text) => fernetSeal(first, text, new Date()),
    open(sealed) {
      for (const key of [first, ...others]) {
        const text = fernetOpen(key, sealed);
        if (text !== undefined) return text.toString('utf8');
      }
      throw new Error('A stored secret was encrypted with a key that FERNET_KEY does not hold');
    },
  };
}

function padded(bytes: Buffer): string {
  const text = bytes.toString('base64url');
  return text + '='.repeat((4 - (text.length % 4)) % 4);
}
