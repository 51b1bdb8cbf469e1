import { DependencyDown } from '#application/ports/errors.ts';
import type { Dependency } from '#application/ports/services.ts';
import { seldom } from '#infrastructure/schedule/seldom.ts';
import { isOpen, type RedisAddress, type RedisClient, redisClient } from './redis-client.ts';
import { within } from './within.ts';

/** Well below the promised 500 ms. */
const ANSWER_MS = 200;
/** How long nobody asks after a failure; then one caller tries. */
const OPEN_MS = 500;
/** A start waits no longer for the first attempt: the client's own limits end it before, unless the other side goes on and on. */
const FIRST_MS = 2000;
const REPORT_EVERY_MS = 10_000;
/** What readiness writes, by the commands that the limiter needs too; gone by itself. */
const PROBE = "redis.call('HSET', KEYS[1], 'at', 1) return redis.call('PEXPIRE', KEYS[1], 1000)";

export type RedisConnection = {
  /** Runs one piece of work. @throws DependencyDown when Redis does not answer, at once while the breaker is open */
  run<T>(work: (redis: RedisClient) => Promise<T>): Promise<T>;
  dependency: Dependency;
  close(): Promise<void>;
};

export type RedisSettings = Partial<Omit<RedisAddress, 'url'>> & {
  isOptional: boolean;
  /** The key that readiness writes; among those that this service may write. */
  probeKey?: string;
  /** Tells the operator of an outage, at most once in 10 s. Errors of ioredis carry the command that failed, AUTH too: only `loggedError` may print them. */
  onError: (error: unknown) => void;
};

/**
 * Connects, and stays connected: a Redis that is down, frozen or replaced costs its callers one time-out in half a second,
 * and is used again by itself. Settles with the first attempt, successful or not: the service starts without Redis.
 */
export async function openRedis(
  url: string,
  { isOptional, onError, probeKey = 'latchkey:ready', isCluster = false, ca }: RedisSettings,
): Promise<RedisConnection> {
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
    return await within(ANSWER_MS, work(redis));
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
  await within(FIRST_MS, settled).catch(() => {});

  return {
    run,
    dependency: {
      name: 'redis',
      optional: isOptional,
      // Past the breaker: readiness asks Redis itself, and its answer is as good a proof as any. It writes, as whoever draws a token
      // does: one that is a replica by now, or out of memory, answers a PING as well as ever.
      async check() {
        try {
          await send((client) => client.eval(PROBE, 1, probeKey));
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
