import { expect, it } from 'vitest';
import { badDay, forAWhile, isTroubled, isUnderWay, reckon, recovers, troubledBy } from './support/day.ts';
import { postgresServer } from './support/postgres-server.ts';
import { canMount, smallDisk } from './support/small-disk.ts';

/** PostgreSQL on a disk that fills up under two replicas and their load, and is cleared. */

const MEGABYTES = 160;

it.runIf(canMount())('[V16.5.3] a full disk is 503: nothing acknowledged is lost, nobody is locked out or signed out', async () => {
  const disk = smallDisk(MEGABYTES);
  const onDisk = async (onEnd: (end: () => unknown) => void) => {
    onEnd(disk.remove);
    const postgres = await postgresServer(disk.folder);
    onEnd(() => postgres.stop());
    return postgres;
  };
  await badDay(async (day) => {
    const replicas = await day.replicas();
    const crowd = day.crowd(replicas);
    await isUnderWay(crowd);
    for (let round = 0; round < 2; round++) {
      const troubled = await troubledBy(crowd, async () => {
        disk.fill();
        await isTroubled(crowd);
        await forAWhile(2);
      });
      expect(troubled).toBeGreaterThan(0);
      disk.clear();
      // Without room for its log PostgreSQL may have given up altogether: then its supervisor starts it.
      if (!day.postgres.isRunning()) await day.postgres.start();
      await recovers(crowd, replicas);
    }
    await reckon(day, crowd);
  }, onDisk);
});
