import type { Sql } from 'postgres';
import type { HotPaths } from '#application/ports/store.ts';
import { type AccountRow, accountOf, arrayOf, type SessionRow, sessionOf } from './rows.ts';

export type Asked = { sessionId: string; at: Date };
type Live = Awaited<ReturnType<HotPaths['authenticate']>>;

/** The statement of HotPaths.authenticate, for several access tokens at once; each is asked about at its own time. */
export async function authenticate(sql: Sql, asked: readonly Asked[]): Promise<Live[]> {
  const ids = new Set(asked.map(({ sessionId }) => sessionId));
  const rows = await sql<(SessionRow & AccountRow)[]>`
    select s.id as session_id, s.account_id, s.transport, s.device, s.ip, s.user_agent, s.amr, s.acr, s.auth_time,
      s.created_at as session_created_at, s.last_seen_at, s.idle_end_at, s.absolute_end_at,
      a.email, a.email_verified_at, a.username, a.display_name, null as password_hash, a.status, a.roles,
      a.created_at as account_created_at
    from sessions s join accounts a on a.id = s.account_id
    where s.id = any(${arrayOf([...ids])}::text::uuid[]) and s.revoked_at is null`;
  const live = new Map(rows.map((row) => [row.session_id, { session: sessionOf(row), account: accountOf(row) }]));
  return asked.map(({ sessionId, at }) => {
    const found = live.get(sessionId);
    return found && found.session.idleEndAt > at && found.session.absoluteEndAt > at ? found : null;
  });
}
