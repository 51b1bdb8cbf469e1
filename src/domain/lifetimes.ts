/** How long things live, in seconds, as set by the operator. */
export type Lifetimes = {
  accessTokenSeconds: number;
  /** A bearer session ends after this long without a refresh. */
  refreshTokenSeconds: number;
  /** A bearer session ends this long after sign-in, refreshed or not (NIST SP 800-63B-4 2.1.3: 30 days at AAL1). */
  sessionAbsoluteSeconds: number;
  /** How long a replaced refresh token still yields the same successor. */
  refreshReuseGraceSeconds: number;
};

/** Confirmation of an address, and of a registration (63B 4.2.1.2: at most 24 hours by e-mail). */
export const VERIFY_EMAIL_TTL_SECONDS = 24 * 60 * 60;

/** Shorter than the 24 hours that 63B 4.2.1.2 allows: a reset link is worth an account. */
export const RESET_PASSWORD_TTL_SECONDS = 30 * 60;

/** The link to the first admin's password: as long as 63B 4.2.1.2 allows, for who starts a service in the evening. */
export const BOOTSTRAP_TTL_SECONDS = 24 * 60 * 60;

export function after(instant: Date, seconds: number): Date {
  return new Date(instant.getTime() + seconds * 1000);
}

/** Whole seconds from `now` until `instant`; never negative. */
export function secondsUntil(instant: Date, now: Date): number {
  return Math.max(0, Math.ceil((instant.getTime() - now.getTime()) / 1000));
}

/** When a bearer session ends if nobody refreshes it again: the idle end, cut at the absolute one. */
export function idleEnd(now: Date, absoluteEndAt: Date, lifetimes: Lifetimes): Date {
  const idle = after(now, lifetimes.refreshTokenSeconds);
  return idle < absoluteEndAt ? idle : absoluteEndAt;
}
