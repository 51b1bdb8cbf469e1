/** How a client holds its session: tokens that it sends, or a cookie that its browser keeps from its scripts. */
export type Transport = 'bearer' | 'cookie';

/** NIST SP 800-63B-4 2.1.3 and 2.2.3: 30 days at AAL1; an hour without use and a day in all at AAL2. */
export type SessionLifetime = {
  /** It ends after this long without use: of a refresh token, or of the cookie. */
  idleSeconds: number;
  /** It ends this long after sign-in in any case. */
  absoluteSeconds: number;
};

/** How long things live, in seconds, as set by the operator. */
export type Lifetimes = {
  accessTokenSeconds: number;
  sessions: Record<Transport, SessionLifetime>;
  /** How long a replaced refresh token still yields the same successor. */
  refreshReuseGraceSeconds: number;
};

/**
 * Of the sessions of an account that end at once so many are marked as ended, and counted; its security stamp ends the others as surely.
 * Five times what MAX_SESSIONS_PER_USER allows, and a tenth of a second's work where a statement has 4.5 s.
 */
export const MOST_MARKED = 5000;

/** Confirmation of an address, and of a registration (63B 4.2.1.2: at most 24 hours by e-mail). */
export const VERIFY_EMAIL_TTL_SECONDS = 24 * 60 * 60;

/** Shorter than the 24 hours that 63B 4.2.1.2 allows: a reset link is worth an account. */
export const RESET_PASSWORD_TTL_SECONDS = 30 * 60;

/** How long the owner of an account can say of a sign-in on a new device "this was not me". */
export const REPORT_SIGN_IN_TTL_SECONDS = 7 * 24 * 60 * 60;
/** Whoever asks for another address sits before its mail. */
export const CHANGE_EMAIL_TTL_SECONDS = 60 * 60;

/** How long the old address can take the account back: longer than a holiday weekend, and than most mailboxes go unread. */
export const REVERT_EMAIL_TTL_SECONDS = 7 * 24 * 60 * 60;

export function daysInSeconds(days: number): number {
  return days * 24 * 60 * 60;
}

/** Until the next day begins in UTC; at least 1. */
export function secondsUntilTomorrow(now: Date): number {
  const dayMs = daysInSeconds(1) * 1000;
  return Math.max(1, Math.ceil((dayMs - (now.getTime() % dayMs)) / 1000));
}

/** Days from `now` until `instant`, one that has begun counted whole. */
export function daysUntil(instant: Date, now: Date): number {
  return Math.ceil(secondsUntil(instant, now) / daysInSeconds(1));
}

/** The link to the first admin's password: as long as 63B 4.2.1.2 allows, for who starts a service in the evening. */
export const BOOTSTRAP_TTL_SECONDS = 24 * 60 * 60;

export function after(instant: Date, seconds: number): Date {
  return new Date(instant.getTime() + seconds * 1000);
}

/** Whole seconds from `now` until `instant`; never negative. */
export function secondsUntil(instant: Date, now: Date): number {
  return Math.max(0, Math.ceil((instant.getTime() - now.getTime()) / 1000));
}

/** How far apart two writes of a session's use are, at least. */
const MOST_TOUCH_SECONDS = 60;

/** How long the use of a cookie session stays unwritten: a minute, or less where that would be much of its idle time. */
export function touchSeconds({ idleSeconds }: SessionLifetime): number {
  return Math.min(MOST_TOUCH_SECONDS, idleSeconds / 4);
}

/** When a session ends if nobody uses it again: the idle end, cut at the absolute one. */
export function idleEnd(now: Date, absoluteEndAt: Date, { idleSeconds }: SessionLifetime): Date {
  const idle = after(now, idleSeconds);
  return idle < absoluteEndAt ? idle : absoluteEndAt;
}

/** The most that ACCESS_TOKEN_EXPIRE_MINUTES takes: who rotates keys may not know what the services were told. */
export const LONGEST_ACCESS_TOKEN_MINUTES = 60;
