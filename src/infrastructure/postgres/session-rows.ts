import type { NewSession } from '#application/ports/sessions.ts';
import type { Handle } from './connect.ts';
import { arrayOf } from './rows.ts';

/** The insert of a session of the account that the rest of the statement gives as `id` with its `security_stamp`: "from …" must follow. */
export function insertSession(sql: Handle, session: NewSession) {
  return sql`
    insert into sessions (id, account_id, transport, device, ip, user_agent, amr, acr, proofs, auth_time, created_at, last_seen_at,
      idle_end_at, absolute_end_at, refresh_secret_hash, cookie_hash, device_id, device_kind, security_stamp)
    select ${session.id}::uuid, id, ${session.transport}::text, ${session.device}::text, ${session.ip}::text, ${session.userAgent}::text,
      ${arrayOf(session.amr)}::text::text[], ${session.acr}::text, ${JSON.stringify(session.proofs)}::text::jsonb,
      ${session.authTime}::timestamptz, ${session.createdAt}::timestamptz, ${session.lastSeenAt}::timestamptz,
      ${session.idleEndAt}::timestamptz, ${session.absoluteEndAt}::timestamptz, ${session.refreshSecretHash}::bytea, ${session.cookieHash}::bytea,
      ${session.deviceId}::uuid, ${session.deviceKind}::text, security_stamp`;
}

/** The columns of a `SessionRow`. */
export function sessionColumns(sql: Handle) {
  return sql`s.id as session_id, s.account_id, s.transport, s.device, s.device_id, s.device_kind, s.moved_to, s.cookie_hash, s.ip, s.user_agent, s.amr, s.acr, s.auth_time,
    s.created_at as session_created_at, s.last_seen_at, s.idle_end_at, s.absolute_end_at`;
}

/**
 * Whether the session `s` lives. A stamp older than its account's ends it, whether or not anybody has marked its row. One that is newer
 * was kept while this statement waited for its row, and what it knows of the account is from before.
 */
export function lives(sql: Handle, at: Date) {
  return sql`s.revoked_at is null and s.idle_end_at > ${at} and s.absolute_end_at > ${at}
    and s.security_stamp >= (select a.security_stamp from accounts a where a.id = s.account_id)`;
}
