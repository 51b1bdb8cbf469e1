import { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { freePort } from '#tests/support/free-port.ts';
import { badDay, type Day, forAWhile, isUnderWay, reckon, recovers, troubledBy, works } from './support/day.ts';

/** A Redis that answers, and cannot do what it is there for, under two replicas and their load. */

/** An operator at redis-cli, until the day ends. */
function operator({ redis, onEnd }: Day): Redis {
  const client = new Redis(redis.url);
  client.on('error', () => {});
  onEnd(() => client.disconnect());
  return client;
}

const STATES = [
  {
    how: 'read-only, the replica of a primary that is dead',
    begin: async (redis: Redis) => redis.replicaof('127.0.0.1', await freePort()),
    end: (redis: Redis) => redis.replicaof('NO', 'ONE'),
  },
  {
    how: 'out of memory, with nothing that it may evict',
    begin: async (redis: Redis) => {
      await redis.set('ballast', 'x'.repeat(4 * 1024 * 1024)); // an empty one fits in less
      await redis.config('SET', 'maxmemory-policy', 'noeviction');
      await redis.config('SET', 'maxmemory', '1mb');
    },
    end: (redis: Redis) => redis.config('SET', 'maxmemory', '0'),
  },
];

describe('[V16.5.2] [V16.5.3] nothing acknowledged is lost, nothing refused is there by half, nobody is signed out', () => {
  it.each(STATES)(
    'while Redis is $how: whoever is signed in notices nothing, sign-ins wait, and readiness says so',
    async ({ begin, end }) => {
      await badDay(async (day) => {
        const replicas = await day.replicas();
        const redis = operator(day);
        const crowd = day.crowd(replicas);
        await isUnderWay(crowd);
        let during = 0;
        const troubled = await troubledBy(crowd, async () => {
          await begin(redis);
          during = performance.now();
          await works(crowd, ['refresh', 'me']);
          await forAWhile(2);
          for (const { readiness } of replicas.each)
            expect(await readiness()).toEqual({ status: 503, dependencies: { postgres: 'up', redis: 'down', mail: 'up' } });
        });
        expect(troubled).toBeGreaterThan(0);
        const here = crowd.ledger.entries.filter(({ sentAtMs }) => sentAtMs > during);
        const inDoubt = here.filter(({ outcome }) => outcome === 'in-doubt').map(({ operation }) => operation);
        expect(inDoubt).not.toContain('refresh');
        expect(inDoubt).not.toContain('me');
        expect(here.filter(({ operation, outcome }) => operation === 'login' && outcome === 'done')).toEqual([]);
        await end(redis);
        await recovers(crowd, replicas);
        for (const { readiness } of replicas.each) expect(await readiness()).toMatchObject({ status: 200 });
        await reckon(day, crowd);
      });
    },
  );

  it('when Redis is flushed again and again, its scripts too: nobody notices', async () => {
    await badDay(async (day) => {
      const replicas = await day.replicas();
      const redis = operator(day);
      const crowd = day.crowd(replicas);
      await isUnderWay(crowd);
      const troubled = await troubledBy(crowd, async () => {
        for (let time = 0; time < 20; time++) {
          await redis.flushall();
          await redis.script('FLUSH');
          await forAWhile(0.1);
        }
      });
      expect(troubled).toBe(0);
      await recovers(crowd, replicas);
      await reckon(day, crowd);
    });
  });
});
