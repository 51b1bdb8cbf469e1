import type { Sql } from 'postgres';
import type { HotPaths } from '#application/ports/hot-paths.ts';
import type { Authenticated } from '#application/ports/sessions.ts';
import { after } from '#domain/lifetimes.ts';
import { arrayOf, authenticatedOf, type FoundRow } from './rows.ts';
import { lives, sessionColumns } from './session-rows.ts';

export type Asked = { sessionId: string; at: Date };

/** The statement of HotPaths.authenticate, for several access tokens at once; each is asked about at its own time. */
export async function authenticate(sql: Sql, asked: readonly Asked[]): Promise<(Authenticated | null)[]> {
  const ids = new Set(asked.map(({ sessionId }) => sessionId));
  const rows = await sql<FoundRow[]>`
    select ${foundColumns(sql)} from sessions s join accounts a on a.id = s.account_id
    where s.id = any(${arrayOf([...ids])}::text::uuid[])`;
  const found = new Map(rows.map((row) => [row.session_id, row]));
  return asked.map(({ sessionId, at }) => {
    const row = found.get(sessionId);
    return row ? authenticatedOf(row, at) : null;
  });
}

/** The statement of HotPaths.authenticateByCookie. Of several requests at once one writes: the others find the row written. */
export async function authenticateByCookie(
  sql: Sql,
  [cookieHash, client, { idleSeconds, touchSeconds }, at]: Parameters<HotPaths['authenticateByCookie']>,
): Promise<Authenticated | null> {
  const [row] = await sql<FoundRow[]>`
    with touched as (
      update sessions s set last_seen_at = ${at}, ip = ${client.ip}, user_agent = ${client.userAgent},
        idle_end_at = least(${after(at, idleSeconds)}::timestamptz, s.absolute_end_at)
      where s.cookie_hash = ${cookieHash} and s.last_seen_at <= ${after(at, -touchSeconds)} and ${lives(sql, at)}
    )
    select ${foundColumns(sql)} from sessions s join accounts a on a.id = s.account_id where s.cookie_hash = ${cookieHash}`;
  return row ? authenticatedOf(row, at) : null;
}

function foundColumns(sql: Sql) {
  return sql`${sessionColumns(sql)}, s.revoked_reason, s.security_stamp <> a.security_stamp as is_outdated,
    a.email, a.email_verified_at, a.username, a.display_name, null as password_hash, false as is_password_withdrawn, a.status, a.roles, a.created_at as account_created_at`;
}
