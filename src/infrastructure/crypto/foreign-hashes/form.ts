import { timingSafeEqual } from 'node:crypto';

/** Asks whether this is the password that the hash was made of; off the event loop. */
export type Check = (password: string) => Promise<boolean>;

/**
 * Reads hashes of one form. @returns how to check a password against it; null when the text has another form; else why such a hash
 * is refused, for the operator who imports it
 */
export type Form = (text: string) => Check | { refused: string } | null;

/** Shorter ones match by chance; none of the systems that we know writes one. */
const LEAST_TAG_BYTES = 16;
const MOST_BYTES = 1024;

/** Why these parts of a hash are refused, null when they are not. */
export function oddParts(salt: Buffer | null, tag: Buffer | null): { refused: string } | null {
  if (salt === null || tag === null) return { refused: 'The password hash is not encoded as its form says.' };
  if (salt.length === 0 || salt.length > MOST_BYTES) return { refused: 'The password hash has no salt, or one out of measure.' };
  if (tag.length < LEAST_TAG_BYTES || tag.length > MOST_BYTES) return { refused: 'The password hash is cut short, or out of measure.' };
  return null;
}

/** @param cost as the hash says it */
export function tooCostly(cost: string, most: string): { refused: string } {
  return { refused: `The password hash costs too much to check (${cost}; at most ${most}): one sign-in would hold up all others.` };
}

export function isSame(one: Buffer, other: Buffer): boolean {
  return one.length === other.length && timingSafeEqual(one, other);
}

/** Standard base 64, padded or not, in its canonical spelling. @returns null for any other */
export function base64(text: string): Buffer | null {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64').replace(/=+$/, '') === text.replace(/=+$/, '') ? bytes : null;
}

/** passlib's "adapted" base 64: `.` for `+`, never padded. */
export function adaptedBase64(text: string): Buffer | null {
  return text.includes('+') || text.includes('=') ? null : base64(text.replaceAll('.', '+'));
}
