import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DependencyDown } from '#application/ports/errors.ts';
import type { RateLimiter } from '#application/ports/services.ts';
import { type BucketState, draw, type RateLimits } from '#domain/rate-limit.ts';
import { inProcessLimiter } from '#infrastructure/embedded/in-process-limiter.ts';
import { openRedis, type RedisConnection } from '#infrastructure/redis/redis-connection.ts';
import { redisLimiter } from '#infrastructure/redis/redis-limiter.ts';
import { withFallback } from '#infrastructure/redis/with-fallback.ts';
import { type PrivateRedis, privateRedis } from '#tests/support/redis-servers.ts';
import { until } from '#tests/support/until.ts';

const hour = { capacity: 20, windowSeconds: 3600 };
const limits: RateLimits = {
  global: hour,
  'per-ip': hour,
  'per-user': hour,
  login: hour,
  register: hour,
  'password-reset': hour,
  mfa: hour,
  'sms-number': hour,
  'sms-prefix': hour,
  'sms-total': hour,
};
const SCRIPT = readFileSync(new URL('../../../src/infrastructure/redis/token-bucket.lua', import.meta.url), 'utf8');

let server: PrivateRedis;
let redis: Redis;
let opened: RedisConnection[] = [];

const open = async (onError: (error: unknown) => void = () => {}): Promise<RedisConnection> => {
  const connection = await openRedis(server.url, { isOptional: false, onError });
  opened.push(connection);
  return connection;
};
const limiterOn = (connection: RedisConnection, prefix: string): RateLimiter => redisLimiter(connection, { limits, prefix });
const login = [{ limit: 'login', key: '192.0.2.1' }] as const;

/** What it resolves or rejects with, and how long that took. */
async function timed<T>(work: Promise<T>): Promise<{ outcome: T | Error; ms: number }> {
  const startMs = performance.now();
  const outcome = await work.catch((error: Error) => error);
  return { outcome, ms: performance.now() - startMs };
}

beforeAll(async () => {
  server = await privateRedis();
  redis = new Redis(server.url);
  redis.on('error', () => {});
});
afterAll(async () => {
  redis.disconnect();
  for (const connection of opened) await connection.close();
  opened = [];
  await server.stop();
});

describe('The script', () => {
  it('draws as the domain does, to the last bit, for any bucket, limit, cost and time', async () => {
    const anyLimit = fc.record({ capacity: fc.integer({ min: 1, max: 999_999_999 }), windowSeconds: fc.constantFrom(1, 60, 3600) });
    const bucket = fc.record({
      limit: anyLimit,
      share: fc.option(fc.double({ min: 0, max: 1, noNaN: true }), { nil: undefined }),
      ageMs: fc.integer({ min: -4_000_000, max: 4_000_000 }),
    });
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(bucket, { minLength: 1, maxLength: 4 }), fc.integer({ min: 1, max: 5 }), async (buckets, cost) => {
        run += 1;
        const keys = buckets.map((_, index) => `script:{${run}}:${index}`);
        const [seconds = 0, micros = 0] = (await redis.time()).map(Number);
        const before = buckets.map(({ limit, share, ageMs }): BucketState | undefined =>
          share === undefined
            ? undefined
            : { tokens: share * limit.capacity, updatedAtMs: seconds * 1000 + Math.floor(micros / 1000) - ageMs },
        );
        for (const [index, state] of before.entries()) {
          if (state) await redis.hset(keys[index] ?? '', { tokens: String(state.tokens), at: String(state.updatedAtMs) });
        }
        // A second bucket without a past dates the draw, so that the domain can be asked for the same instant.
        const witness = `script:{${run}}:witness`;
        const sizes = buckets.flatMap(({ limit }) => [limit.capacity, limit.windowSeconds * 1000]);
        const asked = [...keys, witness, cost, keys.length + 1, ...sizes, 1000, 3_600_000];
        const reply = (await redis.eval(SCRIPT, keys.length + 1, ...asked)) as [number, number, ...string[]];
        const [drawn, , ...left] = reply;
        const at = await redis.hget(witness, 'at');
        if (drawn === 0) {
          for (const [index, key] of keys.entries()) {
            const stored = await redis.hgetall(key);
            const state = before[index];
            expect(stored).toEqual(state ? { tokens: String(state.tokens), at: String(state.updatedAtMs) } : {});
          }
          return;
        }
        for (const [index, key] of keys.entries()) {
          const { limit } = buckets[index] ?? { limit: hour };
          const expected = draw(before[index], limit, cost, Number(at));
          expect(expected.allowed).toBe(true);
          expect(Number(left[index])).toBe(expected.state.tokens);
          const stored = await redis.hgetall(key);
          if (stored['at'] === undefined) continue; // full again by now, and so gone
          expect([Number(stored['tokens']), Number(stored['at'])]).toEqual([expected.state.tokens, expected.state.updatedAtMs]);
        }
      }),
      { numRuns: 150 },
    );
  });

  it('refuses exactly when the domain does', async () => {
    const limit = { capacity: 3, windowSeconds: 3600 };
    for (const tokens of [0, 0.5, 0.99, 1, 1.5, 2, 2.99, 3]) {
      for (const cost of [1, 2, 3]) {
        const key = `script:{edge}:${tokens}:${cost}`;
        const [seconds = 0] = (await redis.time()).map(Number);
        await redis.hset(key, { tokens: String(tokens), at: String(seconds * 1000 + 1000) }); // ahead: nothing flows in
        const [drawn] = (await redis.eval(SCRIPT, 1, key, cost, 1, limit.capacity, 3_600_000)) as [number];
        expect([tokens, cost, drawn === 1]).toEqual([tokens, cost, draw({ tokens, updatedAtMs: 0 }, limit, cost, 0).allowed]);
      }
    }
  });
});

describe('The limiter in Redis', () => {
  it('shares its counts among replicas', async () => {
    const replicas = [limiterOn(await open(), 'shared'), limiterOn(await open(), 'shared')];
    const answers = await Promise.all(Array.from({ length: 200 }, (_, index) => replicas[index % 2]?.take(login, 'refuse')));
    expect(answers.filter((answer) => answer?.allowed)).toHaveLength(20);
  });

  it('[V1.3.9] makes keys of fixed form from whatever the request holds, all in one cluster slot', async () => {
    const limiter = limiterOn(await open(), 'forms');
    for (const key of ['a\r\nFLUSHALL', '*:{lock}', 'ada@example.com', '192.0.2.1']) {
      await limiter.take(
        [
          { limit: 'global', key: 'all' },
          { limit: 'per-ip', key },
          { limit: 'login', key },
        ],
        'refuse',
      );
    }
    const keys = await redis.keys('forms:*');
    expect(keys).toHaveLength(9);
    for (const key of keys) expect(key).toMatch(/^forms:\{forms\}:(global|per-ip|login):[0-9a-f]{32}$/);
  });

  it('leaves nothing behind: every key ends when its bucket is full again', async () => {
    const limiter = limiterOn(await open(), 'ends');
    await limiter.take(login, 'refuse');
    const [key = ''] = await redis.keys('ends:*');
    const ttlMs = await redis.pttl(key);
    expect(ttlMs).toBeGreaterThan(170_000);
    expect(ttlMs).toBeLessThanOrEqual(180_000); // one of 20 an hour
  });

  it('sends the script again when Redis has forgotten it', async () => {
    const limiter = limiterOn(await open(), 'flushed');
    await limiter.take(login, 'refuse');
    await redis.script('FLUSH');
    const { allowed, readings } = await limiter.take(login, 'refuse');
    expect([allowed, readings[0]?.remaining]).toEqual([true, 18]);
  });

  it('sends its script by digest', async () => {
    const limiter = limiterOn(await open(), 'digest');
    await limiter.take(login, 'refuse');
    await redis.config('RESETSTAT');
    for (let drawn = 0; drawn < 5; drawn += 1) await limiter.take(login, 'refuse');
    const stats = await redis.info('commandstats');
    expect(stats).toMatch(/cmdstat_evalsha:calls=5,/);
    expect(stats).not.toMatch(/cmdstat_eval:/);
  });
});

describe('[V16.5.2] Without Redis, the limiter', () => {
  it('is not what a process has that was held up itself', async () => {
    const errors: unknown[] = [];
    const limiter = limiterOn(await open((error) => errors.push(error)), 'held-up');
    await limiter.take(login, 'refuse');
    const drawn = limiter.take(login, 'refuse');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 600); // nothing of this process goes on: longer than anybody waits
    expect(await drawn).toMatchObject({ allowed: true });
    expect(errors).toEqual([]);
  });

  const clock = { now: () => new Date() };

  it('refuses in under 500 ms when Redis is frozen, then at once, and works again by itself', async () => {
    const limiter = limiterOn(await open(), 'frozen');
    await limiter.take(login, 'refuse');
    server.freeze();
    try {
      const many = await Promise.all(Array.from({ length: 100 }, () => timed(limiter.take(login, 'refuse'))));
      for (const { outcome, ms } of many) {
        expect(outcome).toBeInstanceOf(DependencyDown);
        expect(ms).toBeLessThan(500);
      }
      const next = await timed(limiter.take(login, 'refuse'));
      expect(next.outcome).toBeInstanceOf(DependencyDown);
      expect(next.ms).toBeLessThan(50);
    } finally {
      server.thaw();
    }
    await until('Redis counts', () =>
      limiter.take(login, 'refuse').then(
        () => true,
        () => false,
      ),
    );
  });

  it('lets one caller try at a time while Redis stays frozen', async () => {
    const connection = await open();
    server.freeze();
    try {
      let tried = 0;
      const attempt = () =>
        timed(
          connection.run((client) => {
            tried += 1;
            return client.ping();
          }),
        );
      await attempt();
      const startMs = performance.now();
      const triedAtOnce: number[] = [];
      while (performance.now() - startMs < 1500) {
        const before = tried;
        await Promise.all(Array.from({ length: 20 }, attempt));
        triedAtOnce.push(tried - before);
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(Math.max(...triedAtOnce)).toBe(1);
      expect(tried).toBeLessThanOrEqual(5);
    } finally {
      server.thaw();
    }
  });

  it('counts in process where the caller allows it, tells so once, and goes back to Redis by itself', async () => {
    const told: number[] = [];
    const shared = limiterOn(await open(), 'fallback');
    const limiter = withFallback(shared, inProcessLimiter(clock, { limits }), (fallbacks) => told.push(fallbacks));
    await until('Redis counts', () =>
      shared.take(login, 'refuse').then(
        () => true,
        () => false,
      ),
    );
    server.freeze();
    try {
      const answers: boolean[] = [];
      for (let sent = 0; sent < 25; sent += 1) answers.push((await limiter.take(login, 'local')).allowed);
      expect(answers.filter(Boolean)).toHaveLength(20);
      expect(limiter.fallbacks()).toBe(25);
      expect(told).toEqual([1]);
      await expect(limiter.take(login, 'refuse')).rejects.toThrow(DependencyDown);
      expect(limiter.fallbacks()).toBe(25);
    } finally {
      server.thaw();
    }
    await until('Redis counts', () =>
      limiter.take([{ limit: 'login', key: 'another' }], 'refuse').then(
        () => true,
        () => false,
      ),
    );
  });

  it('refuses while Redis is gone and works again after its restart', async () => {
    const errors: unknown[] = [];
    const connection = await open((error) => errors.push(error));
    const limiter = limiterOn(connection, 'restart');
    await until('Redis counts', () =>
      limiter.take(login, 'refuse').then(
        () => true,
        () => false,
      ),
    );
    await server.kill();
    const { outcome, ms } = await timed(limiter.take(login, 'refuse'));
    expect(outcome).toBeInstanceOf(DependencyDown);
    expect(ms).toBeLessThan(500);
    expect(await connection.dependency.check()).toBe('down');
    await server.start();
    await until('it is up', async () => (await connection.dependency.check()) === 'up');
    expect((await limiter.take(login, 'refuse')).allowed).toBe(true);
    expect(errors).toHaveLength(1);
  });

  it('lets the service start, not ready, and is there when Redis comes', async () => {
    await server.kill();
    const { outcome: connection, ms } = await timed(open());
    if (connection instanceof Error) throw connection;
    expect(ms).toBeLessThan(1000);
    expect(await connection.dependency.check()).toBe('down');
    await server.start();
    await until('it is up', async () => (await connection.dependency.check()) === 'up');
    expect((await limiterOn(connection, 'late').take(login, 'refuse')).allowed).toBe(true);
  });
});
