import { describe, expect, it } from 'vitest';
import { chance } from './support/chance.ts';
import { CROWD_SIZE } from './support/crowd.ts';
import { badDay, forAWhile, isUnderWay, reckon, recovers, troubledBy, works } from './support/day.ts';

/** The service itself, two replicas of it: killed at any moment, both or one, and replaced one by one, under load. */

const ROUNDS = 4;

describe('[V16.5.3] nothing acknowledged is lost, nothing refused is there by half, nobody is signed out', () => {
  it(`when both replicas are killed at any moment, ${ROUNDS} times`, async () => {
    await badDay(async (day) => {
      const replicas = await day.replicas();
      const crowd = day.crowd(replicas);
      const luck = chance(day.seed);
      await isUnderWay(crowd);
      for (let round = 0; round < ROUNDS; round++) {
        await forAWhile(luck.between(0.2, 1.2));
        const troubled = await troubledBy(crowd, async () => {
          await Promise.all(replicas.each.map(({ kill }) => kill()));
          await Promise.all(replicas.each.map((_, index) => replicas.startAgain(index)));
        });
        expect(troubled).toBeGreaterThan(0);
        await recovers(crowd, replicas);
      }
      await reckon(day, crowd, { endsLeases: true });
    });
  });

  it(`when one of two replicas is killed with requests under way, ${ROUNDS} times in turn: the other carries on`, async () => {
    await badDay(async (day) => {
      const replicas = await day.replicas();
      const crowd = day.crowd(replicas);
      const luck = chance(day.seed);
      await isUnderWay(crowd);
      const troubled = await troubledBy(crowd, async () => {
        for (let round = 0; round < ROUNDS; round++) {
          const [index, other] = round % 2 === 0 ? [0, 1] : [1, 0];
          await forAWhile(luck.between(0.2, 1.2));
          await replicas.isAsked(index);
          await replicas.each[index]?.kill();
          await works(crowd, undefined, undefined, [replicas.origins[other] ?? '']);
          await replicas.startAgain(index);
          await recovers(crowd, replicas);
        }
      });
      expect(troubled).toBeGreaterThan(0);
      // Who had sent nothing yet was sent to the other one: only what was under way is in doubt.
      expect(troubled).toBeLessThanOrEqual(ROUNDS * CROWD_SIZE);
      await reckon(day, crowd, { endsLeases: true });
    });
  });

  it('in three rolling restarts of two replicas behind a balancer: every request is answered, and every sign-in succeeds', async () => {
    await badDay(async (day) => {
      const replicas = await day.replicas({ settings: { SHUTDOWN_DRAIN_SECONDS: '2' }, whenNoneIsReady: 'refuse' });
      const crowd = day.crowd(replicas);
      await isUnderWay(crowd);
      for (let round = 0; round < 3; round++) {
        for (const [index, old] of [...replicas.each].entries()) {
          await old.stop();
          expect(old.child.exitCode).toBe(0);
          await replicas.startAgain(index);
          await replicas.areReady();
        }
      }
      await works(crowd);
      await reckon(day, crowd);
      expect(crowd.ledger.entries.filter(({ outcome }) => outcome !== 'done')).toEqual([]);
    });
  });
});
