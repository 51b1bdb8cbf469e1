import path from 'node:path';
import type { Sql } from 'postgres';
import { connect, type DatabaseAddress } from './connect.ts';

/** One lock for all of Latchkey's migrations in a database: "latchkey" as a number. */
const LOCK = '7809632214523766137';

const MONTHS_AHEAD = 3;

/**
 * Brings the schema up to date, any number of processes at once: one does it, the others wait and find it done.
 * @throws what PostgreSQL says when a migration fails; nothing of it is kept
 */
export async function migrate(address: DatabaseAddress, now: Date): Promise<void> {
  if ('socketDirectory' in address) await createDatabase(address);
  const { drizzle } = await import('drizzle-orm/postgres-js');
  const { migrate: applyAll } = await import('drizzle-orm/postgres-js/migrator');
  const sql = connect(address, { max: 1, connect_timeout: 5 }); // its own connection: the session's lock goes with it
  try {
    await sql`select pg_advisory_lock(${LOCK}::bigint)`;
    await applyAll(drizzle(sql), { migrationsFolder: path.join(import.meta.dirname, '../../../drizzle') });
    await ensureAuditPartitions(sql, now);
  } finally {
    await sql.end();
  }
}

async function createDatabase(address: { socketDirectory: string; user: string; database: string }): Promise<void> {
  const sql = connect({ ...address, database: 'postgres' }, { max: 1 });
  try {
    const [found] = await sql`select 1 from pg_database where datname = ${address.database}`;
    if (!found) await sql`create database ${sql(address.database)}`;
  } finally {
    await sql.end();
  }
}

/** Makes the audit partitions of this month and the next ones; those that exist stay as they are. Safe in parallel. */
export async function ensureAuditPartitions(sql: Sql, now: Date): Promise<void> {
  for (let ahead = 0; ahead <= MONTHS_AHEAD; ahead++) {
    const from = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + ahead, 1));
    const to = new Date(Date.UTC(from.getUTCFullYear(), from.getUTCMonth() + 1, 1));
    const name = `audit_events_${from.toISOString().slice(0, 7).replace('-', '_')}`;
    // Names and bounds come from a date, never from input; DDL takes no parameters.
    await sql.unsafe(
      `create table if not exists "${name}" partition of audit_events for values from ('${from.toISOString()}') to ('${to.toISOString()}')`,
    );
  }
}
