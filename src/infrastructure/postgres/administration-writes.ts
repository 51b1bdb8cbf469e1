import type { Writes } from '#application/ports/store.ts';
import type { Handle } from './connect.ts';
import { accountColumns } from './reads.ts';
import { lockName } from './register.ts';
import { type AccountRow, accountOf, arrayOf } from './rows.ts';

/** One lock for all who change accounts of others: "admins" as a number. */
const ADMINISTRATION = '107048236117875';

type Verbs = Pick<
  Writes['accounts'],
  'queueAdministration' | 'queueForName' | 'lockAll' | 'hasOtherAdmin' | 'lockByEmail' | 'create' | 'reclaim' | 'change'
>;

/** The verbs on accounts of others. They are rare: to let them wait for each other is the simplest way to keep the last admin. */
export function administrationWrites(sql: Handle): Verbs {
  return {
    async queueAdministration() {
      await sql`select pg_advisory_xact_lock(${ADMINISTRATION}::bigint)`;
    },
    async queueForName(username) {
      await lockName(sql, username);
    },
    async lockAll(accountIds) {
      const rows = await sql<AccountRow[]>`
        select ${accountColumns(sql)} from accounts a where a.id = any(${arrayOf(accountIds)}::text::uuid[])
        order by a.id for no key update`;
      return rows.map(accountOf);
    },
    async hasOtherAdmin(accountId) {
      const rows = await sql`
        select from accounts where 'admin' = any (roles) and status = 'active' and id is distinct from ${accountId}::uuid limit 1`;
      return rows.length === 1;
    },
    async lockByEmail(canonicalEmail) {
      const [row] = await sql<AccountRow[]>`
        select ${accountColumns(sql)} from accounts a where a.email_canonical = ${canonicalEmail} for no key update`;
      return row ? accountOf(row) : null;
    },
    async create({ id, email, emailVerifiedAt, username, passwordHash, roles }, at) {
      const rows = await sql`
        insert into accounts (id, email, email_canonical, email_verified_at, username, username_canonical, password_hash, roles,
          created_at, updated_at)
        values (${id}, ${email.given}, ${email.canonical}, ${emailVerifiedAt}, ${username?.given ?? null}, ${username?.canonical ?? null},
          ${passwordHash}, ${arrayOf(roles)}::text::text[], ${at}, ${at})
        on conflict do nothing returning id`;
      return rows.length === 1;
    },
    async reclaim(accountId, at) {
      await sql`
        update accounts set email_verified_at = ${at}, updated_at = ${at}, password_hash = null, password_withdrawn_at = null,
          display_name = null, username = null, username_canonical = null
        where id = ${accountId} and email_verified_at is null`;
    },
    async change(accountId, { status, roles, displayName, username }, at) {
      const name = username?.canonical ?? null;
      const [row] = await sql<(AccountRow & { is_free: boolean })[]>`
        with free as (
          select not exists (select from accounts where username_canonical = ${name} and id <> ${accountId})
            and not exists (select from tickets where reserved_username = ${name} and used_at is null and expires_at > ${at}) as is_free
        ), changed as (
          update accounts a set updated_at = ${at},
            status = coalesce(${status ?? null}::text, a.status),
            roles = coalesce(${roles === undefined ? null : arrayOf(roles)}::text::text[], a.roles),
            display_name = case when ${displayName !== undefined} then ${displayName ?? null}::text else a.display_name end,
            username = case when ${username !== undefined} then ${username?.given ?? null}::text else a.username end,
            username_canonical = case when ${username !== undefined} then ${name}::text else a.username_canonical end
          from free where a.id = ${accountId} and free.is_free
          returning ${accountColumns(sql)}
        )
        select free.is_free, changed.* from free left join changed on true`;
      if (!row?.is_free) return 'username-taken';
      return row.account_id === null ? null : accountOf(row);
    },
  };
}
