import type { Database } from './database.ts';

export type Leases = {
  /** Takes or renews it. @returns false while another holds it */
  hold(job: string, holder: string, seconds: number): Promise<boolean>;
  /** All that this one holds. */
  release(holder: string): Promise<void>;
};

/**
 * One runner a job among replicas. Rows, because locks of a session are lost behind PgBouncer in transaction mode. By the
 * database's clock, which all replicas share. Who pauses for longer than the lease may run beside its successor: each job is safe
 * then too, this only keeps them from doing the work twice.
 */
export function postgresLeases({ sql, within }: Database): Leases {
  return {
    hold: (job, holder, seconds) =>
      within(async () => {
        const { count } = await sql`
          insert into leases as l (job, holder, held_until) values (${job}, ${holder}, now() + ${seconds}::int * interval '1 second')
          on conflict (job) do update set holder = excluded.holder, held_until = excluded.held_until
          where l.holder = excluded.holder or l.held_until <= now()`;
        return count === 1;
      }),
    release: (holder) =>
      within(async () => {
        await sql`delete from leases where holder = ${holder}`;
      }),
  };
}
