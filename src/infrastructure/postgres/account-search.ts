import type { Account, AccountFilter, AccountStatus } from '#application/ports/store.ts';
import type { Role } from '#domain/roles.ts';
import type { Handle } from './connect.ts';
import { type AccountRow, accountOf } from './rows.ts';

/** Behind every sign that an address or a user name in canonical form can hold: the end of the range of a prefix. */
const BEHIND = '\x7f';

/**
 * A page of accounts, newest first. Roles and states are written out, not passed: each role has an index of its own, and the plan
 * knows how many are suspended. A prefix is looked up first and sorted then: read in the order of ids, a rare one would read all.
 */
export async function searchAccounts(
  sql: Handle,
  { prefix, role, status }: AccountFilter,
  beforeId: string | null,
  limit: number,
): Promise<Account[]> {
  const within = (column: 'email_canonical' | 'username_canonical') =>
    sql`select * from accounts where ${sql(column)} ~>=~ ${prefix} and ${sql(column)} ~<~ ${prefix + BEHIND}`;
  const from = prefix === null ? sql`accounts` : sql`(${within('email_canonical')} union ${within('username_canonical')} offset 0)`;
  const rows = await sql<AccountRow[]>`
    select a.id as account_id, a.email, a.email_verified_at, a.username, a.display_name, null as password_hash, a.status, a.roles,
      a.created_at as account_created_at
    from ${from} as a
    where ${beforeId === null ? sql`true` : sql`a.id < ${beforeId}`} and ${role === null ? sql`true` : holds(sql, role)}
      and ${status === null ? sql`true` : is(sql, status)}
    order by a.id desc limit ${limit}`;
  return rows.map(accountOf);
}

function holds(sql: Handle, role: Role) {
  const conditions = {
    user: sql`'user' = any (a.roles)`,
    moderator: sql`'moderator' = any (a.roles)`,
    staff: sql`'staff' = any (a.roles)`,
    admin: sql`'admin' = any (a.roles)`,
  };
  return conditions[role];
}

function is(sql: Handle, status: AccountStatus) {
  return status === 'active' ? sql`a.status = 'active'` : sql`a.status = 'suspended'`;
}
