import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '#application/ports/services.ts';

/** What was withdrawn meanwhile is trusted no longer than this, unless nothing newer comes. */
const FRESH_MS = 60 * 60_000;
/**
 * While there is nothing newer to be had, the last goes on for so long: a pool's tokens live a day at most, so that by then none is left that
 * it signed before it fell silent. Whoever can keep us from its keys gains that day for one that leaked, and no more.
 */
const KEPT_MS = 24 * 60 * 60_000;
/**
 * Who has the last one waits no longer for a newer one, counted from when that was asked for. Longer than the time-out of a pool whose
 * settings nobody touched: the first who comes after a quiet night may hold what was withdrawn in the evening.
 */
const WAIT_MS = 1000;
/** After a failure the last one is taken without asking. */
const ASK_AGAIN_MS = 30_000;

/**
 * Keeps what `make` makes, and has it made anew at least hourly, by whoever needs it then: nothing runs while nobody does. It is made once
 * for all who ask at once.
 * @param onOld could not be made anew, and the last goes on
 * @returns what to ask each time; it throws what `make` throws where there is none, or none that is younger than a day
 */
export function renewed<T>(make: () => Promise<T>, clock: Clock, onOld: (error: unknown) => void): () => Promise<T> {
  let last: { value: T; atMs: number } | null = null;
  let failedAtMs = Number.NEGATIVE_INFINITY;
  let underWay: { made: Promise<T>; late: Promise<unknown> } | null = null;
  /** A clock that jumped ahead and came back has not made it young. */
  const since = (atMs: number) => Math.abs(clock.now().getTime() - atMs);

  function begin() {
    const atMs = clock.now().getTime();
    const made = make()
      .then((value) => {
        last = { value, atMs };
        return value;
      })
      .catch((error) => {
        failedAtMs = atMs;
        if (last !== null && since(last.atMs) < KEPT_MS) onOld(error);
        throw error;
      })
      .finally(() => {
        underWay = null;
      });
    made.catch(() => {}); // it may fail after nobody waits any more
    return { made, late: delay(WAIT_MS, undefined, { ref: false }) };
  }

  return async () => {
    const had = last !== null && since(last.atMs) < KEPT_MS ? last : null;
    if (had !== null && since(had.atMs) < FRESH_MS) return had.value;
    if (had !== null && since(failedAtMs) < ASK_AGAIN_MS) return had.value;
    underWay ??= begin();
    const { made, late } = underWay;
    if (had === null) return await made;
    return await Promise.race([made, late.then(() => had.value)]).catch(() => had.value);
  };
}
