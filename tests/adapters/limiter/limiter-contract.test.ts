import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Bucket, BucketReading, RateLimiter } from '#application/ports/services.ts';
import type { RateLimitName, RateLimits } from '#domain/rate-limit.ts';
import { inProcessLimiter } from '#infrastructure/embedded/in-process-limiter.ts';
import { openRedis, type RedisConnection } from '#infrastructure/redis/redis-connection.ts';
import { redisLimiter } from '#infrastructure/redis/redis-limiter.ts';
import { type PrivateRedis, privateRedis } from '#tests/support/redis-servers.ts';

/** What both limiters promise. Time is passed, not waited for: by the clock in one, by ageing the buckets in the other. */
const limits: RateLimits = {
  global: { capacity: 500, windowSeconds: 3600 },
  'per-ip': { capacity: 50, windowSeconds: 3600 },
  'per-user': { capacity: 10, windowSeconds: 60 },
  login: { capacity: 5, windowSeconds: 60 },
  register: { capacity: 3, windowSeconds: 60 },
  'password-reset': { capacity: 3, windowSeconds: 3600 },
  mfa: { capacity: 10, windowSeconds: 60 },
  'sms-number': { capacity: 5, windowSeconds: 3600 },
  'sms-prefix': { capacity: 50, windowSeconds: 3600 },
  'sms-total': { capacity: 1000, windowSeconds: 86_400 },
};

type Subject = { limiter: RateLimiter; pass(ms: number): Promise<void> };

let server: PrivateRedis;
let connection: RedisConnection;
let redis: Redis;
let nextPrefix = 0;

beforeAll(async () => {
  server = await privateRedis();
  connection = await openRedis(server.url, { isOptional: false, onError: () => {} });
  redis = new Redis(server.url);
});
afterAll(async () => {
  redis.disconnect();
  await connection.close();
  await server.stop();
});

const subjects: { name: string; open(): Subject }[] = [
  {
    name: 'in process',
    open() {
      let nowMs = Date.UTC(2026, 0, 1);
      const limiter = inProcessLimiter({ now: () => new Date(nowMs) }, { limits });
      return {
        limiter,
        async pass(ms) {
          nowMs += ms;
        },
      };
    },
  },
  {
    name: 'in Redis',
    open() {
      nextPrefix += 1;
      const prefix = `test-${nextPrefix}`;
      return {
        limiter: redisLimiter(connection, { limits, prefix }),
        async pass(ms) {
          for (const key of await redis.keys(`${prefix}:*`)) await redis.hincrby(key, 'at', -ms);
        },
      };
    },
  },
];

describe.each(subjects)('The limiter $name', ({ open }) => {
  let subject: Subject;
  const take = async (key: string, ...names: RateLimitName[]) =>
    await subject.limiter.take(
      names.map((limit) => ({ limit, key })),
      'refuse',
    );
  const passes = async (key: string, ...names: RateLimitName[]) => (await take(key, ...names)).allowed;

  beforeEach(() => {
    subject = open();
  });

  it('[V2.4.1] lets through exactly as many as the bucket holds when 200 come at once', async () => {
    const answers = await Promise.all(Array.from({ length: 200 }, () => passes('192.0.2.1', 'per-ip')));
    expect(answers.filter(Boolean)).toHaveLength(50);
  });

  it('draws from all buckets of a call or from none when 200 come at once', async () => {
    const answers = await Promise.all(Array.from({ length: 200 }, () => passes('192.0.2.1', 'per-ip', 'login', 'register')));
    expect(answers.filter(Boolean)).toHaveLength(3);
    const { readings } = await take('192.0.2.1', 'per-ip', 'login', 'register');
    expect(readings.map(({ remaining }) => remaining)).toEqual([47, 2, 0]);
  });

  it('counts each key and each limit by itself', async () => {
    while (await passes('192.0.2.1', 'register'));
    expect(await passes('192.0.2.2', 'register')).toBe(true);
    expect(await passes('192.0.2.1', 'login')).toBe(true);
    expect(await passes('192.0.2.1', 'register')).toBe(false);
  });

  it('tells what is left, when it is full again and when to come back', async () => {
    const aside = { allowed: true, readings: [] };
    expect(await take('192.0.2.1', 'login')).toEqual({
      allowed: true,
      aside,
      readings: [{ limit: 'login', capacity: 5, windowSeconds: 60, remaining: 4, resetSeconds: 12, retryAfterSeconds: 0 }],
    });
    for (let drawn = 1; drawn < 5; drawn += 1) await take('192.0.2.1', 'login');
    expect(await take('192.0.2.1', 'login')).toEqual({
      allowed: false,
      aside: { ...aside, allowed: false },
      readings: [{ limit: 'login', capacity: 5, windowSeconds: 60, remaining: 0, resetSeconds: 60, retryAfterSeconds: 12 }],
    });
  });

  it('lets the request through after the seconds that it named, and not a second before', async () => {
    while (await passes('192.0.2.1', 'password-reset'));
    const [reading] = (await take('192.0.2.1', 'password-reset')).readings;
    const waitMs = 1000 * (reading?.retryAfterSeconds ?? 0);
    expect(waitMs).toBe(1_200_000);
    await subject.pass(waitMs - 1000);
    expect(await passes('192.0.2.1', 'password-reset')).toBe(false);
    await subject.pass(1000);
    expect(await passes('192.0.2.1', 'password-reset')).toBe(true);
    expect(await passes('192.0.2.1', 'password-reset')).toBe(false);
  });

  it('refills no further than to its capacity', async () => {
    while (await passes('192.0.2.1', 'login'));
    await subject.pass(24 * 3600 * 1000);
    const answers = await Promise.all(Array.from({ length: 20 }, () => passes('192.0.2.1', 'login')));
    expect(answers.filter(Boolean)).toHaveLength(5);
  });

  it('takes no token for a refused request, however many come', async () => {
    while (await passes('192.0.2.1', 'login'));
    await Promise.all(Array.from({ length: 50 }, () => passes('192.0.2.1', 'login')));
    await subject.pass(12_000);
    expect(await passes('192.0.2.1', 'login')).toBe(true);
  });

  it('locks nobody out when the clock jumped far ahead and came back', async () => {
    const monthMs = 30 * 24 * 3600 * 1000;
    await subject.pass(monthMs);
    while (await passes('192.0.2.1', 'login'));
    await subject.pass(-monthMs);
    expect(await passes('192.0.2.1', 'login')).toBe(true);
  });

  it('lets time stand still for a bucket when the clock goes back a little', async () => {
    while (await passes('192.0.2.1', 'login'));
    await subject.pass(-30_000);
    expect(await passes('192.0.2.1', 'login')).toBe(false);
    await subject.pass(41_000);
    expect(await passes('192.0.2.1', 'login')).toBe(false);
    await subject.pass(1000);
    expect(await passes('192.0.2.1', 'login')).toBe(true);
  });

  it('[V6.3.1] charges what a failure costs, down to nothing, and only that bucket', async () => {
    const left = async (name: RateLimitName) => (await take('192.0.2.1', name)).readings[0]?.remaining;
    expect([await left('login'), await left('register')]).toEqual([4, 2]);
    await subject.limiter.charge({ limit: 'login', key: '192.0.2.1' }, 3);
    expect([await left('login'), await passes('192.0.2.1', 'login')]).toEqual([0, false]);
    await subject.limiter.charge({ limit: 'login', key: '192.0.2.1' }, 3);
    await subject.limiter.charge({ limit: 'login', key: '192.0.2.2' }, 9);
    expect([await passes('192.0.2.2', 'login'), await passes('192.0.2.3', 'login')]).toEqual([false, true]);
    expect(await left('register')).toBe(1);
  });

  it('gives back what was drawn for nothing, up to what the bucket holds', async () => {
    while (await passes('192.0.2.1', 'register'));
    await subject.limiter.charge({ limit: 'register', key: '192.0.2.1' }, -1);
    expect([await passes('192.0.2.1', 'register'), await passes('192.0.2.1', 'register')]).toEqual([true, false]);
    await subject.limiter.charge({ limit: 'register', key: '192.0.2.1' }, -50);
    expect((await take('192.0.2.1', 'register')).readings[0]?.remaining).toBe(2);
  });

  it('draws from buckets of different keys in one call, from all or from none', async () => {
    const asked = (account: string) =>
      subject.limiter.take(
        [
          { limit: 'global', key: 'all' },
          { limit: 'per-ip', key: '192.0.2.1' },
          { limit: 'per-user', key: account },
        ],
        'refuse',
      );
    const answers = await Promise.all(Array.from({ length: 200 }, (_, index) => asked(`account ${index % 2}`)));
    expect(answers.filter(({ allowed }) => allowed)).toHaveLength(20);
    expect((await asked('another')).readings.map(({ remaining }) => remaining)).toEqual([479, 29, 9]);
  });

  it('draws what stands aside in the same call: from each or from none, never without the others, and refuses nothing for it', async () => {
    const mail = { limit: 'password-reset', key: 'a mailbox' } as const;
    const number = { limit: 'sms-number', key: 'a number' } as const;
    const asked = (...aside: Bucket[]) => subject.limiter.take([{ limit: 'register', key: '192.0.2.1' }], 'refuse', aside);
    const left = ({ readings }: { readings: BucketReading[] }) => readings.map(({ remaining }) => remaining);

    while (await passes('a mailbox', 'password-reset'));
    const passed = await asked(number, mail);
    expect([passed.allowed, left(passed), passed.aside.allowed, left(passed.aside)]).toEqual([true, [2], false, [5, 0]]);
    const drawn = await asked(number);
    expect([drawn.aside.allowed, left(drawn.aside)]).toEqual([true, [4]]);
    while (await passes('192.0.2.1', 'register'));
    const refused = await asked(number);
    expect([refused.allowed, refused.aside.allowed, left(refused.aside)]).toEqual([false, false, [4]]);
  });

  it('finds the mistake of a call that names a bucket twice, or none', async () => {
    const twice = [
      { limit: 'login' as const, key: 'a' },
      { limit: 'login' as const, key: 'a' },
    ];
    await expect(subject.limiter.take(twice, 'local')).rejects.toThrow(TypeError);
    await expect(subject.limiter.take(twice.slice(1), 'local', twice.slice(1))).rejects.toThrow(TypeError);
    await expect(subject.limiter.take([], 'local')).rejects.toThrow(TypeError);
  });
});
