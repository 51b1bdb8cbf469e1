import type { Logger } from 'pino';
import type { Clock, Dependency, RateLimiter } from '#application/ports/services.ts';
import type { Tracing } from '#application/ports/tracing.ts';
import { inProcessLimiter } from '#infrastructure/embedded/in-process-limiter.ts';
import { REDIS, traced } from '#infrastructure/telemetry/traced.ts';
import type { Config } from './config.ts';

/** `fallbacks`: how often a request was counted in this process, because Redis was away. */
export type Limits = { limiter: RateLimiter; dependencies: Dependency[]; fallbacks(): number; close(): Promise<void> };

/** Where requests are counted: in Redis where there is one, and in this process where not, or while it is away. */
export async function openLimiter(config: Config, clock: Clock, log: Logger, tracing: Tracing | null): Promise<Limits> {
  const local = inProcessLimiter(clock, { limits: config.rateLimits });
  if (!config.REDIS_URL) return { limiter: local, dependencies: [], fallbacks: () => 0, close: async () => {} };
  // Loaded only where it is used: the client is a fifth of the memory of an idle service.
  const { openRedis } = await import('#infrastructure/redis/redis-connection.ts');
  const { redisLimiter } = await import('#infrastructure/redis/redis-limiter.ts');
  const { withFallback } = await import('#infrastructure/redis/with-fallback.ts');
  const redis = await openRedis(config.REDIS_URL.reveal(), {
    isOptional: config.REDIS_OPTIONAL,
    probeKey: `${config.RATE_LIMIT_PREFIX}:ready`,
    isCluster: config.REDIS_CLUSTER,
    ca: config.REDIS_CA,
    onError: (error) => log.warn({ err: error }, 'redis does not answer'),
  });
  const shared = redisLimiter(tracing ? traced(redis, tracing, REDIS) : redis, {
    limits: config.rateLimits,
    prefix: config.RATE_LIMIT_PREFIX,
  });
  const limiter = withFallback(shared, local, (fallbacks) =>
    log.warn({ fallbacks }, 'limits are counted in this process while redis is away'),
  );
  return { limiter, dependencies: [redis.dependency], fallbacks: limiter.fallbacks, close: redis.close };
}
