import { randomUUIDv7 } from 'node:crypto';
import type { Fragment } from 'postgres';
import type { AccountChanges } from '#application/ports/account-changes.ts';
import type { Handle } from './connect.ts';
import { accountColumns } from './reads.ts';
import { lockName } from './register.ts';
import { type AccountRow, accountOf, arrayOf } from './rows.ts';

type ProfileRow = AccountRow & {
  account_id: string | null;
  is_taken: boolean;
  username_before: string | null;
  display_name_before: string | null;
};

/** The verbs of AccountChanges. */
export function accountChanges(sql: Handle): AccountChanges {
  /** Nobody has ever signed in to it, and nobody was given anything by it. */
  const unproved = () => sql`(email_verified_at is null and status = 'active' and roles = '{user}')`;
  /** What is erased is gone for good: it is due when the worker's clock and the database's both say so, since either may be wrong. */
  const byBothClocks = (at: Date) => sql`least(${at}::timestamptz, now())`;
  /** An aggregate, because it is asked account by account: an `exists` PostgreSQL may turn around, and read all open tickets for one. */
  const hasOpenTicket = (accountId: Fragment, at: Date) => sql`
    select bool_or(t.used_at is null and t.expires_at > ${byBothClocks(at)}) as is_open from tickets t where t.account_id = ${accountId}`;
  return {
    async changeProfile(accountId, { username, displayName }, at) {
      const name = username?.canonical ?? null;
      // Before the account, as everywhere: who holds a name's lock waits for no other of ours.
      if (name !== null) await lockName(sql, name);
      const [row] = await sql<ProfileRow[]>`
        with taken as (
          select from accounts where username_canonical = ${name} and id <> ${accountId}
          union all select from tickets where reserved_username = ${name} and used_at is null and expires_at > ${at}
        ), before as (
          select id, username, display_name from accounts where id = ${accountId} and status = 'active' for no key update
        ), changed as (
          update accounts a set updated_at = ${at},
            username = ${username === undefined ? sql`a.username` : sql`${username?.given ?? null}::text`},
            username_canonical = ${username === undefined ? sql`a.username_canonical` : sql`${name}::text`},
            display_name = ${displayName === undefined ? sql`a.display_name` : sql`${displayName}::text`}
          from before where a.id = before.id and not exists (select from taken)
          returning ${accountColumns(sql)}, before.username as username_before, before.display_name as display_name_before
        )
        select exists (select from taken) as is_taken, changed.* from (select 1) as always left join changed on true`;
      if (row?.is_taken) return 'username-taken';
      if (!row?.account_id) return null;
      return { account: accountOf(row), before: { username: row.username_before, displayName: row.display_name_before } };
    },

    async isHeld({ canonical }, accountId) {
      const rows = await sql`
        select from accounts where email_canonical = ${canonical} and id <> ${accountId} and not ${unproved()}`;
      return rows.length === 1;
    },

    async changeEmail(accountId, { given, canonical }, at) {
      const gone = await sql<{ id: string }[]>`
        delete from accounts where email_canonical = ${canonical} and id <> ${accountId} and ${unproved()} returning id`;
      // An update cannot be told what to do when another took the address at the same moment, an insert can: it waits for the
      // other, and does nothing. So the address is taken by a row that nobody sees, whose place the account then takes.
      const place = randomUUIDv7();
      const held = await sql`
        insert into accounts (id, email, email_canonical, created_at, updated_at) values (${place}, ${given}, ${canonical}, ${at}, ${at})
        on conflict do nothing returning id`;
      if (held.length === 0) return null;
      await sql`delete from accounts where id = ${place}`;
      await sql`update accounts set email = ${given}, email_canonical = ${canonical}, email_verified_at = ${at}, updated_at = ${at}
        where id = ${accountId}`;
      return { displaced: gone.map(({ id }) => id) };
    },

    async removePassword(accountId, at) {
      await sql`update accounts set password_hash = null, password_withdrawn_at = ${at}, updated_at = ${at} where id = ${accountId}`;
    },

    async markDeleted(accountId, eraseAt, at) {
      await sql`update accounts set status = 'deleted', erase_at = ${eraseAt}, updated_at = ${at} where id = ${accountId}`;
    },

    async restore(accountId, at) {
      const rows = await sql`
        update accounts set status = 'active', erase_at = null, updated_at = ${at} where id = ${accountId} and status = 'deleted' returning id`;
      return rows.length === 1;
    },

    async claimDueForErasure(at, passedOver) {
      const [row] = await sql<AccountRow[]>`
        select ${accountColumns(sql)} from accounts a
        where a.erase_at <= ${byBothClocks(at)} and a.id <> all(${arrayOf(passedOver)}::text::uuid[])
        order by a.erase_at limit 1 for update skip locked`;
      return row ? accountOf(row) : null;
    },

    async claimNeverVerified(at, passedOver) {
      const passed = [...passedOver];
      for (;;) {
        // `not in`: told that they are active, PostgreSQL reads the index of all active ones too, until it has analyzed the table.
        const [row] = await sql<AccountRow[]>`
          select ${accountColumns(sql)} from accounts a
          where a.verify_by <= ${byBothClocks(at)} and a.email_verified_at is null and a.status not in ('suspended', 'deleted')
            and a.roles = '{user}' and a.id <> all(${arrayOf(passed)}::text::uuid[]) and (${hasOpenTicket(sql`a.id`, at)}) is not true
          order by a.verify_by limit 1 for update skip locked`;
        if (!row) return null;
        // The row was looked at under its lock, its tickets before that: one that was issued in between is seen only now. From here on
        // nobody issues one: its foreign key waits for the account.
        const [tickets] = await sql<{ is_open: boolean | null }[]>`${hasOpenTicket(sql`${row.account_id}`, at)}`;
        if (!tickets?.is_open) return accountOf(row);
        passed.push(row.account_id);
      }
    },

    async erase(accountId) {
      await sql`delete from accounts where id = ${accountId}`;
    },
  };
}
