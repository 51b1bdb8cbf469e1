import type { Sql } from 'postgres';
import type { HotPaths } from '#application/ports/store.ts';
import { AUDIT_EVENTS } from '#domain/audit-event.ts';
import type { Database } from './connect.ts';
import { enqueue, record } from './parts.ts';
import { accountColumns, sessionColumns } from './reads.ts';
import { register } from './register.ts';
import { type AccountRow, accountOf, type SessionRow, sessionOf } from './rows.ts';
import { countFailure, findForSignIn, openSession } from './sign-in.ts';

/** Each verb a whole flow's commit in one statement, one round trip (DESIGN 5). */
export function hotPaths(sql: Sql, within: Database['within']): HotPaths {
  return {
    register: (registration) => register(sql, within, registration),
    findForSignIn: (identifier, key, at) => within(() => findForSignIn(sql, identifier, key, at)),
    countFailure: (key, policy, event) => within(() => countFailure(sql, key, policy, event)),
    openSession: (input) => within(() => openSession(sql, input)),

    authenticate: (sessionId, at) =>
      within(async () => {
        const [row] = await sql<(SessionRow & AccountRow)[]>`
          select s.id as session_id, s.account_id, s.transport, s.device, s.ip, s.user_agent, s.amr, s.acr, s.auth_time,
            s.created_at as session_created_at, s.last_seen_at, s.idle_end_at, s.absolute_end_at,
            a.email, a.email_verified_at, a.username, a.display_name, null as password_hash, a.status, a.roles,
            a.created_at as account_created_at
          from sessions s join accounts a on a.id = s.account_id
          where s.id = ${sessionId} and s.revoked_at is null and s.idle_end_at > ${at} and s.absolute_end_at > ${at}`;
        return row ? { session: sessionOf(row), account: accountOf(row) } : null;
      }),

    rotate: ({ sessionId, secretHash, counter, at, graceSeconds, idleSeconds, client, event, theftMail }) =>
      within(async () => {
        const graceBeganAt = new Date(at.getTime() - graceSeconds * 1000);
        const idleEndAt = new Date(at.getTime() + idleSeconds * 1000);
        const [row] = await sql<(SessionRow & AccountRow & { refresh_counter: number; rotated_at: Date; revoked_at: Date | null })[]>`
          with moved as (
            update sessions s set
              refresh_counter = case when s.refresh_counter = ${counter} then s.refresh_counter + 1 else s.refresh_counter end,
              rotated_at = case when s.refresh_counter = ${counter} then ${at}::timestamptz else s.rotated_at end,
              last_seen_at = case when s.refresh_counter = ${counter} then ${at}::timestamptz else s.last_seen_at end,
              ip = case when s.refresh_counter = ${counter} then ${client.ip}::text else s.ip end,
              user_agent = case when s.refresh_counter = ${counter} then ${client.userAgent}::text else s.user_agent end,
              idle_end_at = case when s.refresh_counter = ${counter} then least(${idleEndAt}::timestamptz, s.absolute_end_at) else s.idle_end_at end,
              revoked_at = case when s.refresh_counter = ${counter}
                or (s.refresh_counter = ${counter}::int + 1 and s.rotated_at > ${graceBeganAt}) then null else ${at}::timestamptz end,
              revoked_reason = case when s.refresh_counter = ${counter}
                or (s.refresh_counter = ${counter}::int + 1 and s.rotated_at > ${graceBeganAt}) then null else 'refresh-token-reused' end
            from accounts a
            where s.id = ${sessionId} and a.id = s.account_id and s.refresh_secret_hash = ${secretHash} and s.revoked_at is null
              and s.idle_end_at > ${at} and s.absolute_end_at > ${at} and s.refresh_counter >= ${counter}
            returning ${sessionColumns(sql)}, a.email, a.email_verified_at, a.username, a.display_name, null as password_hash, a.status,
              a.roles, a.created_at as account_created_at, s.refresh_counter, s.rotated_at, s.revoked_at
          ), logged as (${record(sql, event, {
            type: sql`case when revoked_at is null then 'TOKEN_REFRESHED' else 'REFRESH_TOKEN_REUSED' end`,
            risk: sql`case when revoked_at is null then 0 else ${AUDIT_EVENTS.REFRESH_TOKEN_REUSED.risk}::int end`,
            accountId: sql`account_id`,
            from: sql`from moved`,
          })}), mailed as (${enqueue(sql, theftMail, at, sql`select account_id, email from moved where revoked_at is not null`)})
          select * from moved`;
        if (!row) return null;
        const outcome = row.revoked_at ? 'reused' : row.rotated_at.getTime() === at.getTime() ? 'rotated' : 'retried';
        return { outcome, session: sessionOf(row), account: accountOf(row), counter: row.refresh_counter };
      }),

    sendLink: ({ email, to, ticket, mail, event, at }) =>
      within(async () => {
        const known = sql`jsonb_build_object('known', exists (select from account))`;
        const account = sql`account as (
          select a.id, a.email from accounts a where a.email_canonical = ${email.canonical} and a.status = 'active'
            and (${to === 'active'} or a.email_verified_at is null))`;
        const logged = record(sql, event, { accountId: sql`(select id from account)`, details: known });
        if (mail === null) {
          await sql`with ${account} ${logged}`;
          return false;
        }
        // A newer reset link kills older ones. A confirmation link leaves them alone, or a stranger could kill the one that carries
        // its owner's registration; it carries on what the last registration asked for.
        const rows = await sql`
          with ${account}, cancelled as (
            update tickets set used_at = ${at} from account
            where tickets.account_id = account.id and purpose = ${ticket.purpose} and purpose = 'reset-password' and used_at is null
          ), issued as (
            insert into tickets (id, purpose, account_id, secret_hash, pending, created_at, expires_at)
            select ${ticket.id}::uuid, ${ticket.purpose}::text, account.id, ${ticket.secretHash}::bytea,
              (select t.pending from tickets t where t.account_id = account.id and t.purpose = ${ticket.purpose} and t.used_at is null
                and t.expires_at > ${at} order by t.pending is null, t.created_at desc limit 1), ${at}::timestamptz, ${ticket.expiresAt}::timestamptz
            from account
          ), logged as (${logged})
          ${enqueue(sql, mail, at, sql`select id, email from account`)} returning id`;
        return rows.length === 1;
      }),
  };
}
