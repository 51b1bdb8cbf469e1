import type { Clock } from '#application/ports/services.ts';

export type TestClock = Clock & { advance(seconds: number): void };

/** A clock that stands still until a test moves it. It begins at the real time: the audit partitions of now are there. */
export function testClock(start: Date = new Date()): TestClock {
  let now = start.getTime();
  return {
    now: () => new Date(now),
    advance(seconds) {
      now += seconds * 1000;
    },
  };
}

/**
 * A clock that a test can move on by so many days and is still behind the database's: an account is erased when both say that it is due.
 */
export const clockBehind = (days: number): TestClock => testClock(new Date(Date.now() - days * DAY * 1000));

export const MINUTE = 60;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;
