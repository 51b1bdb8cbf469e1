import type { HotPaths } from '#application/ports/store.ts';
import type { Database } from './connect.ts';
import { enqueue, record } from './parts.ts';
import { endReused, rotate } from './refresh-rotation.ts';
import { register } from './register.ts';
import { type AccountRow, accountOf, type SessionRow, sessionOf } from './rows.ts';
import { countFailure, findForSignIn, openSession } from './sign-in.ts';

/** Each verb a whole flow's commit in one statement, one round trip (DESIGN 5). */
export function hotPaths(database: Database): HotPaths {
  const { sql, within } = database;
  return {
    register: (registration) => register(database, registration),
    findForSignIn: (identifier, key, at) => within(() => findForSignIn(sql, identifier, key, at), { isRepeatable: true }),
    countFailure: (key, policy, event) => within(() => countFailure(sql, key, policy, event)),
    openSession: (input) => within(() => openSession(sql, input)),

    authenticate: (sessionId, at) => {
      const look = async () => {
        const [row] = await sql<(SessionRow & AccountRow)[]>`
          select s.id as session_id, s.account_id, s.transport, s.device, s.ip, s.user_agent, s.amr, s.acr, s.auth_time,
            s.created_at as session_created_at, s.last_seen_at, s.idle_end_at, s.absolute_end_at,
            a.email, a.email_verified_at, a.username, a.display_name, null as password_hash, a.status, a.roles,
            a.created_at as account_created_at
          from sessions s join accounts a on a.id = s.account_id
          where s.id = ${sessionId} and s.revoked_at is null and s.idle_end_at > ${at} and s.absolute_end_at > ${at}`;
        return row ? { session: sessionOf(row), account: accountOf(row) } : null;
      };
      return within(look, { isRepeatable: true });
    },

    rotate: (use) => within(async () => (await rotate(sql, use)) ?? (await endReused(sql, use))),

    sendLink: ({ email, to, ticket, mail, event, at }) =>
      within(async () => {
        const known = sql`jsonb_build_object('known', exists (select from account))`;
        // Whoever uses up an account's tickets locks the account first: two that did it by their own tickets could block each other.
        const account = sql`account as (
          select a.id, a.email from accounts a where a.email_canonical = ${email.canonical} and a.status = 'active'
            and (${to === 'active'} or a.email_verified_at is null) for no key update)`;
        const logged = record(sql, event, { accountId: sql`(select id from account)`, details: known });
        if (mail === null) {
          await sql`with ${account} ${logged}`;
          return false;
        }
        // A newer reset link kills older ones. A confirmation link leaves them alone, or a stranger could kill the one that carries
        // its owner's registration. Where several registered the address, it says of none that it is the owner's: it confirms the
        // address and leaves no password, and the owner sets one by mail (docs/adr/0009).
        const rows = await sql`
          with ${account}, cancelled as (
            update tickets set used_at = ${at} from account
            where tickets.account_id = account.id and purpose = ${ticket.purpose} and purpose = 'reset-password' and used_at is null
          ), issued as (
            insert into tickets (id, purpose, account_id, secret_hash, pending, created_at, expires_at)
            select ${ticket.id}::uuid, ${ticket.purpose}::text, account.id, ${ticket.secretHash}::bytea,
              case when exists (select from tickets t where t.account_id = account.id and t.purpose = ${ticket.purpose}
                and t.pending is not null and t.used_at is null and t.expires_at > ${at})
              then '{"passwordHash":null,"username":null,"displayName":null}'::jsonb end, ${at}::timestamptz, ${ticket.expiresAt}::timestamptz
            from account
          ), logged as (${logged})
          ${enqueue(sql, mail, at, sql`select id, email from account`)} returning id`;
        return rows.length === 1;
      }),
  };
}
