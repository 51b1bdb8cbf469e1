import { describe, expect, it } from 'vitest';
import { every } from '#src/schedule.ts';
import { until } from '#tests/support/until.ts';

const OFTEN = 0.01;
const SELDOM = 3600;

describe('scheduled work', () => {
  it('is done at the start, until nothing is left, and then again and again', async () => {
    let runs = 0;
    const schedule = every(OFTEN, async () => ({ more: ++runs < 3 }), fail);
    await until('it was done several times', () => runs > 5);
    await schedule.stop();
    const before = runs;
    expect(await never(() => runs > before)).toBe(true);
  });

  it('is done once at a time: a run that takes long is not joined by the next', async () => {
    let running = 0;
    let most = 0;
    const release = Promise.withResolvers<void>();
    const work = async () => {
      most = Math.max(most, ++running);
      await release.promise;
      running--;
      return { more: false };
    };
    const schedule = every(OFTEN, work, fail);
    expect(await never(() => running > 1)).toBe(true);
    const stopped = schedule.stop();
    release.resolve();
    await stopped;
    expect([most, running]).toEqual([1, 0]);
  });

  it('is tried again at the next time when it fails', async () => {
    const errors: unknown[] = [];
    const schedule = every(
      OFTEN,
      async () => Promise.reject(new Error('away')),
      (error) => errors.push(error),
    );
    await until('it failed twice', () => errors.length > 1);
    await schedule.stop();
  });

  it('ends with what is under way when it is stopped, though more is due', async () => {
    let runs = 0;
    const schedule = every(SELDOM, async () => ({ more: ++runs > 0 }), fail);
    await schedule.stop();
    expect(runs).toBe(1);
  });
});

function fail(error: unknown): never {
  throw error;
}

/** Whether it did not come true in many turns of the event loop, timers of a few milliseconds included. */
async function never(isSo: () => boolean): Promise<boolean> {
  let turns = 0;
  return await until('many turns passed', () => (isSo() ? undefined : ++turns > 10));
}
