/** Account lockout (ASVS 6.1.1, 6.3.1; NIST SP 800-63B-4 3.2.2), counted per identifier and network. */
export type LockoutPolicy = {
  /** Consecutive failures that lock. */
  maxAttempts: number;
  /** How long it stays locked, and how long a failure is remembered. */
  lockSeconds: number;
};

/** One identifier seen from one network. Both are kept as given by `throttleKey`, so known and unknown look alike. */
export type ThrottleKey = { identifierHash: Buffer; network: string };

/**
 * Second factors tried in a row without a right one, on one account, from anywhere and over all its sign-ins. Every tenth makes them
 * all wait; after a hundred (63B-4 3.2.2) those that can be guessed are no use until another one was right. The password itself
 * is not touched.
 */
export const SECOND_FACTOR_TRIES = { perLock: 10, lockSeconds: 60 * 60, most: 100 };
