import { describe, expect, it } from 'vitest';
import { connect } from '#infrastructure/postgres/connect.ts';
import { chance } from './support/chance.ts';
import type { Crowd } from './support/crowd.ts';
import { badDay, type Day, forAWhile, isUnderWay, reckon, recovers, troubledBy } from './support/day.ts';
import { isCommitted, isGoodAnswer, proxyTo, proxyToPostgres } from './support/proxy.ts';

/** Connections of two replicas that break, and answers that never arrive, under load. */

const TIMES = 30;
const PAUSE = { least: 0.03, most: 0.15 };

/** How many refreshes were done whose answer nobody got: each was asked for again, and gave the same successor. */
async function doneUnheard({ postgres }: Day, { ledger }: Crowd): Promise<number> {
  const sql = connect(postgres.address, { max: 1 });
  try {
    const [row] = await sql<{ done: number }[]>`select count(*)::int as done from audit_events where type = 'TOKEN_REFRESHED'`;
    return (row?.done ?? 0) - ledger.entries.filter(({ operation, outcome }) => operation === 'refresh' && outcome === 'done').length;
  } finally {
    await sql.end();
  }
}

describe('[V16.5.3] nothing acknowledged is lost, nothing refused is there by half, nobody is signed out', () => {
  it('when connections to PostgreSQL, to Redis and to clients are reset again and again', async () => {
    await badDay(async (day) => {
      const toPostgres = await proxyToPostgres(day.postgres.address);
      const toRedis = await proxyTo({ host: '127.0.0.1', port: Number(new URL(day.redis.url).port) });
      const replicas = await day.replicas({
        database: toPostgres.address,
        settings: { REDIS_URL: `redis://127.0.0.1:${toRedis.port}` },
      });
      const toService = await proxyTo({ host: '127.0.0.1', port: Number(new URL(replicas.origin).port) });
      for (const proxy of [toPostgres, toRedis, toService]) day.onEnd(() => proxy.close());
      const crowd = day.crowd(replicas, { origin: `http://127.0.0.1:${toService.port}` });
      const luck = chance(day.seed);
      await isUnderWay(crowd);
      let broken = 0;
      const troubled = await troubledBy(crowd, async () => {
        for (let time = 0; time < TIMES; time++) {
          broken += luck.pick([[3, toPostgres] as const, [1, toRedis], [2, toService]]).reset();
          await forAWhile(luck.between(PAUSE.least, PAUSE.most));
        }
      });
      expect([broken > TIMES, troubled > 0]).toEqual([true, true]);
      await recovers(crowd, replicas);
      await reckon(day, crowd);
    });
  });

  it('when PostgreSQL commits and its answer never comes', async () => {
    await badDay(async (day) => {
      const toPostgres = await proxyToPostgres(day.postgres.address);
      const replicas = await day.replicas({ database: toPostgres.address });
      day.onEnd(() => toPostgres.close());
      const crowd = day.crowd(replicas);
      const luck = chance(day.seed);
      await isUnderWay(crowd);
      const troubled = await troubledBy(crowd, async () => {
        // Twice as often as elsewhere: the replicas themselves commit too, and only what is the crowd's proves anything.
        for (let time = 0; time < 2 * TIMES; time++) {
          await toPostgres.loseAnswer(isCommitted);
          await forAWhile(luck.between(PAUSE.least, PAUSE.most));
        }
      });
      expect(troubled).toBeGreaterThan(0);
      await recovers(crowd, replicas);
      await reckon(day, crowd);
      expect(await doneUnheard(day, crowd)).toBeGreaterThan(0);
    });
  });

  it('when the service answers and its client never hears it: asked again, a refresh gives the same successor', async () => {
    await badDay(async (day) => {
      const replicas = await day.replicas();
      const toService = await proxyTo({ host: '127.0.0.1', port: Number(new URL(replicas.origin).port) });
      day.onEnd(() => toService.close());
      const crowd = day.crowd(replicas, { origin: `http://127.0.0.1:${toService.port}` });
      const luck = chance(day.seed);
      await isUnderWay(crowd);
      const troubled = await troubledBy(crowd, async () => {
        for (let time = 0; time < TIMES; time++) {
          await toService.loseAnswer(isGoodAnswer);
          await forAWhile(luck.between(PAUSE.least, PAUSE.most));
        }
      });
      expect(troubled).toBeGreaterThanOrEqual(TIMES);
      await recovers(crowd, replicas);
      await reckon(day, crowd);
      expect(await doneUnheard(day, crowd)).toBeGreaterThan(0);
    });
  });
});
