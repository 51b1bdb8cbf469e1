import { randomUUID } from 'node:crypto';
import { DependencyDown } from '#application/ports/errors.ts';
import type { HotPaths } from '#application/ports/hot-paths.ts';
import { type Asked, authenticate, authenticateByCookie } from './authenticate.ts';
import { batched } from './batch.ts';
import type { Handle } from './connect.ts';
import type { Database } from './database.ts';
import { lostTries } from './lost-tries.ts';
import { enqueue, record } from './parts.ts';
import { endReused, rotate } from './refresh-rotation.ts';
import { NOBODYS, register } from './register.ts';
import { findForSignIn, openSession, recordFailure } from './sign-in.ts';
import { writes } from './writes.ts';

/** More at once would only cut them smaller. Commits queue up at the disk anyway: while one is written, the next gathers. */
const LOOKS = { most: 128, atOnce: 4 };
const MOVES = { most: 128, atOnce: 1, keyOf: ({ sessionId }: Use) => sessionId };

type Use = Parameters<HotPaths['rotate']>[0];

/** Each verb a whole flow's commit in one statement, one round trip (docs/architecture.md); the two busiest share it. */
export function hotPaths(database: Database): HotPaths {
  const { sql, within } = database;
  const look = batched((asked: readonly Asked[]) => within(() => authenticate(sql, asked), { isRepeatable: true }), LOOKS);
  const move = batched((uses: readonly Use[]) => within(() => rotate(sql, uses)), MOVES);
  const lost = lostTries(database);
  return {
    register: (registration) => register(database, registration),
    findForSignIn: async (...asked) => {
      const tryId = randomUUID();
      let isSent = false;
      const find = () => {
        isSent = true;
        return findForSignIn(sql, tryId, ...asked);
      };
      try {
        const found = await within(find, { isRepeatable: true });
        lost.takeBack();
        return found;
      } catch (error) {
        if (isSent && error instanceof DependencyDown) lost.add({ tryId, asked });
        throw error;
      }
    },
    recordFailure: (...failure) => within(() => recordFailure(sql, ...failure)),
    openSession: (input) => {
      const { begun, accountId, event } = input;
      if (!('session' in begun) || begun.most === 0) return within(() => openSession(sql, input));
      // The account is locked until older sessions have ended: of any number of sign-ins, each sees those before it.
      return database.transaction(async (tx) => {
        if (begun.replaces !== null) await holdBoth(tx, accountId, begun.replaces);
        const outcome = await openSession(tx, input);
        const ended = outcome === 'opened' ? await writes(tx).sessions.endBeyond(accountId, begun.most, event.occurredAt) : 0;
        if (ended > 0) await record(tx, { ...begun.superseded, details: { ended } });
        return outcome;
      });
    },

    authenticate: (sessionId, at) => look({ sessionId, at }),
    authenticateByCookie: (...asked) => within(() => authenticateByCookie(sql, asked), { isRepeatable: true }),

    rotate: async (use) => {
      const moved = await move(use);
      if (typeof moved === 'object') return moved;
      return await within(async () => {
        const [later] = moved === 'held' ? await rotate(sql, [use], { isPatient: true }) : [];
        return typeof later === 'object' ? later : await endReused(sql, use);
      });
    },

    sendLink: ({ email, to, ticket, mail, event, at }) =>
      within(async () => {
        const known = sql`jsonb_build_object('known', exists (select from account))`;
        // Whoever uses up an account's tickets locks the account first: two that did it by their own tickets could block each other.
        const account = sql`account as (
          select a.id, a.email, a.contested_at from accounts a where a.email_canonical = ${email.canonical} and a.status = 'active'
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
              case when (${ticket.purpose === 'verify-email'} and account.contested_at is not null) or exists (
                select from tickets t where t.account_id = account.id and t.purpose = ${ticket.purpose}
                and t.pending is not null and t.used_at is null and t.expires_at > ${at})
              then ${NOBODYS}::text::jsonb end, ${at}::timestamptz, ${ticket.expiresAt}::timestamptz
            from account
          ), logged as (${logged})
          ${enqueue(sql, mail, at, sql`select id, email from account`)} returning id`;
        return rows.length === 1;
      }),
  };
}

/**
 * Locks the account that signs in and that of the session which its browser held until now, in the order of their ids: of two browsers
 * that exchange their accounts each would else hold the session that the other one ends.
 */
async function holdBoth(tx: Handle, accountId: string, replaces: Buffer): Promise<void> {
  await tx`
    select from accounts where id = any(array(
      select account_id from sessions where cookie_hash = ${replaces} and revoked_at is null union select ${accountId}::uuid))
    order by id for no key update`;
}
