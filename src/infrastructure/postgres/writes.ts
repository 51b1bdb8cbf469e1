import { randomUUID } from 'node:crypto';
import type { Writes } from '#application/ports/store.ts';
import { EVERYWHERE } from '#domain/lockout.ts';
import { accountChanges } from './account-changes.ts';
import { administrationWrites } from './administration-writes.ts';
import { authenticatorWrites } from './authenticator-writes.ts';
import type { Handle } from './connect.ts';
import { deviceWrites } from './devices.ts';
import { endAll, endBeyond } from './end-sessions.ts';
import { identities } from './identities.ts';
import { ipBlockWrites } from './ip-block-rows.ts';
import { enqueue, record } from './parts.ts';
import { accountColumns, reads } from './reads.ts';
import { type AccountRow, accountOf, arrayOf, proofsOf, type SessionRow, sessionOf, type WrittenProof } from './rows.ts';
import { serviceClientWrites } from './service-client-rows.ts';
import { insertSession, lives, sessionColumns } from './session-rows.ts';
import { countSms } from './sms-days.ts';
import { counted, type LaneJson, settle, takeBack, triedLanes, tryOf } from './throttles.ts';
import { ticketWrites } from './ticket-writes.ts';

/**
 * The verbs of a transaction; each is one statement and atomic by itself: never check, then write (ASVS 15.4.2). Those that
 * reach several rows of an account lock the account first, so that no two of them wait for each other (ASVS 15.4.3).
 */
export function writes(sql: Handle): Writes {
  const read = reads(sql);
  return {
    holdings: read.holdings,
    signIns: read.signIns,
    tickets: ticketWrites(sql, read.tickets),
    authenticators: authenticatorWrites(sql, read.authenticators),
    devices: deviceWrites(sql),
    throttles: {
      async tryOnce({ identifierHash, network }, perLock, lockSeconds, at) {
        const lockedUntil = new Date(at.getTime() + lockSeconds * 1000);
        const [counted] = await sql<{ failures: number }[]>`
          insert into login_throttles as t (identifier_hash, network, failures, last_failed_at) values (${identifierHash}, ${network}, 1, ${at})
          on conflict (identifier_hash, network) do update set failures = t.failures + 1, last_failed_at = ${at},
            locked_until = case when (t.failures + 1) % ${perLock}::int = 0 then ${lockedUntil}::timestamptz end
          where t.locked_until is null or t.locked_until <= ${at}
          returning failures`;
        if (counted) return { count: counted.failures };
        return { lockedUntil: (await read.accounts.findLock({ identifierHash, network }, at)) ?? at };
      },
      async tryPassword({ identifierHash, network }, policy, at) {
        const lane = sql`select ${identifierHash}::bytea as identifier_hash, ${network}::text as network`;
        const [row] = await sql<{ lanes: LaneJson[] }[]>`
          with own_lane as (${counted(sql, policy, at, randomUUID(), lane)}), tried as (select 1 as place, * from own_lane) select ${triedLanes(sql)}`;
        return tryOf(row?.lanes ?? []);
      },
      takeBack: ({ lanes }) => takeBack(sql, lanes),
      settle: ({ lanes }) => settle(sql, lanes),
    },
    accounts: {
      ...read.accounts,
      ...accountChanges(sql),
      ...administrationWrites(sql),
      async lock(accountId) {
        const [row] = await sql<AccountRow[]>`select ${accountColumns(sql)} from accounts a
          where a.id = ${accountId} and a.status <> 'deleted' for no key update`;
        return row ? accountOf(row) : null;
      },
      async verifyEmail(accountId, pending, at) {
        // What was pending counts only for an account that nobody has verified; a name that someone else took meanwhile is not taken over.
        const rows = await sql`
          update accounts a set
            email_verified_at = coalesce(a.email_verified_at, ${at}),
            updated_at = ${at},
            password_hash = case when p.apply then p.password_hash else a.password_hash end,
            display_name = case when p.apply then p.display_name else a.display_name end,
            username = case when p.apply and not p.taken then p.username else a.username end,
            username_canonical = case when p.apply and not p.taken then p.username_canonical else a.username_canonical end
          from (
            select ${pending !== null} and email_verified_at is null as apply,
              ${pending?.passwordHash ?? null}::text as password_hash,
              ${pending?.displayName ?? null}::text as display_name,
              ${pending?.username?.given ?? null}::text as username,
              ${pending?.username?.canonical ?? null}::text as username_canonical,
              exists (select from accounts where username_canonical = ${pending?.username?.canonical ?? null} and id <> ${accountId}) as taken
            from accounts where id = ${accountId} for update
          ) p
          where a.id = ${accountId} returning a.id`;
        return rows.length === 1;
      },
      async setPassword(accountId, passwordHash, at, { provesEmail }) {
        const [row] = await sql<AccountRow[]>`
          update accounts a set password_hash = ${passwordHash}, password_withdrawn_at = null, updated_at = ${at},
            email_verified_at = case when ${provesEmail} then coalesce(a.email_verified_at, ${at}) else a.email_verified_at end
          where a.id = ${accountId} returning ${accountColumns(sql)}`;
        return row ? accountOf(row) : null;
      },
      async replacePassword(accountId, seenHash, passwordHash, at) {
        const rows = await sql`
          update accounts set password_hash = ${passwordHash}, updated_at = ${at}
          where id = ${accountId} and password_hash = ${seenHash} returning id`;
        return rows.length === 1;
      },
      async clearFailures(identifierHashes) {
        let cleared = 0;
        for (const hash of identifierHashes) {
          // In the order in which sign-ins take them.
          const { count } = await sql`
            delete from login_throttles where identifier_hash = ${hash} and network = any(array(
              select network from login_throttles where identifier_hash = ${hash} order by network = ${EVERYWHERE.network}, network for update))`;
          cleared += count;
        }
        return cleared;
      },
    },
    sessions: {
      ...read.sessions,
      async end(accountId, sessionId, reason, at) {
        const rows = await sql`
          update sessions s set revoked_at = ${at}, revoked_reason = ${reason}
          where s.id = ${sessionId} and s.account_id = ${accountId} and ${lives(sql, at)} returning s.id`;
        return rows.length === 1;
      },
      async endBySecret(sessionId, refreshSecretHash, reason, at) {
        const [row] = await sql<{ account_id: string }[]>`
          update sessions s set revoked_at = ${at}, revoked_reason = ${reason}
          where s.id = ${sessionId} and s.refresh_secret_hash = ${refreshSecretHash} and ${lives(sql, at)} returning s.account_id`;
        return row?.account_id ?? null;
      },
      endAll: (accountId, reason, at, exceptId) => endAll(sql, accountId, reason, at, exceptId ?? null),
      endBeyond: (accountId, most, at) => endBeyond(sql, accountId, most, at),
      async noteMove(sessionId, kind) {
        const rows = await sql`
          update sessions set moved_to = concat_ws('|', moved_to, ${kind}::text)
          where id = ${sessionId} and ${kind}::text <> all(string_to_array(coalesce(moved_to, ''), '|')) returning id`;
        return rows.length === 1;
      },
      async endByCookie(cookieHash, reason, at) {
        await sql`update sessions set revoked_at = ${at}, revoked_reason = ${reason} where cookie_hash = ${cookieHash} and revoked_at is null`;
      },
      async renewSecret(sessionId, { refreshSecretHash, cookieHash }, idleEndAt, at) {
        const [row] = await sql<SessionRow[]>`
          update sessions s set refresh_secret_hash = ${refreshSecretHash}, cookie_hash = ${cookieHash}, refresh_counter = 0, rotated_at = null,
            idle_end_at = ${idleEndAt}, last_seen_at = ${at}
          where s.id = ${sessionId} and ${lives(sql, at)} returning ${sessionColumns(sql)}`;
        return row ? sessionOf(row) : null;
      },
      async renewCookie(sessionId, cookieHash) {
        await sql`update sessions set cookie_hash = ${cookieHash} where id = ${sessionId}`;
      },
      async open(session, replaces) {
        if (replaces) await this.endByCookie(replaces, 'replaced', session.createdAt);
        await sql`${insertSession(sql, session)} from accounts where id = ${session.accountId}`;
      },
      async lockWithProofs({ id, cookieHash }, at) {
        const [row] = await sql<(SessionRow & { proofs: WrittenProof[] })[]>`
          select ${sessionColumns(sql)}, s.proofs from sessions s
          where s.id = ${id} and s.cookie_hash is not distinct from ${cookieHash} and ${lives(sql, at)} for no key update`;
        if (!row) return null;
        const session = sessionOf(row);
        // A session from before proofs were kept began with a password.
        return { ...session, proofs: row.proofs.length > 0 ? proofsOf(row.proofs) : [{ factor: 'password', at: session.authTime }] };
      },
      async setProofs({ id, proofs, amr, acr, authTime }) {
        await sql`update sessions set proofs = ${JSON.stringify(proofs)}::text::jsonb, amr = ${arrayOf(amr)}::text::text[], acr = ${acr},
          auth_time = ${authTime} where id = ${id}`;
      },
    },
    serviceClients: { ...read.serviceClients, ...serviceClientWrites(sql) },
    ipBlocks: { ...read.ipBlocks, ...ipBlockWrites(sql) },
    identities: { ...read.identities, ...identities(sql) },
    audit: {
      ...read.audit,
      async record(event) {
        await record(sql, event);
      },
    },
    outbox: {
      async enqueue(accountId, message, at, { recipient, afterSeconds } = {}) {
        const address = recipient === undefined ? sql`email` : sql`${recipient}::text`;
        await enqueue(sql, message, at, sql`select id, ${address} from accounts where id = ${accountId} for key share`, afterSeconds);
      },
      countSms: (isToNewNumber, mostPerDay, at) => countSms(sql, isToNewNumber, mostPerDay, at),
    },
  };
}
