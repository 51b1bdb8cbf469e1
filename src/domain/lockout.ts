/** Account lockout (ASVS 6.1.1, 6.3.1; NIST SP 800-63B-4 3.2.2), counted in lanes (docs/adr/0017). */
export type LockoutPolicy = {
  /** Consecutive failures that lock. */
  maxAttempts: number;
  /** How long it stays locked, and how long a failure is remembered. */
  lockSeconds: number;
};

/** Each lock in a row lasts twice as long as the one before, up to a day; a day without any begins anew. */
export const LOCKS = { longestSeconds: 24 * 60 * 60, forgottenSeconds: 24 * 60 * 60 };

/** The owner hears of wrong passwords at most this often. */
export const TOLD_AGAIN_SECONDS = 24 * 60 * 60;

/**
 * Wrong passwords for one account from everywhere but its known devices (63B-4 3.2.2: no more than 100 in a row). Past it only
 * those devices, passkeys and the reset by mail let anybody in, until it is over.
 */
export const EVERYWHERE: { network: string; policy: LockoutPolicy } = {
  network: 'everywhere',
  policy: { maxAttempts: 100, lockSeconds: 60 * 60 },
};

/** One identifier seen from one network. Both are kept as given by `throttleKey`, so known and unknown look alike. */
export type ThrottleKey = { identifierHash: Buffer; network: string };

/**
 * Second factors tried in a row without a right one, on one account, from anywhere and over all its sign-ins. Every tenth makes them
 * all wait; after a hundred (63B-4 3.2.2) those that can be guessed are no use until another one was right. The password itself
 * is not touched.
 */
export const SECOND_FACTOR_TRIES = { perLock: 10, lockSeconds: 60 * 60, most: 100 };
