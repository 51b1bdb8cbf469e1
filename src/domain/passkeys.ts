import type { Factor } from './assurance.ts';

/**
 * Whether the counter says that there are two copies of the key (WebAuthn L3 6.1.1). It is a signal, no proof: authenticators
 * that do not count send zero.
 */
export function isCounterRegressed(stored: number, sent: number): boolean {
  return (stored > 0 || sent > 0) && sent <= stored;
}

/** What an assertion is worth: user verification makes it two factors, unless the key may have been copied. */
export function passkeyFactor(isUserVerified: boolean, isRegressed: boolean): Factor {
  return isUserVerified && !isRegressed ? 'verified-passkey' : 'passkey';
}

/** What authenticators call the user of an account by (WebAuthn L3 5.4.3): the id in its 16 bytes. */
export function userHandleOf(accountId: string): Buffer {
  return Buffer.from(accountId.replaceAll('-', ''), 'hex');
}

/** How one is called that its owner gave no name. */
export const UNNAMED_PASSKEY = 'Passkey';

/** Enough for every device of a person; a list without an end is an attack. */
export const MOST_PASSKEYS = 20;
