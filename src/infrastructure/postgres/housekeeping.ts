import type { Housekeeping } from '#application/maintenance.ts';
import type { Database } from './database.ts';
import { ensureAuditPartitions } from './migrate.ts';

/**
 * Removes what nothing asks for any more: a batch a statement, found by an index, without waiting for rows that somebody holds.
 * Whichever replicas do it at once never wait for each other, and one that dies leaves the rest for the next run.
 */
export function postgresHousekeeping({ sql, within }: Database): Housekeeping {
  return {
    removeTickets: (expiredBefore, limit) =>
      within(async () => {
        const { count } = await sql`
          delete from tickets where id in (
            select id from tickets where expires_at < ${expiredBefore} order by expires_at limit ${limit} for update skip locked)`;
        return count;
      }),
    removeSessions: (endedBefore, limit) =>
      within(async () => {
        const { count } = await sql`
          delete from sessions where id in (
            select id from sessions where absolute_end_at < ${endedBefore} order by absolute_end_at limit ${limit} for update skip locked)`;
        return count;
      }),
    // Wrong second factors count however slowly they come: their lane, 'any', is not forgotten.
    removeThrottles: (failedBefore, limit) =>
      within(async () => {
        const { count } = await sql`
          delete from login_throttles where (identifier_hash, network) in (
            select identifier_hash, network from login_throttles
            where last_failed_at < ${failedBefore} and network <> 'any' and (locked_until is null or locked_until < ${failedBefore})
            order by last_failed_at limit ${limit} for update skip locked)`;
        return count;
      }),
    makeMonths: (now) => within(() => ensureAuditPartitions(sql, now)),
  };
}
