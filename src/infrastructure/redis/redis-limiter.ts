import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Bucket, RateLimiter } from '#application/ports/services.ts';
import { commonKey, type RateLimits, readingOf } from '#domain/rate-limit.ts';
import type { RedisClient } from './redis-client.ts';
import type { RedisConnection } from './redis-connection.ts';

const SCRIPT = readFileSync(new URL('./token-bucket.lua', import.meta.url), 'utf8');
const COST = 1;

type Scripted = RedisClient & { drawTokens(...args: (string | number)[]): Promise<[number, ...string[]]> };

/**
 * Token buckets in Redis (6.2 or later) or Valkey, shared by all replicas: one round trip for all buckets of a call, exact
 * under any number at once. A draw whose answer was lost may have been made: the client is one token poorer, never richer.
 * Always refuses when Redis is down; `withFallback` adds the other way.
 *
 * Keys are `<prefix>:{<digest>}:<limit>`. The braces put the buckets of one call into one cluster slot and those of
 * different callers into different ones. The digest keeps whatever came with the request out of the key (ASVS 1.3.9).
 */
export function redisLimiter(
  { run }: Pick<RedisConnection, 'run'>,
  { limits, prefix }: { limits: RateLimits; prefix: string },
): RateLimiter {
  function drawn(buckets: readonly Bucket[], cost: number): Promise<[number, ...string[]]> {
    const tag = createHash('sha256').update(commonKey(buckets)).digest('hex').slice(0, 32);
    const keys = buckets.map(({ limit }) => `${prefix}:{${tag}}:${limit}`);
    const sizes = buckets.flatMap(({ limit }) => [limits[limit].capacity, limits[limit].windowSeconds * 1000]);
    return run((redis) => scripted(redis).drawTokens(keys.length, ...keys, cost, ...sizes));
  }
  return {
    async charge(bucket, cost) {
      await drawn([bucket], -cost);
    },
    async take(buckets) {
      const [isDrawn, ...tokens] = await drawn(buckets, COST);
      return {
        allowed: isDrawn === 1,
        readings: buckets.map(({ limit }, index) => readingOf(limit, limits[limit], Number(tokens[index]))),
      };
    },
  };
}

/** ioredis sends the script once per connection, then its SHA, and sends it again when Redis has forgotten it. */
function scripted(redis: RedisClient): Scripted {
  if (!('drawTokens' in redis)) redis.defineCommand('drawTokens', { lua: SCRIPT });
  return redis as Scripted;
}
