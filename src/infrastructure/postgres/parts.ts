import type { Fragment } from 'postgres';
import type { OutboxMessage } from '#application/ports/outbox.ts';
import type { AuditEvent } from '#domain/audit-event.ts';
import type { Handle } from './connect.ts';

/** Pieces that several statements are made of, so that a flow's commit is one statement (docs/architecture.md). */

/** The insert of an event; what a statement's outcome decides can be given as SQL, and rows come from `from`. */
export function record(
  sql: Handle,
  event: AuditEvent,
  by: { type?: Fragment; risk?: Fragment; accountId?: Fragment; details?: Fragment; from?: Fragment; id?: Fragment } = {},
) {
  return sql`
    insert into audit_events (id, occurred_at, type, account_id, session_id, ip, user_agent, request_id, risk, details)
    select ${by.id ?? sql`${event.id}::uuid`}, ${event.occurredAt}::timestamptz, ${by.type ?? sql`${event.type}::text`},
      ${by.accountId ?? sql`${event.accountId}::uuid`}, ${event.sessionId}::uuid, ${event.ip}::text, ${event.userAgent}::text,
      ${event.requestId}::text, ${by.risk ?? sql`${event.risk}::smallint`},
      ${by.details ?? sql`${JSON.stringify(event.details)}::text::jsonb`}
    ${by.from ?? sql``}`;
}

/** The insert of a message to each account that `to` selects as (id, address). */
export function enqueue(sql: Handle, message: OutboxMessage, at: Date, to: Fragment, afterSeconds = 0) {
  return sql`
    insert into outbox (id, kind, account_id, recipient, template, sealed, created_at, next_attempt_at, expires_at)
    select ${message.id}::uuid, ${message.kind}::text, receiver.id, receiver.email, ${message.template}::text, ${message.sealed}::bytea,
      ${at}::timestamptz + make_interval(secs => ${afterSeconds}), ${dueAtOnce(sql, at)} + make_interval(secs => ${afterSeconds}),
      ${message.expiresAt}::timestamptz
    from (${to}) as receiver (id, email)`;
}

/** When a new message may be sent: now, though our clock be an hour ahead. Else it would wait until then once that is set right. */
export function dueAtOnce(sql: Handle, at: Date) {
  return sql`least(${at}::timestamptz, now())`;
}

/** What stands beside the password of the account `id`, as an array of words. */
export function secondFactors(sql: Handle, id: Fragment) {
  return sql`array_remove(array[
    case when exists (select from passkeys k where k.account_id = ${id}) then 'webauthn' end,
    case when exists (select from totp_authenticators o where o.account_id = ${id} and o.activated_at is not null) then 'totp' end,
    case when exists (select from phones p where p.account_id = ${id}) then 'sms' end,
    case when exists (select from recovery_codes c where c.account_id = ${id} and c.used_at is null) then 'recovery_code' end], null)`;
}

/** Whether a password alone is too little for the account `id`: the same as `hasSecondFactor` in the domain. */
export function holdsSecondFactor(sql: Handle, id: Fragment) {
  return sql`(exists (select from passkeys k where k.account_id = ${id})
    or exists (select from totp_authenticators o where o.account_id = ${id} and o.activated_at is not null)
    or exists (select from phones p where p.account_id = ${id}))`;
}
