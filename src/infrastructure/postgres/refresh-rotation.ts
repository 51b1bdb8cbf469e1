import type { Sql } from 'postgres';
import type { HotPaths, Rotation } from '#application/ports/store.ts';
import { AUDIT_EVENTS } from '#domain/audit-event.ts';
import { enqueue, record } from './parts.ts';
import { type AccountRow, accountOf, type SessionRow, sessionOf } from './rows.ts';

/** The two statements of HotPaths.rotate. Which one a token meets is decided by the row, under its lock, and by nothing else. */

type Use = Parameters<HotPaths['rotate']>[0];
type Row = SessionRow & AccountRow & { refresh_counter: number };

/** The newest token moves the counter on; the one before it, within the grace, finds it moved. Any other meets no row. */
export async function rotate(
  sql: Sql,
  { sessionId, secretHash, counter, at, graceSeconds, idleSeconds, client, event }: Use,
): Promise<Rotation | null> {
  const graceBeganAt = graceSeconds > 0 ? new Date(at.getTime() - graceSeconds * 1000) : null; // null: later than any instant
  const idleEndAt = new Date(at.getTime() + idleSeconds * 1000);
  // `seen` holds the row's lock, so it is the newest version: after the update nobody could tell who moved the counter.
  const [row] = await sql<(Row & { seen_counter: number })[]>`
    with seen as (
      select id, refresh_counter from sessions where id = ${sessionId} for no key update
    ), moved as (
      update sessions s set
        refresh_counter = ${counter}::int + 1,
        rotated_at = case when s.refresh_counter = ${counter} then ${at}::timestamptz else s.rotated_at end,
        last_seen_at = ${at}, ip = ${client.ip}, user_agent = ${client.userAgent},
        idle_end_at = case when s.refresh_counter = ${counter} then least(${idleEndAt}::timestamptz, s.absolute_end_at) else s.idle_end_at end
      from accounts a, seen
      where s.id = seen.id and a.id = s.account_id and s.refresh_secret_hash = ${secretHash} and s.revoked_at is null
        and s.idle_end_at > ${at} and s.absolute_end_at > ${at}
        and (s.refresh_counter = ${counter} or (s.refresh_counter = ${counter}::int + 1 and s.rotated_at > ${graceBeganAt}))
      returning s.id as session_id, s.account_id, s.transport, s.device, s.ip, s.user_agent, s.amr, s.acr, s.auth_time,
        s.created_at as session_created_at, s.last_seen_at, s.idle_end_at, s.absolute_end_at, s.refresh_counter,
        seen.refresh_counter as seen_counter,
        a.email, a.email_verified_at, a.username, a.display_name, null as password_hash, a.status, a.roles, a.created_at as account_created_at
    ), logged as (
      insert into audit_events (id, occurred_at, type, account_id, session_id, ip, user_agent, request_id, risk, details)
      select ${event.id}::uuid, ${at}::timestamptz, ${event.type}::text, account_id, session_id, ip, user_agent, ${event.requestId}::text,
        ${event.risk}::smallint, '{}'::jsonb from moved
    )
    select * from moved`;
  if (!row) return null;
  const outcome = row.seen_counter === counter ? 'rotated' : 'retried';
  return { outcome, session: sessionOf(row), account: accountOf(row), counter: row.refresh_counter };
}

/** An older token of a living session: one of two holders is a thief. Of many at once exactly one ends it. */
export async function endReused(sql: Sql, { sessionId, secretHash, counter, at, event, theftMail }: Use): Promise<Rotation | null> {
  const reused = { ...event, type: 'REFRESH_TOKEN_REUSED', risk: AUDIT_EVENTS.REFRESH_TOKEN_REUSED.risk } as const;
  const [row] = await sql<Row[]>`
    with ended as (
      update sessions s set revoked_at = ${at}, revoked_reason = 'refresh-token-reused'
      from accounts a
      where s.id = ${sessionId} and a.id = s.account_id and s.refresh_secret_hash = ${secretHash} and s.revoked_at is null
        and s.idle_end_at > ${at} and s.absolute_end_at > ${at} and s.refresh_counter > ${counter}
      returning s.id as session_id, s.account_id, s.transport, s.device, s.ip, s.user_agent, s.amr, s.acr, s.auth_time,
        s.created_at as session_created_at, s.last_seen_at, s.idle_end_at, s.absolute_end_at, s.refresh_counter,
        a.email, a.email_verified_at, a.username, a.display_name, null as password_hash, a.status, a.roles, a.created_at as account_created_at
    ), logged as (${record(sql, reused, { accountId: sql`account_id`, from: sql`from ended` })}),
    mailed as (${enqueue(sql, theftMail(), at, sql`select account_id, email from ended`)})
    select * from ended`;
  return row ? { outcome: 'reused', session: sessionOf(row), account: accountOf(row), counter: row.refresh_counter } : null;
}
