import type { Bucket, Clock, Draw, RateLimiter } from '#application/ports/services.ts';
import { type BucketState, charge, draw, type RateLimitName, type RateLimits, readingOf, requireDistinct } from '#domain/rate-limit.ts';

type Settings = {
  limits: RateLimits;
  /** Buckets kept of each limit; about 200 bytes each. */
  maxKeys?: number;
};

/**
 * The twin of the Redis limiter for one process: the same draw, in memory, lost at its end.
 *
 * Memory is bounded without a timer. Of each limit the bucket that was drawn from longest ago is the first to go: after a
 * window it is full, and a full bucket is the same as none. Only beyond `maxKeys` in one window is a count forgotten; who
 * can bring that many networks has that many buckets anyway. Limits do not share the space, so that a flood of addresses
 * cannot push out the counts of mails to one recipient.
 */
export function inProcessLimiter(clock: Clock, { limits, maxKeys = 50_000 }: Settings): RateLimiter & { size(): number } {
  const kept = new Map<RateLimitName, Map<string, BucketState>>();
  const bucketsOf = (limit: RateLimitName) => {
    const buckets = kept.get(limit) ?? new Map<string, BucketState>();
    kept.set(limit, buckets);
    return buckets;
  };

  return {
    async take(buckets, _whenDown, aside = []) {
      requireDistinct([...buckets, ...aside]);
      const nowMs = clock.now().getTime();
      const at = ({ limit, key }: Bucket, cost: number) => draw(bucketsOf(limit).get(key), limits[limit], cost, nowMs);
      const drawn = (some: readonly Bucket[], may: boolean): Draw => {
        const allowed = may && some.every((bucket) => at(bucket, 1).allowed);
        const readings = some.map((bucket) => {
          const { limit, key } = bucket;
          const { state } = at(bucket, allowed ? 1 : 0);
          if (allowed) keep(bucketsOf(limit), key, state, nowMs - limits[limit].windowSeconds * 1000, maxKeys);
          return readingOf(limit, limits[limit], state.tokens);
        });
        return { allowed, readings };
      };
      const own = drawn(buckets, true);
      return { ...own, aside: drawn(aside, own.allowed) };
    },
    async charge({ limit, key }, cost) {
      const nowMs = clock.now().getTime();
      const state = charge(bucketsOf(limit).get(key), limits[limit], cost, nowMs);
      keep(bucketsOf(limit), key, state, nowMs - limits[limit].windowSeconds * 1000, maxKeys);
    },
    size: () => [...kept.values()].reduce((sum, buckets) => sum + buckets.size, 0),
  };
}

/** Keeps a bucket as the youngest. Each one that comes takes at most two old ones along, so that no request pays for many. */
function keep(buckets: Map<string, BucketState>, key: string, state: BucketState, fullSinceMs: number, maxKeys: number): void {
  buckets.delete(key);
  buckets.set(key, state);
  let left = 2;
  for (const [oldest, { updatedAtMs }] of buckets) {
    if (left === 0 || (buckets.size <= maxKeys && updatedAtMs > fullSinceMs)) return;
    buckets.delete(oldest);
    left -= 1;
  }
}
