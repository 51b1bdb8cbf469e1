import { randomUUID } from 'node:crypto';
import type { Job } from '#application/maintenance.ts';

type Leases = {
  hold(job: string, holder: string, seconds: number): Promise<boolean>;
  release(job: string, holder: string): Promise<void>;
};

/** A runner that died is followed after this long. */
const LEASE_SECONDS = 30;
const RENEW_MS = (LEASE_SECONDS * 1000) / 3;

/**
 * Runs each job at once and then in its rhythm, wherever nobody else does. A run that fails is told of, and the next one tries again.
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

  const turn = async ({ name, everySeconds, run }: Job) => {
    const seconds = Math.max(LEASE_SECONDS, everySeconds * 2);
    if (!(await leases.hold(name, holder, seconds))) return;
    const renewal = setInterval(() => leases.hold(name, holder, seconds).catch(() => {}), RENEW_MS);
    try {
      await run(ending.signal);
    } finally {
      clearInterval(renewal);
    }
  };
  const begin = (job: Job) => {
    if (ending.signal.aborted || running.has(job.name)) return;
    const turned = turn(job)
      .catch((error) => {
        if (!ending.signal.aborted) onError(job.name, error);
      })
      .finally(() => running.delete(job.name));
    running.set(job.name, turned);
  };
  const timers = jobs.map((job) => setInterval(begin, job.everySeconds * 1000, job));
  for (const job of jobs) begin(job);

  return {
    async stop() {
      ending.abort(new Error('the service stops'));
      for (const timer of timers) clearInterval(timer);
      await Promise.all(running.values());
      // When the database is away, the leases run out by themselves.
      await Promise.all(jobs.map(({ name }) => leases.release(name, holder).catch(() => {})));
    },
  };
}
