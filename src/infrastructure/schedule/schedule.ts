import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Job } from '#application/maintenance.ts';

type Leases = {
  hold(job: string, holder: string, seconds: number): Promise<boolean>;
  release(holder: string): Promise<void>;
};

/**
 * For so long a runner that died at its work keeps the job from the others, who look at each of their turns. Between its runs it keeps
 * the job until its next turn is due, and this long after.
 */
const LEASE_SECONDS = 30;
const RENEW_MS = (LEASE_SECONDS * 1000) / 3;
/** A long upload is not waited for: it is begun again elsewhere. */
const STOP_MS = 5000;

/**
 * Runs each job at once and then in its rhythm, wherever nobody else does (those that are shared: everywhere). A run that fails is told of, and the next one tries again.
 * @returns `stop`, which lets what runs come to an end and hands the jobs to the other replicas
 */
export function startSchedule(
  jobs: readonly Job[],
  leases: Leases,
  onError: (job: string, error: unknown) => void,
): { stop(): Promise<void> } {
  const holder = randomUUID();
  const ending = new AbortController();
  const running = new Map<string, Promise<void>>();

  const turn = async ({ name, everySeconds, isShared, run }: Job) => {
    if (isShared) return await run(ending.signal);
    if (!(await leases.hold(name, holder, LEASE_SECONDS))) return;
    // At the end it is handed on, though the work take longer than the end does.
    const hold = async (seconds: number) => ending.signal.aborted || (await leases.hold(name, holder, seconds).catch(() => false));
    let renewed: Promise<unknown> = Promise.resolve();
    const renewal = setInterval(() => {
      renewed = hold(LEASE_SECONDS);
    }, RENEW_MS);
    try {
      await run(ending.signal);
    } finally {
      clearInterval(renewal);
      await renewed; // or it would shorten the rest
      // Until our next turn has come: else another replica would do at its own what was just done. A short lease covers a short rhythm.
      if (everySeconds * 2 > LEASE_SECONDS) await hold(everySeconds + LEASE_SECONDS);
    }
  };
  const begin = async (job: Job) => {
    if (ending.signal.aborted || running.has(job.name)) return;
    const turned = turn(job)
      .catch((error) => {
        if (!ending.signal.aborted) onError(job.name, error);
      })
      .finally(() => running.delete(job.name));
    running.set(job.name, turned);
    await turned;
  };
  const timers = jobs.map((job) => setInterval(begin, job.everySeconds * 1000, job));
  // One after the other, or a process that starts would take a handful of connections at once.
  const first = (async () => {
    for (const job of jobs) await begin(job);
  })();

  return {
    async stop() {
      ending.abort(new Error('the service stops'));
      for (const timer of timers) clearInterval(timer);
      await Promise.race([Promise.all([first, ...running.values()]), delay(STOP_MS, undefined, { ref: false })]);
      // When the database is away, the leases run out by themselves.
      await leases.release(holder).catch(() => {});
    },
  };
}
