import { describe, expect, it } from 'vitest';
import { badDay, type Day, forAWhile, isUnderWay, reckon, recovers, troubledBy } from './support/day.ts';

/** PostgreSQL and Redis killed, frozen, and back, under two replicas and their load. */

type Outage = { how: string; begin(day: Day): Promise<void>; end(day: Day): Promise<void> };

const OUTAGES: Outage[] = [
  { how: 'PostgreSQL killed by kill -9', begin: ({ postgres }) => postgres.kill(), end: ({ postgres }) => postgres.start() },
  { how: 'PostgreSQL frozen by SIGSTOP', begin: async ({ postgres }) => postgres.freeze(), end: async ({ postgres }) => postgres.thaw() },
  { how: 'Redis killed by kill -9', begin: ({ redis }) => redis.kill(), end: ({ redis }) => redis.start() },
  { how: 'Redis frozen by SIGSTOP', begin: async ({ redis }) => redis.freeze(), end: async ({ redis }) => redis.thaw() },
  {
    how: 'both killed',
    begin: async ({ postgres, redis }) => void (await Promise.all([postgres.kill(), redis.kill()])),
    end: async ({ postgres, redis }) => void (await Promise.all([postgres.start(), redis.start()])),
  },
];

describe('[V16.5.2] [V16.5.3] nothing acknowledged is lost, nothing refused is there by half, nobody is signed out', () => {
  it.each(OUTAGES)('with $how, twice, and back', async ({ begin, end }) => {
    await badDay(async (day) => {
      const replicas = await day.replicas();
      const crowd = day.crowd(replicas);
      await isUnderWay(crowd);
      for (let round = 0; round < 2; round++) {
        const troubled = await troubledBy(crowd, async () => {
          await begin(day);
          await forAWhile(2);
        });
        expect(troubled).toBeGreaterThan(0);
        await end(day);
        await recovers(crowd, replicas);
      }
      await reckon(day, crowd);
    });
  });
});
