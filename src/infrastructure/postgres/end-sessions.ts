import type { SessionEnd } from '#application/ports/sessions.ts';
import { MOST_MARKED } from '#domain/lifetimes.ts';
import type { Handle } from './connect.ts';

/**
 * Ends many sessions of one account. What ends them is its security stamp, whatever their number; that rows are marked is bookkeeping,
 * and goes no further than a statement surely gets: one that runs out of time ends nothing. Nobody takes those left for live: see `lives`.
 */

/**
 * All of them, but for `exceptId`. In two statements: stamps change under the account's lock alone, so the second sees what others did
 * while the first waited. One that is dead already is not brought back.
 * @returns how many lived, of those that were marked
 */
export async function endAll(sql: Handle, accountId: string, reason: SessionEnd, at: Date, exceptId: string | null): Promise<number> {
  const [owner] = await sql<{ stamp: number }[]>`
    update accounts set security_stamp = security_stamp + 1, sessions_ended_at = ${at} where id = ${accountId} returning security_stamp as stamp`;
  if (!owner) return 0;
  const before = owner.stamp - 1;
  // From the end of the index: rows with one key lie there as in the table, so the last are, by and large, the newest. That they are not
  // marked yet is asked there alone, under their locks: where they are marked, PostgreSQL would find them by that and read all of them.
  const [row] = await sql<{ ended: number }[]>`
    with kept as (
      update sessions set security_stamp = ${owner.stamp} where id = ${exceptId}::uuid and security_stamp = ${before}
    ), marked as (
      update sessions set revoked_at = ${at}, revoked_reason = case when security_stamp = ${before} then ${reason}::text else 'outdated' end
      where id = any(array(
        select id from sessions where account_id = ${accountId} and revoked_at is null and id is distinct from ${exceptId}::uuid
        order by revoked_at desc limit ${MOST_MARKED} for no key update))
      returning security_stamp = ${before} and idle_end_at > ${at} and absolute_end_at > ${at} as lived
    )
    select count(*) filter (where lived)::int as ended from marked`;
  return row?.ended ?? 0;
}

/**
 * The oldest beyond `most`; the account is locked. When they are more than are marked, a new stamp ends the rest, and those that stay get
 * it too. What other stamps left behind is marked after them, so that the next sign-in reads less.
 * @returns how many, of those that were marked
 */
export async function endBeyond(sql: Handle, accountId: string, most: number, at: Date): Promise<number> {
  const marked = most + MOST_MARKED;
  const [row] = await sql<{ ended: number }[]>`
    with open as (
      select id, created_at, security_stamp = (select security_stamp from accounts where id = ${accountId}) as is_live from sessions
      where account_id = ${accountId} and revoked_at is null and idle_end_at > ${at} and absolute_end_at > ${at}
      order by is_live desc, created_at desc, id desc limit ${marked + 1}
    ), placed as (
      select id, is_live, row_number() over (order by is_live desc, created_at desc, id desc) as place from open
    ), owner as (
      update accounts set security_stamp = security_stamp + 1
      where id = ${accountId} and exists (select from placed where is_live and place > ${marked}) returning security_stamp
    ), kept as (
      update sessions s set security_stamp = owner.security_stamp from owner
      where s.id = any(array(select id from placed where is_live and place <= ${most}))
    ), ended as (
      update sessions s set revoked_at = ${at},
        revoked_reason = case when s.security_stamp = a.security_stamp then 'superseded' else 'outdated' end
      from accounts a where a.id = ${accountId} and s.id = any(array(select id from placed where place > ${most} and place <= ${marked}))
      returning s.security_stamp = a.security_stamp as lived
    )
    select count(*) filter (where lived)::int as ended from ended`;
  return row?.ended ?? 0;
}
