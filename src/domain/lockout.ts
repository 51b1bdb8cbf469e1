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
 * Wrong second factors of one account, from anywhere and over all its sign-ins (63B-4 3.2.2: at most 100 in a row). Whoever
 * gets this far knew the password, so a stranger locks nobody out; the password itself is not touched.
 */
export const SECOND_FACTOR_LOCKOUT: LockoutPolicy = { maxAttempts: 10, lockSeconds: 60 * 60 };
