import { after } from '#domain/lifetimes.ts';
import type { Clock } from './ports/services.ts';

const DAY = 24 * 60 * 60;
const BATCH = 1000;

/** How long what is over stays: long enough to look into what went wrong yesterday. */
const KEPT_SECONDS = {
  tickets: DAY,
  /** Counted from the absolute end, which signing out does not move: at most 30 days after that by default. */
  sessions: DAY,
  /** Longer than any lock: a failure before that counts no more. */
  throttles: 2 * DAY,
};

/** Each removes a batch. @returns how many it removed */
export interface Housekeeping {
  removeTickets(expiredBefore: Date, limit: number): Promise<number>;
  removeSessions(endedBefore: Date, limit: number): Promise<number>;
  removeThrottles(failedBefore: Date, limit: number): Promise<number>;
  /** Partitions of the audit trail, of this month and the next ones. */
  makeMonths(now: Date): Promise<void>;
}

/** A piece of work that one replica does at a time. It may die anywhere and be begun again. */
export type Job = {
  name: string;
  everySeconds: number;
  /** Several replicas may run it at once: each takes what no other holds. */
  isShared?: true;
  run(signal: AbortSignal): Promise<void>;
};

export function maintenance({ housekeeping, clock }: { housekeeping: Housekeeping; clock: Clock }): Job[] {
  const emptied = async (remove: (before: Date, limit: number) => Promise<number>, keptSeconds: number, signal: AbortSignal) => {
    const before = after(clock.now(), -keptSeconds);
    while ((await remove(before, BATCH)) === BATCH && !signal.aborted);
  };
  return [
    {
      name: 'expired',
      everySeconds: 60,
      async run(signal) {
        await emptied(housekeeping.removeTickets, KEPT_SECONDS.tickets, signal);
        await emptied(housekeeping.removeSessions, KEPT_SECONDS.sessions, signal);
        await emptied(housekeeping.removeThrottles, KEPT_SECONDS.throttles, signal);
      },
    },
    { name: 'audit-months', everySeconds: 3600, run: () => housekeeping.makeMonths(clock.now()) },
  ];
}
