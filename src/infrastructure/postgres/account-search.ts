import type { AccountFilter, AccountStatus, FoundAccount } from '#application/ports/accounts.ts';
import type { Role } from '#domain/roles.ts';
import type { Handle } from './connect.ts';
import { type AccountRow, accountOf } from './rows.ts';

/** Behind every sign that an address or a user name in canonical form can hold: the end of the range of a prefix. */
const BEHIND = '\x7f';

/**
 * A page of accounts: the newest first, or, with a prefix, by what begins with it. So every page is read in the order of an index and
 * costs the same however many there are. Roles and states are written out, not passed: each rare role has an index of its own, and
 * the plan knows how few are suspended.
 */
export async function searchAccounts(
  sql: Handle,
  { prefix, role, status }: AccountFilter,
  after: string | null,
  limit: number,
): Promise<FoundAccount[]> {
  const columns = sql`a.id as account_id, a.email, a.email_verified_at, a.username, a.display_name, null as password_hash, a.status,
    a.roles, a.created_at as account_created_at`;
  const filters = sql`${role === null ? sql`true` : holds(sql, role)} and ${status === null ? sql`true` : is(sql, status)}`;
  if (prefix === null) {
    const rows = await sql<(AccountRow & { position: string })[]>`
      select ${columns}, a.id::text as position from accounts a where ${after === null ? sql`true` : sql`a.id < ${after}`} and ${filters}
      order by a.id desc limit ${limit}`;
    return rows.map((row) => ({ account: accountOf(row), position: row.position }));
  }
  const end = prefix + BEHIND;
  // Bytes are compared, as the indexes do. An address holds an @ and a name none: no two positions are the same.
  const beginning = (column: 'email_canonical' | 'username_canonical') => sql`
    a.${sql(column)} ~>=~ ${prefix} and a.${sql(column)} ~<~ ${end} and ${after === null ? sql`true` : sql`a.${sql(column)} ~>~ ${after}`}
    and ${filters}`;
  const rows = await sql<(AccountRow & { position: string })[]>`
    select * from (
      (select ${columns}, a.email_canonical as position from accounts a where ${beginning('email_canonical')}
        order by a.email_canonical using ~<~ limit ${limit})
      union all
      (select ${columns}, a.username_canonical as position from accounts a where ${beginning('username_canonical')}
        and not (a.email_canonical ~>=~ ${prefix} and a.email_canonical ~<~ ${end})
        order by a.username_canonical using ~<~ limit ${limit})
    ) as found order by position using ~<~ limit ${limit}`;
  return rows.map((row) => ({ account: accountOf(row), position: row.position }));
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
  const conditions = {
    active: sql`a.status = 'active'`,
    suspended: sql`a.status = 'suspended'`,
    deleted: sql`a.status = 'deleted'`,
  };
  return conditions[status];
}
