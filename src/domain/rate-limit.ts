/** A token bucket: holds `capacity` tokens and refills at `capacity` per `windowSeconds`. */
export type RateLimit = { capacity: number; windowSeconds: number };

/** The limits by name, as the settings `RATE_LIMIT_…` give them. */
export type RateLimits = {
  'per-ip': RateLimit;
  'per-user': RateLimit;
  login: RateLimit;
  register: RateLimit;
  'password-reset': RateLimit;
};
export type RateLimitName = keyof RateLimits;

const WINDOWS: Record<string, number> = { second: 1, minute: 60, hour: 3600 };

/** Reads `N/second`, `N/minute` or `N/hour`. @returns undefined when it is written otherwise */
export function parseRateLimit(text: string): RateLimit | undefined {
  const match = /^([1-9]\d{0,8})\s*\/\s*(second|minute|hour)$/.exec(text.trim());
  const windowSeconds = WINDOWS[match?.[2] ?? ''];
  if (match?.[1] === undefined || windowSeconds === undefined) return undefined;
  return { capacity: Number(match[1]), windowSeconds };
}

export type BucketState = { tokens: number; updatedAtMs: number };

/**
 * One draw from one bucket, with pen and paper; the Redis script is held to this by a test.
 * @param nowMs may lie before `updatedAtMs` (two replicas, two clocks): time then stands still for the bucket
 */
export function draw(
  state: BucketState | undefined,
  limit: RateLimit,
  cost: number,
  nowMs: number,
): { allowed: boolean; state: BucketState } {
  const perMs = limit.capacity / (limit.windowSeconds * 1000);
  const from = state ?? { tokens: limit.capacity, updatedAtMs: nowMs };
  const elapsedMs = Math.max(0, nowMs - from.updatedAtMs);
  const tokens = Math.min(limit.capacity, from.tokens + elapsedMs * perMs);
  const updatedAtMs = Math.max(nowMs, from.updatedAtMs);
  return tokens >= cost
    ? { allowed: true, state: { tokens: tokens - cost, updatedAtMs } }
    : { allowed: false, state: { tokens, updatedAtMs } };
}

/** Whole seconds until `cost` tokens are there again; 0 when they are. */
export function secondsUntilTokens(tokens: number, cost: number, limit: RateLimit): number {
  return tokens >= cost ? 0 : Math.ceil(((cost - tokens) * limit.windowSeconds) / limit.capacity);
}
