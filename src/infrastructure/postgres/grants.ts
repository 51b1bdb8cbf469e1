import { connect, type DatabaseAddress, type Handle } from './connect.ts';

/** Written by the service and never changed: beside reading and adding it may do there what stands here. */
const AUDIT_RIGHTS: Record<string, string> = { audit_seals: ', delete', audit_archives: '' };
/** The position of an event is the database's to give. */
const EVENT_COLUMNS = 'id, occurred_at, type, account_id, session_id, ip, user_agent, request_id, risk, details';

/**
 * Gives a role that owns nothing what the service needs, and no more: it can neither switch off what guards the audit trail nor
 * change a table (ASVS 13.2.2, 16.4.2). Run by the owner, after each migration; again does no harm.
 * @throws Error with a sentence for the operator when whoever runs it is not the owner
 */
export async function grantServiceRights(address: DatabaseAddress, role: string): Promise<void> {
  const sql = connect(address, { max: 1, connect_timeout: 5 });
  try {
    await sql.begin(async (tx) => {
      const to = tx(role);
      await tx`grant usage on schema public to ${to}`;
      // PostgreSQL 14 lets everybody make tables and functions there, which who owns the schema can end.
      await tx`revoke create on schema public from public`;
      for (const name of await tables(tx)) {
        const beside = AUDIT_RIGHTS[name];
        if (name === 'schema_migrations') await tx`grant select on ${tx(name)} to ${to}`;
        else if (name === 'audit_events') await tx`grant select, insert (${tx.unsafe(EVENT_COLUMNS)}) on audit_events to ${to}`;
        else await tx`grant select, insert ${tx.unsafe(beside ?? ', update, delete')} on ${tx(name)} to ${to}`;
      }
      await tx`grant execute on function audit_make_month(text), audit_drop_month(text, bigint, uuid) to ${to}`;
      // To who may not grant, PostgreSQL says no more than a warning.
      const [row] = await tx<{ may: boolean }[]>`
        select has_any_column_privilege(${role}, 'audit_events', 'insert') and has_table_privilege(${role}, 'accounts', 'update') as may`;
      if (!row?.may) throw new Error(`${role} was granted nothing: DATABASE_URL must be that of the role that owns the tables.`);
    });
  } finally {
    await sql.end();
  }
}

/** Those of ours; the partitions and what an auditor restored belong to nobody but the owner. */
async function tables(sql: Handle): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    select c.relname as name from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
      and not c.relispartition and c.relname not like 'audit\\_restored\\_%' order by 1`;
  return rows.map(({ name }) => name);
}
