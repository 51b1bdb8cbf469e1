import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Bucket, RateLimiter } from '#application/ports/services.ts';
import { type RateLimits, readingOf, requireDistinct } from '#domain/rate-limit.ts';
import type { RedisClient } from './redis-client.ts';
import type { RedisConnection } from './redis-connection.ts';

const SCRIPT = readFileSync(new URL('./token-bucket.lua', import.meta.url), 'utf8');
const COST = 1;

type Reply = [number, number, ...string[]];
type Scripted = RedisClient & { drawTokens(...args: (string | number)[]): Promise<unknown> };

/**
 * Token buckets in Redis (6.2 or later) or Valkey, shared by all replicas: one round trip for all buckets of a call, exact
 * under any number at once. A draw whose answer was lost may have been made: the client is one token poorer, never richer.
 * Always refuses when Redis is down; `withFallback` adds the other way.
 *
 * Keys are `<prefix>:{<prefix>}:<limit>:<digest>`. The braces put all buckets of a prefix into one slot of a Redis Cluster, because
 * those of a network, of an account and of everybody stand or fall together (docs/adr/0018). The digest keeps whatever came with
 * the request out of the key (ASVS 1.3.9).
 */
export function redisLimiter(
  { run }: Pick<RedisConnection, 'run'>,
  { limits, prefix }: { limits: RateLimits; prefix: string },
): RateLimiter {
  function drawn(buckets: readonly Bucket[], deciding: number, cost: number): Promise<Reply> {
    const keys = buckets.map(({ limit, key }) => `${prefix}:{${prefix}}:${limit}:${digestOf(key)}`);
    const sizes = buckets.flatMap(({ limit }) => [limits[limit].capacity, limits[limit].windowSeconds * 1000]);
    return run(async (redis) => replyFor(keys.length, await scripted(redis).drawTokens(keys.length, ...keys, cost, deciding, ...sizes)));
  }
  return {
    async charge(bucket, cost) {
      await drawn([bucket], 0, cost);
    },
    async take(buckets, _whenDown, aside = []) {
      const all = [...buckets, ...aside];
      requireDistinct(all);
      const [isDrawn, isAsideDrawn, ...tokens] = await drawn(all, buckets.length, COST);
      const readings = all.map(({ limit }, index) => readingOf(limit, limits[limit], Number(tokens[index])));
      return {
        allowed: isDrawn === 1,
        readings: readings.slice(0, buckets.length),
        aside: { allowed: isAsideDrawn === 1, readings: readings.slice(buckets.length) },
      };
    },
  };
}

function digestOf(key: string): string {
  return createHash('sha256').update(key).digest('hex').slice(0, 32);
}

/** What the script answers about so many buckets. @throws Error for anything else: an answer that is not ours lets nobody through */
function replyFor(buckets: number, reply: unknown): Reply {
  const [isDrawn, isAsideDrawn, ...tokens] = Array.isArray(reply) ? reply : [];
  const isOurs =
    isFlag(isDrawn) &&
    isFlag(isAsideDrawn) &&
    tokens.length === buckets &&
    tokens.every((left) => typeof left === 'string' && left !== '' && Number.isFinite(Number(left)));
  if (!isOurs) throw new Error('redis answered something else than the script of the limiter does');
  return [isDrawn, isAsideDrawn, ...tokens];
}

function isFlag(value: unknown): value is 0 | 1 {
  return value === 0 || value === 1;
}

/** ioredis sends the script once per connection, then its SHA, and sends it again when Redis has forgotten it. */
function scripted(redis: RedisClient): Scripted {
  if (!('drawTokens' in redis)) redis.defineCommand('drawTokens', { lua: SCRIPT });
  return redis as Scripted;
}
