import { DependencyDown } from '#application/ports/errors.ts';
import type { HotPaths } from '#application/ports/hot-paths.ts';
import type { Database } from './database.ts';
import { TooLate } from './deadline.ts';
import { isLate } from './failure.ts';
import { findForSignIn } from './sign-in.ts';
import { uncount } from './throttles.ts';

type LostTry = { tryId: string; asked: Parameters<HotPaths['findForSignIn']> };

/** What is lost beyond stays counted, which is the safe side. */
const MOST = 1000;

/**
 * Tries whose count was not answered: counted or not, nobody judged them, and a bad day must lock nobody out. Each is asked for
 * again and taken back in one transaction, so that it counts in no lane that still knows it; at once, or else after the next sign-in
 * that is answered.
 */
export function lostTries({ transaction }: Database) {
  const lost: LostTry[] = [];
  let isTaking = false;

  async function takeBackAll(): Promise<void> {
    for (let next = lost[0]; next; next = lost[0]) {
      const { tryId, asked } = next;
      await transaction(async (tx) => {
        const { tried } = await findForSignIn(tx, tryId, ...asked);
        const [, , policy] = asked;
        await uncount(tx, tried.lanes, policy, tryId);
      });
      lost.shift();
    }
  }

  /** @returns at once */
  function takeBackLater(): void {
    if (isTaking || lost.length === 0) return;
    isTaking = true;
    takeBackAll()
      .catch((error: unknown) => {
        if (!isAway(error)) lost.shift(); // somebody holds its rows, or the like: again and again it would hold up all others
      })
      .finally(() => {
        isTaking = false;
      });
  }

  return {
    takeBack: takeBackLater,
    add(one: LostTry): void {
      if (lost.length < MOST) lost.push(one);
      takeBackLater();
    },
  };
}

function isAway(error: unknown): boolean {
  if (!(error instanceof DependencyDown)) return false;
  const { cause } = error;
  return !isLate(cause) && !(cause instanceof TooLate && !cause.isSilent);
}
