import type { Sql } from 'postgres';
import type { HotPaths, Rotation } from '#application/ports/hot-paths.ts';
import { AUDIT_EVENTS } from '#domain/audit-event.ts';
import { after } from '#domain/lifetimes.ts';
import { enqueue, record } from './parts.ts';
import { type AccountRow, accountOf, literalOf, type SessionRow, sessionOf } from './rows.ts';
import { sessionColumns } from './session-rows.ts';

/** The statements of HotPaths.rotate. Which one a token meets is decided by the row, under its lock, and by nothing else. */

type Use = Parameters<HotPaths['rotate']>[0];
type Row = SessionRow & AccountRow & { refresh_counter: number };
type Seen = { seen_id: string; seen_counter: number };

/** What became of a use: moved on, or met a row that it may not move, or none that is free. */
type Moved = Rotation | 'refused' | 'held';

/**
 * The newest token moves the counter on; the one before it, within the grace, finds it moved. Any other moves nothing.
 * Several sessions at once, each at most once. None waits for a row that somebody holds: only its own caller does, see `isPatient`.
 */
export async function rotate(sql: Sql, uses: readonly Use[], { isPatient } = { isPatient: false }): Promise<Moved[]> {
  const column = (of: (use: Use) => string | number | Date | Buffer | null) => literalOf(uses.map(of));
  // `seen` holds the rows' locks, so they are the newest versions: after the update nobody could tell who moved the counter. Whether a
  // session is live is asked there, where its row is found by its id; where it is moved, an index that knows the live ones would be read whole.
  // Where there is no grace its beginning is null: later than any instant.
  const rows = await sql<(Partial<Row> & Seen)[]>`
    with uses as (
      select * from unnest(
        ${column((use) => use.sessionId)}::text::uuid[], ${column((use) => use.secretHash)}::text::bytea[],
        ${column((use) => use.counter)}::text::int[], ${column((use) => use.at)}::text::timestamptz[],
        ${column(graceBeganAt)}::text::timestamptz[], ${column((use) => after(use.at, use.idleSeconds))}::text::timestamptz[],
        ${column((use) => use.client.ip)}::text::text[], ${column((use) => use.client.userAgent)}::text::text[],
        ${column((use) => use.event.id)}::text::uuid[], ${column((use) => use.event.type)}::text::text[],
        ${column((use) => use.event.requestId)}::text::text[], ${column((use) => use.event.risk)}::text::smallint[]
      ) as u (session_id, secret_hash, counter, at, grace_began_at, idle_end_at, ip, user_agent, event_id, type, request_id, risk)
    ), seen as (
      select uses.*, s.refresh_counter as seen_counter, s.revoked_at is null as is_live from uses join sessions s on s.id = uses.session_id
      for no key update of s ${isPatient ? sql`` : sql`skip locked`}
    ), moved as (
      update sessions s set
        refresh_counter = u.counter + 1,
        rotated_at = case when s.refresh_counter = u.counter then u.at else s.rotated_at end,
        last_seen_at = u.at, ip = u.ip, user_agent = u.user_agent,
        idle_end_at = case when s.refresh_counter = u.counter then least(u.idle_end_at, s.absolute_end_at) else s.idle_end_at end
      from accounts a, seen u
      where s.id = u.session_id and a.id = s.account_id and s.security_stamp >= a.security_stamp and s.refresh_secret_hash = u.secret_hash
        and u.is_live and s.idle_end_at > u.at and s.absolute_end_at > u.at
        and (s.refresh_counter = u.counter or (s.refresh_counter = u.counter + 1 and s.rotated_at > u.grace_began_at))
      returning ${sessionColumns(sql)}, s.refresh_counter,
        a.email, a.email_verified_at, a.username, a.display_name, null as password_hash, false as is_password_withdrawn, a.status, a.roles, a.created_at as account_created_at
    ), logged as (
      insert into audit_events (id, occurred_at, type, account_id, session_id, ip, user_agent, request_id, risk, details)
      select u.event_id, u.at, u.type, m.account_id, m.session_id, m.ip, m.user_agent, u.request_id, u.risk, '{}'::jsonb
      from moved m join seen u on u.session_id = m.session_id
    )
    select seen.session_id as seen_id, seen.seen_counter, moved.* from seen left join moved on moved.session_id = seen.session_id`;
  const bySession = new Map(rows.map((row) => [row.seen_id, row]));
  return uses.map(({ sessionId, counter }) => {
    const row = bySession.get(sessionId);
    if (!row) return isPatient ? 'refused' : 'held';
    if (!isMoved(row)) return 'refused';
    const outcome = row.seen_counter === counter ? 'rotated' : 'retried';
    return { outcome, session: sessionOf(row), account: accountOf(row), counter: row.refresh_counter };
  });
}

function isMoved(row: Partial<Row> & Seen): row is Row & Seen {
  return row.session_id !== null;
}

function graceBeganAt({ at, graceSeconds }: Use): Date | null {
  return graceSeconds > 0 ? after(at, -graceSeconds) : null;
}

/**
 * An older token of a living session: one of two holders is a thief. Of many at once exactly one ends it. Where there is a grace, a use
 * that came before the rotation that made it old, and had to wait, is a late one: its client asked again elsewhere and went on. It is
 * refused and ends nothing. Of one that is older still that is not believed: a thief who goes on fast would hide behind his own rotations.
 * The account comes first, as for whoever erases it: the mail needs it.
 */
export async function endReused(
  sql: Sql,
  { sessionId, secretHash, counter, at, graceSeconds, event, theftMail }: Use,
): Promise<Rotation | null> {
  const reused = { ...event, type: 'REFRESH_TOKEN_REUSED', risk: AUDIT_EVENTS.REFRESH_TOKEN_REUSED.risk } as const;
  const [row] = await sql<Row[]>`
    with owner as materialized (
      select a.* from sessions s join accounts a on a.id = s.account_id where s.id = ${sessionId} for key share of a
    ), ended as (
      update sessions s set revoked_at = ${at}, revoked_reason = 'refresh-token-reused'
      from owner a
      where s.id = ${sessionId} and a.id = s.account_id and s.security_stamp >= a.security_stamp
        and s.refresh_secret_hash = ${secretHash} and s.revoked_at is null
        and s.idle_end_at > ${at} and s.absolute_end_at > ${at} and s.refresh_counter > ${counter}
        and not coalesce(s.refresh_counter = ${counter}::int + 2 and s.rotated_at > ${at} and s.rotated_at < ${after(at, graceSeconds)}, false)
      returning ${sessionColumns(sql)}, s.refresh_counter,
        a.email, a.email_verified_at, a.username, a.display_name, null as password_hash, false as is_password_withdrawn, a.status, a.roles, a.created_at as account_created_at
    ), logged as (${record(sql, reused, { accountId: sql`account_id`, from: sql`from ended` })}),
    mailed as (${enqueue(sql, theftMail(), at, sql`select account_id, email from ended`)})
    select * from ended`;
  return row ? { outcome: 'reused', session: sessionOf(row), account: accountOf(row), counter: row.refresh_counter } : null;
}
