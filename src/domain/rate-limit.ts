/** A token bucket: holds `capacity` tokens and refills at `capacity` per `windowSeconds`. */
export type RateLimit = { capacity: number; windowSeconds: number };

/** The limits by name, as the settings `RATE_LIMIT_…` give them. */
export type RateLimits = {
  /** What everybody together may ask: nobody's own, so that nobody is told of it. */
  global: RateLimit;
  'per-ip': RateLimit;
  'per-user': RateLimit;
  login: RateLimit;
  register: RateLimit;
  'password-reset': RateLimit;
  mfa: RateLimit;
  /** Against bill fraud: codes to one number, to the numbers around it, and in all. */
  'sms-number': RateLimit;
  'sms-prefix': RateLimit;
  'sms-total': RateLimit;
};
export type RateLimitName = keyof RateLimits;

const WINDOWS: Record<string, number> = { second: 1, minute: 60, hour: 3600, day: 86_400 };

/** Reads `N/second`, `N/minute`, `N/hour` or `N/day`. @returns undefined when it is written otherwise */
export function parseRateLimit(text: string): RateLimit | undefined {
  const match = /^([1-9]\d{0,8})\s*\/\s*(second|minute|hour|day)$/.exec(text.trim());
  const windowSeconds = WINDOWS[match?.[2] ?? ''];
  if (match?.[1] === undefined || windowSeconds === undefined) return undefined;
  return { capacity: Number(match[1]), windowSeconds };
}

export type BucketState = { tokens: number; updatedAtMs: number };

/**
 * One draw from one bucket, with pen and paper; the Redis script is held to this by a test.
 * @param nowMs may lie before `updatedAtMs` (a clock was set back): time then stands still for the bucket. A state from more
 * than a window ahead counts as none, so that a clock which jumped far ahead and came back locks nobody out
 */
export function draw(
  state: BucketState | undefined,
  limit: RateLimit,
  cost: number,
  nowMs: number,
): { allowed: boolean; state: BucketState } {
  const windowMs = limit.windowSeconds * 1000;
  const isUsable = state !== undefined && state.updatedAtMs <= nowMs + windowMs;
  const from = isUsable ? state : { tokens: limit.capacity, updatedAtMs: nowMs };
  const updatedAtMs = Math.max(nowMs, from.updatedAtMs);
  const tokens = Math.min(limit.capacity, from.tokens + ((updatedAtMs - from.updatedAtMs) * limit.capacity) / windowMs);
  return tokens >= cost
    ? { allowed: true, state: { tokens: tokens - cost, updatedAtMs } }
    : { allowed: false, state: { tokens, updatedAtMs } };
}

/** What a request that failed costs its network's bucket beside its own token: whoever guesses runs out four times as soon. */
export const FAILURE_COSTS = 3;

/**
 * From where on an address floods: ten times in a minute what its bucket holds. Whoever stops when refused never comes near it, because
 * a bucket gives no more than twice what it holds in its window.
 */
export function floodLimit({ capacity, windowSeconds }: RateLimit): RateLimit {
  return { capacity: 10 * capacity, windowSeconds: Math.min(60, windowSeconds) };
}

/** A charge that nobody is asked about: it takes what there is, down to nothing. One below 0 gives back, up to what the bucket holds. */
export function charge(state: BucketState | undefined, limit: RateLimit, cost: number, nowMs: number): BucketState {
  const { tokens, updatedAtMs } = draw(state, limit, 0, nowMs).state;
  return { tokens: Math.min(limit.capacity, Math.max(0, tokens - cost)), updatedAtMs };
}

/** Whole seconds until `cost` tokens are there again; 0 when they are. */
export function secondsUntilTokens(tokens: number, cost: number, limit: RateLimit): number {
  return tokens >= cost ? 0 : Math.ceil(((cost - tokens) * limit.windowSeconds) / limit.capacity);
}

/** What a client may know of its bucket, from the tokens that are left in it. */
export function readingOf(name: RateLimitName, limit: RateLimit, tokens: number) {
  return {
    limit: name,
    ...limit,
    remaining: Math.floor(tokens),
    resetSeconds: secondsUntilTokens(tokens, limit.capacity, limit),
    retryAfterSeconds: secondsUntilTokens(tokens, 1, limit),
  };
}

/** @throws TypeError for a draw from nothing, or twice from one bucket: a mistake of the caller's, found by its first test */
export function requireDistinct(buckets: readonly { limit: RateLimitName; key: string }[]): void {
  const names = new Set(buckets.map(({ limit, key }) => `${limit} ${key}`));
  if (names.size === 0 || names.size < buckets.length) throw new TypeError('a draw names each of its buckets once');
}
