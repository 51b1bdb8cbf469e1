import type { ClaimedMessage, Outbox } from '#application/ports/outbox.ts';
import type { Database } from './database.ts';
import { literalOf } from './rows.ts';
import { dayOf, smsOf } from './sms-days.ts';

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
const LONGEST_WORDS = 500;
const TIDY_BATCH = 1000;

/** Held for this long by the database's clock, though our own be so far behind that the lease would be over at once. */
const SHORTEST_LEASE_SECONDS = 30;

/**
 * The outbox for its workers. What is due is due by the clock that is further on, ours or the database's: one that was set back by an
 * hour must not keep the mail of that hour waiting. A claim moves the next attempt behind the lease: a worker that dies loses nothing.
 */
export function postgresOutbox({ sql, within }: Database): Outbox {
  const due = (kind: ClaimedMessage['kind'], limit: number, at: Date) => sql`
    select id from outbox where kind = ${kind} and sent_at is null and failed_at is null
      and next_attempt_at <= greatest(${at}::timestamptz, now())
    order by next_attempt_at limit ${limit} for update skip locked`;
  /** Until one is not full: a fixed number a minute would fall behind those who send more. Each has the time of a statement. */
  const inBatches = async (statement: () => PromiseLike<{ count: number }>) => {
    while ((await within(statement)).count === TIDY_BATCH);
  };

  return {
    claim: (limits, leasedUntil, at) =>
      within(async () => {
        const rows = await sql<MessageRow[]>`
          with mails as (${due('email', limits.email, at)}), texts as (${due('sms', limits.sms, at)})
          update outbox set attempts = attempts + 1, next_attempt_at = greatest(${leasedUntil}::timestamptz, now() + ${SHORTEST_LEASE_SECONDS}::int * interval '1 second')
          where id in (select id from mails union all select id from texts)
          returning id, kind, recipient, template, sealed, expires_at, attempts`;
        return rows.map(({ expires_at, ...row }) => ({ ...row, expiresAt: expires_at }));
      }),
    release: (leases, at) =>
      within(async () => {
        await sql`
          update outbox set next_attempt_at = ${at}
          where kind in ('email', 'sms') and next_attempt_at = any(${literalOf(leases)}::text::timestamptz[])
            and sent_at is null and failed_at is null`;
      }),
    markSent: (id, providerId, at) =>
      within(async () => {
        await sql`update outbox set sent_at = ${at}, provider_id = ${providerId && storable(providerId)}, sealed = null, last_error = null, reply_code = null
          where id = ${id} and sent_at is null and failed_at is null`;
      }),
    markFailed: ({ id, attempts }, { kind, reason, replyCode }, nextAttemptAt, at) =>
      within(async () => {
        const words = storable(reason);
        // The count tells claims apart: a worker whose lease ran out says nothing about the attempt of the next one.
        const waits = sql`id = ${id} and attempts = ${attempts} and sent_at is null and failed_at is null`;
        if (nextAttemptAt) {
          await sql`update outbox set next_attempt_at = ${nextAttemptAt}, last_error = ${words}, reply_code = ${replyCode} where ${waits}`;
          return;
        }
        await sql`
          update outbox set failed_at = ${at}, failure = ${kind}, reply_code = ${replyCode},
            last_error = case when ${kind} = 'expired' then coalesce(last_error, ${words}) else ${words} end,
            sealed = case when expires_at > ${at} then sealed end
          where ${waits}`;
      }),
    async tidy(keptSince, at) {
      await inBatches(
        () => sql`
          update outbox set sealed = null where id in (
            select id from outbox where failed_at is not null and sealed is not null and expires_at <= ${at}
            limit ${TIDY_BATCH} for update skip locked)`,
      );
      await inBatches(
        () => sql`
          delete from outbox where id in (
            select id from outbox where (sent_at is not null or failed_at is not null) and created_at < ${keptSince}
            limit ${TIDY_BATCH} for update skip locked)`,
      );
      await within(() => sql`delete from sms_days where day < ${dayOf(keptSince)}::date`);
    },
    smsOf: (at) => within(() => smsOf(sql, at)),
    backlog: (at) =>
      within(async () => {
        const [row] = await sql<{ waiting: number; oldest: Date | null }[]>`
          select count(*)::int as waiting, min(created_at) as oldest from outbox where sent_at is null and failed_at is null`;
        const oldestSeconds = row?.oldest ? Math.max(0, (at.getTime() - row.oldest.getTime()) / 1000) : 0;
        return { waiting: row?.waiting ?? 0, oldestSeconds };
      }),
  };
}

/** What PostgreSQL takes for text, whatever a provider answers: a mark must not fail, or the message would be sent again. */
function storable(words: string): string {
  return words.slice(0, LONGEST_WORDS).replaceAll('\0', '').toWellFormed();
}
