import type { PendingRegistration } from '#application/ports/accounts.ts';
import type { Reads, Writes } from '#application/ports/store.ts';
import type { TicketContext } from '#application/ports/tickets.ts';
import type { Handle } from './connect.ts';
import { contextOf } from './rows.ts';

const KEPT_AFTER_END_MS = 24 * 60 * 60 * 1000;
const SWEPT = 5;

/**
 * The verbs of tickets: every single-use secret there is. Each is one statement, so that of any number of callers one wins. Whoever
 * redeems one takes its account first, as every flow does: otherwise two links of one account would wait for each other.
 */
export function ticketWrites(sql: Handle, reads: Reads['tickets']): Writes['tickets'] {
  return {
    ...reads,
    async redeem(purpose, secretHash, at) {
      const [row] = await sql<{ account_id: string; pending: PendingRegistration | null }[]>`
        with owner as (
          select a.id from tickets t join accounts a on a.id = t.account_id where t.secret_hash = ${secretHash} for no key update of a
        )
        update tickets set used_at = ${at} from owner
        where tickets.account_id = owner.id and secret_hash = ${secretHash} and purpose = ${purpose} and used_at is null
          and expires_at > ${at}
        returning account_id, pending`;
      return row ? { accountId: row.account_id, pending: row.pending } : null;
    },
    async cancelAll(accountId, purpose, at, since) {
      await sql`update tickets set used_at = ${at} where account_id = ${accountId} and purpose = ${purpose} and used_at is null
        ${since === undefined ? sql`` : sql`and created_at >= ${since}`}`;
    },
    async issue({ id, purpose, accountId, secretHash, context, expiresAt }, at, triesSoFar = 0) {
      const written = JSON.stringify(context);
      // An account that is gone by now has no tickets. Anybody may ask for a challenge: each new ticket takes some that are long over with
      // it, so that the table does not grow.
      const over = new Date(at.getTime() - KEPT_AFTER_END_MS);
      await sql`
        with holder as materialized (
          select id from accounts where id = ${accountId}::uuid for key share
        ), gone as (
          delete from tickets where id in (
            select id from tickets where expires_at < ${over} order by expires_at limit ${SWEPT} for update skip locked)
        )
        insert into tickets (id, purpose, account_id, secret_hash, context, tries, created_at, expires_at)
        select ${id}::uuid, ${purpose}::text, ${accountId}::uuid, ${secretHash}::bytea, ${written}::text::jsonb, ${triesSoFar}::smallint,
          ${at}::timestamptz, ${expiresAt}::timestamptz
        where ${accountId}::uuid is null or exists (select from holder)
        on conflict (secret_hash) do update set
          id = excluded.id, context = excluded.context, tries = excluded.tries, created_at = excluded.created_at,
          expires_at = excluded.expires_at, used_at = null
        where tickets.purpose = excluded.purpose and tickets.account_id = excluded.account_id`;
    },
    async tryOnce<Context extends TicketContext>(purpose: string, secretHash: Buffer, most: number, at: Date) {
      const [row] = await sql<{ id: string; account_id: string; tries: number; context: unknown }[]>`
        update tickets set tries = tries + 1
        where secret_hash = ${secretHash} and purpose = ${purpose} and used_at is null and expires_at > ${at} and tries < ${most}
        returning id, account_id, tries, context`;
      return row ? { id: row.id, accountId: row.account_id, tries: row.tries, context: contextOf(row.context) as Context } : null;
    },
    async tryNewest<Context extends TicketContext>(purpose: string, accountId: string, most: number, at: Date) {
      const [row] = await sql<{ id: string; secret_hash: Buffer; tries: number; context: unknown }[]>`
        update tickets set tries = tries + 1
        where id = (select id from tickets where account_id = ${accountId} and purpose = ${purpose} and used_at is null
            order by created_at desc, id desc limit 1)
          and used_at is null and expires_at > ${at} and tries < ${most}
        returning id, secret_hash, tries, context`;
      return row ? { id: row.id, secretHash: row.secret_hash, tries: row.tries, context: contextOf(row.context) as Context } : null;
    },
    async redeemContext<Context extends TicketContext>(purpose: string, secretHash: Buffer, at: Date) {
      const [row] = await sql<{ account_id: string | null; context: unknown }[]>`
        with owner as (
          select a.id from tickets t join accounts a on a.id = t.account_id where t.secret_hash = ${secretHash} for no key update of a
        ), locked as (select (select id from owner) as owner_id)
        update tickets set used_at = ${at} from locked
        where account_id is not distinct from locked.owner_id and secret_hash = ${secretHash} and purpose = ${purpose}
          and used_at is null and expires_at > ${at}
        returning account_id, context`;
      return row ? { accountId: row.account_id, context: contextOf(row.context) as Context } : null;
    },
    async rewrite(purpose, secretHash, context, at) {
      const rows = await sql`
        update tickets set context = ${JSON.stringify(context)}::text::jsonb
        where secret_hash = ${secretHash} and purpose = ${purpose} and used_at is null and expires_at > ${at}
        returning id`;
      return rows.length === 1;
    },
    async findFirst<Context extends TicketContext>(accountId: string, purpose: string, since: Date, at: Date) {
      const [row] = await sql<{ context: unknown }[]>`
        select context from tickets
        where account_id = ${accountId} and purpose = ${purpose} and used_at is null and expires_at > ${at} and created_at >= ${since}
        order by created_at, id limit 1`;
      return row ? { context: contextOf(row.context) as Context } : null;
    },
    async lastEnd(accountId, purpose, at) {
      const [row] = await sql<{ last: Date | null }[]>`
        select max(expires_at) as last from tickets
        where account_id = ${accountId} and purpose = ${purpose} and used_at is null and expires_at > ${at}`;
      return row?.last ?? null;
    },
    async hasOpen(accountId, purpose, at) {
      const rows = await sql`
        select from tickets where account_id = ${accountId} and purpose = ${purpose} and used_at is null and expires_at > ${at} limit 1`;
      return rows.length === 1;
    },
    async triesOf(accountId, purpose, at) {
      const [row] = await sql<{ tries: number }[]>`
        select max(tries) as tries from tickets
        where account_id = ${accountId} and purpose = ${purpose} and used_at is null and expires_at > ${at}`;
      return row?.tries ?? 0;
    },
  };
}
