import type { SessionEnd } from '#application/ports/sessions.ts';
import type { Reads } from '#application/ports/store.ts';
import type { TicketContext } from '#application/ports/tickets.ts';
import { searchAccounts } from './account-search.ts';
import { auditReads } from './audit-reads.ts';
import { authenticatorReads } from './authenticator-reads.ts';
import type { Handle } from './connect.ts';
import { holdings } from './holdings.ts';
import { ipBlockReads } from './ip-block-rows.ts';
import { type AccountRow, accountOf, contextOf, type SessionRow, sessionOf } from './rows.ts';
import { serviceClientReads } from './service-client-rows.ts';
import { sessionColumns } from './session-rows.ts';
import { signInReads } from './signals.ts';

export function accountColumns(sql: Handle) {
  return sql`a.id as account_id, a.email, a.email_verified_at, a.username, a.display_name, a.password_hash,
    a.password_withdrawn_at is not null as is_password_withdrawn, a.status, a.roles, a.created_at as account_created_at`;
}

export function reads(sql: Handle): Reads {
  return {
    ipBlocks: ipBlockReads(sql),
    serviceClients: serviceClientReads(sql),
    tickets: {
      async find<Context extends TicketContext>(purpose: string, secretHash: Buffer, most: number, at: Date) {
        const [row] = await sql<{ id: string; account_id: string; context: unknown; created_at: Date }[]>`
          select id, account_id, context, created_at from tickets
          where secret_hash = ${secretHash} and purpose = ${purpose} and used_at is null and expires_at > ${at} and tries < ${most}`;
        if (!row) return null;
        return { id: row.id, accountId: row.account_id, context: contextOf(row.context) as Context, createdAt: row.created_at };
      },
    },
    authenticators: authenticatorReads(sql),
    accounts: {
      async findTaken(email, username, at) {
        const name = username?.canonical ?? null;
        const [row] = await sql<{ email: boolean; username: boolean }[]>`
          select exists (select from accounts where email_canonical = ${email.canonical}) as email,
            exists (select from accounts where username_canonical = ${name})
              or exists (select from tickets where reserved_username = ${name} and used_at is null and expires_at > ${at}) as username`;
        return { email: row?.email ?? false, username: row?.username ?? false };
      },
      async findByTicket(purpose, secretHash, at) {
        const [row] = await sql<AccountRow[]>`
          select ${accountColumns(sql)} from tickets t join accounts a on a.id = t.account_id
          where t.secret_hash = ${secretHash} and t.purpose = ${purpose} and t.used_at is null and t.expires_at > ${at}`;
        return row ? accountOf(row) : null;
      },
      async findWithPassword(accountId) {
        const [row] = await sql<AccountRow[]>`select ${accountColumns(sql)} from accounts a where a.id = ${accountId}`;
        return row ? accountOf(row) : null;
      },
      async findImported(accountId, email) {
        const [row] = await sql<(AccountRow & { is_untouched: boolean })[]>`
          select ${accountColumns(sql)}, a.security_stamp = 0 as is_untouched from accounts a
          where a.id = ${accountId}::uuid or (a.email_canonical = ${email?.canonical ?? null} and a.email_verified_at is not null)
          order by a.id is not distinct from ${accountId}::uuid desc limit 1`;
        return row ? { account: accountOf(row), isUntouched: row.is_untouched } : null;
      },
      async sessionsEndedAt(accountId) {
        const [row] = await sql<{ sessions_ended_at: Date | null }[]>`select sessions_ended_at from accounts where id = ${accountId}`;
        return row?.sessions_ended_at ?? null;
      },
      search: (filter, after, limit) => searchAccounts(sql, filter, after, limit),
      async findLock({ identifierHash, network }, at) {
        const [row] = await sql<{ locked_until: Date }[]>`
          select locked_until from login_throttles
          where identifier_hash = ${identifierHash} and network = ${network} and locked_until > ${at}`;
        return row?.locked_until ?? null;
      },
    },
    signIns: signInReads(sql),
    sessions: {
      async findLive(sessionId, at) {
        const [row] = await sql<SessionRow[]>`
          select ${sessionColumns(sql)} from sessions s join accounts a on a.id = s.account_id and a.security_stamp = s.security_stamp
          where s.id = ${sessionId} and s.revoked_at is null and s.idle_end_at > ${at} and s.absolute_end_at > ${at}`;
        return row ? sessionOf(row) : null;
      },
      async endOf(sessionId, refreshSecretHash) {
        const [row] = await sql<{ revoked_reason: SessionEnd | null }[]>`
          select coalesce(s.revoked_reason, case when s.security_stamp <> a.security_stamp then 'outdated' end) as revoked_reason
          from sessions s join accounts a on a.id = s.account_id
          where s.id = ${sessionId} and s.refresh_secret_hash = ${refreshSecretHash}`;
        return row?.revoked_reason ?? null;
      },
      async listLive(accountId, at, limit) {
        const rows = await sql<SessionRow[]>`
          select ${sessionColumns(sql)} from sessions s join accounts a on a.id = s.account_id and a.security_stamp = s.security_stamp
          where s.account_id = ${accountId} and s.revoked_at is null and s.idle_end_at > ${at} and s.absolute_end_at > ${at}
          order by s.last_seen_at desc, s.id desc limit ${limit}`;
        return rows.map(sessionOf);
      },
    },
    audit: auditReads(sql),
    holdings: holdings(sql),
    identities: {
      async isLinked(issuer, subject) {
        return (await sql`select from federated_identities where issuer = ${issuer} and subject = ${subject}`).length === 1;
      },
    },
  };
}
