import { DependencyDown } from '#application/ports/errors.ts';
import type { Dependency } from '#application/ports/services.ts';
import { isOpen, type RedisAddress, type RedisClient, redisClient } from './redis-client.ts';
import { seldom } from './seldom.ts';

/** How long nobody asks after a failure; then one caller tries. */
const OPEN_MS = 500;
const REPORT_EVERY_MS = 10_000;

export type RedisConnection = {
  /** Runs one piece of work. @throws DependencyDown when Redis does not answer, at once while the breaker is open */
  run<T>(work: (redis: RedisClient) => Promise<T>): Promise<T>;
  dependency: Dependency;
  close(): Promise<void>;
};

export type RedisSettings = Partial<Omit<RedisAddress, 'url'>> & {
  isOptional: boolean;
  /** Tells the operator of an outage, at most once in 10 s. Errors of ioredis carry an address, never a password. */
  onError: (error: unknown) => void;
};

/**
 * Connects, and stays connected: a Redis that is down, frozen or replaced costs its callers one time-out in half a second,
 * and is used again by itself. Settles with the first attempt, successful or not: the service starts without Redis.
 */
export async function openRedis(url: string, { isOptional, onError, isCluster = false, ca }: RedisSettings): Promise<RedisConnection> {
  const redis = redisClient({ url, isCluster, ca });
  const report = seldom(REPORT_EVERY_MS, onError);
  redis.on('error', report);

  /** 0: closed. Else nobody asks before this instant, and who asks then moves it, so that the others go on failing fast. */
  let openUntilMs = 0;
  redis.on('ready', () => {
    openUntilMs = 0;
  });

  async function send<T>(work: (redis: RedisClient) => Promise<T>): Promise<T> {
    if (!isOpen(redis)) throw new Error(`no connection to redis (${redis.status})`);
    return await work(redis);
  }

  async function run<T>(work: (redis: RedisClient) => Promise<T>): Promise<T> {
    const nowMs = performance.now();
    if (nowMs < openUntilMs) throw new DependencyDown('redis');
    if (openUntilMs > 0) openUntilMs = nowMs + OPEN_MS;
    try {
      const result = await send(work);
      openUntilMs = 0;
      return result;
    } catch (error) {
      openUntilMs = performance.now() + OPEN_MS;
      report(error);
      throw new DependencyDown('redis', { cause: error });
    }
  }

  const settled = new Promise<void>((resolve) => {
    redis.once('ready', resolve);
    redis.once('close', resolve);
  });
  await settled;

  return {
    run,
    dependency: {
      name: 'redis',
      optional: isOptional,
      // Past the breaker: readiness asks Redis itself, and its answer is as good a proof as any.
      async check() {
        try {
          await send((client) => client.ping());
          openUntilMs = 0;
          return 'up';
        } catch {
          return 'down';
        }
      },
    },
    async close() {
      redis.disconnect();
    },
  };
}
