import { DependencyDown } from '#application/ports/errors.ts';
import type { RateLimiter } from '#application/ports/services.ts';
import { seldom } from '#infrastructure/schedule/seldom.ts';

const REPORT_EVERY_MS = 10_000;

export type FallbackLimiter = RateLimiter & {
  /** Draws that were made in this process because Redis did not answer, since the start. */
  fallbacks(): number;
};

/**
 * What a limiter does without Redis is the caller's choice: `refuse` lets DependencyDown through; `local` counts in this
 * process, so that n replicas together let through n times as much until Redis is back (docs/architecture.md).
 * @param onFallback tells the operator, at most once in 10 s, with the count so far
 */
export function withFallback(shared: RateLimiter, local: RateLimiter, onFallback: (fallbacks: number) => void): FallbackLimiter {
  const report = seldom(REPORT_EVERY_MS, onFallback);
  let fallbacks = 0;
  return {
    async take(buckets, whenDown, aside) {
      try {
        return await shared.take(buckets, whenDown, aside);
      } catch (error) {
        if (whenDown === 'refuse' || !(error instanceof DependencyDown)) throw error;
        fallbacks += 1;
        report(fallbacks);
        return await local.take(buckets, whenDown, aside);
      }
    },
    async charge(bucket, cost) {
      try {
        await shared.charge(bucket, cost);
      } catch (error) {
        if (!(error instanceof DependencyDown)) throw error;
        await local.charge(bucket, cost);
      }
    },
    fallbacks: () => fallbacks,
  };
}
