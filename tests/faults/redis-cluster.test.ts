import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { openRedis } from '#infrastructure/redis/redis-connection.ts';
import { redisLimiter } from '#infrastructure/redis/redis-limiter.ts';
import { type Person, tryLogin, verifiedPerson } from '#tests/support/people.ts';
import { type RedisCluster, redisCluster } from '#tests/support/redis-servers.ts';
import { startService, type TestService } from '#tests/support/service.ts';
import { until } from '#tests/support/until.ts';

/** Six nodes on this machine: the service finds the one that holds its limits from two others, and outlives the loss of it. */
const CLUSTER = { REDIS_CLUSTER: 'true', LOG_LEVEL: 'silent' };
const CALLERS = Array.from({ length: 24 }, (_, index) => ({ ip: `192.0.2.${index + 1}` }));

describe.runIf(inject('redisUrl') !== null)('on a Redis Cluster', () => {
  let cluster: RedisCluster;
  let service: TestService;
  let person: Person;

  beforeAll(async () => {
    cluster = await redisCluster('cluster-password');
    service = await startService({ settings: { REDIS_URL: cluster.url, RATE_LIMIT_PREFIX: cluster.prefixOn('latchkey'), ...CLUSTER } });
    person = await verifiedPerson(service);
  }, 60_000);
  afterAll(async () => {
    await service?.stop();
    await cluster?.stop();
  });

  const signIns = () => Promise.all(CALLERS.map(async (caller) => (await tryLogin(service.api(caller), person)).status));

  it('signs in whoever asks, though the limits lie on a node that nobody named', async () => {
    expect(await signIns()).toEqual(CALLERS.map(() => 200));
    expect(await service.api().get('/health/ready')).toMatchObject({ status: 200, body: { dependencies: { redis: 'up' } } });
  });

  it('[V2.4.1] lets through exactly as many as each bucket holds when 200 come at once', async () => {
    const hour = { capacity: 20, windowSeconds: 3600 };
    const limits = { ...service.config.rateLimits, login: hour };
    const connection = await openRedis(cluster.url, { isOptional: false, isCluster: true, onError: () => {} });
    try {
      const limiter = redisLimiter(connection, { limits, prefix: 'exact' });
      for (const key of ['a', 'b', 'c', 'd', 'e', 'f']) {
        const asked = Array.from({ length: 200 }, () =>
          limiter.take(
            [
              { limit: 'global', key: 'all' },
              { limit: 'login', key },
              { limit: 'per-user', key: `account of ${key}` },
            ],
            'refuse',
            [{ limit: 'password-reset', key: `mailbox of ${key}` }],
          ),
        );
        expect((await Promise.all(asked)).filter(({ allowed }) => allowed)).toHaveLength(20);
      }
    } finally {
      await connection.close();
    }
  });

  it('answers soon while a primary is gone, 200 or 503 and nothing else, and signs everybody in again by itself', async () => {
    expect(await cluster.killPrimary()).toBeGreaterThan(5000);
    const during = new Set<number>();
    await until('every network signs in again', async () => {
      const startMs = performance.now();
      const statuses = await signIns();
      expect(performance.now() - startMs).toBeLessThan(3000); // 24 password hashes, and at most one time-out of Redis
      for (const status of statuses) during.add(status);
      return statuses.every((status) => status === 200);
    });
    expect([...during].filter((status) => status !== 200 && status !== 503)).toEqual([]);
    expect(during).toContain(503); // its buckets were away for a while: nobody got past them
  }, 30_000);
});
