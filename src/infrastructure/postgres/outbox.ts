import type { ClaimedMessage, Outbox } from '#application/ports/store.ts';
import type { Database } from './connect.ts';

type MessageRow = {
  id: string;
  kind: ClaimedMessage['kind'];
  recipient: string;
  template: string;
  sealed: Buffer;
  expires_at: Date;
  attempts: number;
};

/** A provider's words are kept as far as they help. */
const LONGEST_ERROR = 500;

/** The outbox for its workers. A claim moves the next attempt behind the lease: a worker that dies loses nothing. */
export function postgresOutbox({ sql, within }: Database): Outbox {
  return {
    claim: (limit, leaseSeconds, at) =>
      within(async () => {
        const leasedUntil = new Date(at.getTime() + leaseSeconds * 1000);
        const rows = await sql<MessageRow[]>`
          update outbox set attempts = attempts + 1, next_attempt_at = ${leasedUntil}
          where id in (
            select id from outbox where sent_at is null and failed_at is null and next_attempt_at <= ${at}
            order by next_attempt_at limit ${limit} for update skip locked
          )
          returning id, kind, recipient, template, sealed, expires_at, attempts`;
        return rows.map(({ expires_at, ...row }) => ({ ...row, expiresAt: expires_at }));
      }),
    markSent: (id, providerId, at) =>
      within(async () => {
        await sql`update outbox set sent_at = ${at}, provider_id = ${providerId}, sealed = null, last_error = null
          where id = ${id} and sent_at is null and failed_at is null`;
      }),
    markFailed: (id, error, nextAttemptAt, at) =>
      within(async () => {
        const reason = error.slice(0, LONGEST_ERROR).replaceAll('\0', '').toWellFormed();
        // A worker whose lease ran out while it tried changes nothing about what another one has sent meanwhile.
        const waits = sql`id = ${id} and sent_at is null and failed_at is null`;
        if (nextAttemptAt) await sql`update outbox set next_attempt_at = ${nextAttemptAt}, last_error = ${reason} where ${waits}`;
        else await sql`update outbox set failed_at = ${at}, last_error = ${reason}, sealed = null where ${waits}`;
      }),
    backlog: (at) =>
      within(async () => {
        const [row] = await sql<{ waiting: number; oldest: Date | null }[]>`
          select count(*)::int as waiting, min(created_at) as oldest from outbox where sent_at is null and failed_at is null`;
        const oldestSeconds = row?.oldest ? Math.max(0, (at.getTime() - row.oldest.getTime()) / 1000) : 0;
        return { waiting: row?.waiting ?? 0, oldestSeconds };
      }),
  };
}
