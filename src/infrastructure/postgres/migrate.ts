import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Sql } from 'postgres';
import { connect, type DatabaseAddress, type Handle } from './connect.ts';
import { isLate } from './failure.ts';

/** One lock for all of Latchkey's migrations in a database: "latchkey" as a number. */
const LOCK = '7809632214523766137';
const ASK_AGAIN_MS = 100;
const MONTHS_AHEAD = 3;
const LOCK_TRIES = 10;
const LOCK_PAUSE_MS = 100;
const FOLDER = path.join(import.meta.dirname, '../../../drizzle');

export class MigrationMistake extends Error {
  readonly isForPeople = true;
}

/**
 * Brings the schema up to date with the files that drizzle-kit wrote, each in a transaction of its own, any number of
 * processes at once: one does it, the others wait and find it done. Drizzle's own migrator is not used: it costs 250 MB of
 * memory and skips a migration that was merged late (docs/adr/0007).
 * @param tell hears what it is about, before it begins: a large table, or somebody else's work, may take minutes
 * @returns the names of those that were applied now
 * @throws MigrationMistake when an applied migration was changed since; what PostgreSQL says when one fails
 */
export async function migrate(address: DatabaseAddress, now: Date, tell: (step: string) => void = () => {}): Promise<string[]> {
  if ('socketDirectory' in address) await createDatabase(address);
  const sql = connect(address, { max: 1, connect_timeout: 5 });
  try {
    return await locked(address, tell, async () => {
      const applied = await applyPending(sql, tell);
      await keepPositionsRising(sql);
      await ensureAuditPartitions(sql, now);
      return applied;
    });
  } finally {
    await sql.end();
  }
}

/**
 * The lock is that of a transaction on a connection of its own. A session's lock would stay with a connection of PgBouncer in
 * transaction mode, which goes to somebody else meanwhile, and the next start would wait for it. Who does not get it asks again
 * instead of waiting in line: those who wait would hold the connections that the one who works needs.
 */
async function locked<T>(address: DatabaseAddress, tell: (step: string) => void, work: () => Promise<T>): Promise<T> {
  const guard = connect(address, { max: 1, connect_timeout: 5 });
  try {
    for (let tries = 1; ; tries++) {
      const done = await guard.begin(async (tx) => {
        await tx`set local idle_in_transaction_session_timeout = 0`; // it is idle for as long as the work takes
        const [lock] = await tx<{ isOurs: boolean }[]>`select pg_try_advisory_xact_lock(${LOCK}::bigint) as "isOurs"`;
        return lock?.isOurs ? { result: await work() } : null;
      });
      if (done) return done.result as T;
      if (tries === 1) tell('waiting for another process that migrates this database');
      await delay(ASK_AGAIN_MS);
    }
  } finally {
    await guard.end();
  }
}

async function applyPending(sql: Sql, tell: (step: string) => void): Promise<string[]> {
  // Asked first: where the service has a role of its own, it may look and not make (docs/runbooks/audit.md).
  const [ledger] = await sql<{ is_there: boolean }[]>`select to_regclass('schema_migrations') is not null as is_there`;
  if (!ledger?.is_there)
    await sql`create table if not exists schema_migrations (name text primary key, hash text not null, applied_at timestamptz not null default now())`;
  const rows = await sql<{ name: string; hash: string }[]>`select name, hash from schema_migrations`;
  const done = new Map(rows.map(({ name, hash }) => [name, hash]));
  const files = migrationFiles();
  const changed = files.find(({ name, hash }) => (done.get(name) ?? hash) !== hash);
  if (changed) throw new MigrationMistake(`The migration ${changed.name} was changed after it was applied here; write a new one instead`);
  const pending = files.filter(({ name }) => !done.has(name));
  for (const [i, { name, text, hash }] of pending.entries()) {
    tell(`applying ${name} (${i + 1} of ${pending.length})`);
    await sql.begin(async (tx) => {
      await tx.unsafe(text);
      await tx`insert into schema_migrations (name, hash) values (${name}, ${hash})`;
    });
  }
  return pending.map(({ name }) => name);
}

/**
 * How a database stands to the migrations of this version; reads only.
 * @returns names: not applied, applied and not ours, applied as something else than what stands here now
 */
export async function migrationState(
  sql: Handle,
): Promise<{ hasSchema: boolean; pending: string[]; unknown: string[]; changed: string[] }> {
  const [ledger] = await sql<{ is_there: boolean }[]>`select to_regclass('schema_migrations') is not null as is_there`;
  const rows = ledger?.is_there ? await sql<{ name: string; hash: string }[]>`select name, hash from schema_migrations order by name` : [];
  const [applied, ours] = [new Map(rows.map(({ name, hash }) => [name, hash])), migrationFiles()];
  return {
    hasSchema: rows.length > 0,
    pending: ours.filter(({ name }) => !applied.has(name)).map(({ name }) => name),
    unknown: rows.filter(({ name }) => !ours.some((file) => file.name === name)).map(({ name }) => name),
    changed: ours.filter(({ name, hash }) => (applied.get(name) ?? hash) !== hash).map(({ name }) => name),
  };
}

/** In the order of drizzle's journal. */
function migrationFiles(): { name: string; text: string; hash: string }[] {
  const journal = JSON.parse(readFileSync(path.join(FOLDER, 'meta/_journal.json'), 'utf8')) as { entries: { tag: string }[] };
  return journal.entries.map(({ tag }) => {
    const text = readFileSync(path.join(FOLDER, `${tag}.sql`), 'utf8');
    return { name: tag, text, hash: createHash('sha256').update(text).digest('hex') };
  });
}

async function createDatabase(address: { socketDirectory: string; user: string; database: string }): Promise<void> {
  const sql = connect({ ...address, database: 'postgres' }, { max: 1 });
  try {
    await sql`select pg_advisory_lock(${LOCK}::bigint)`;
    const [found] = await sql`select 1 from pg_database where datname = ${address.database}`;
    if (!found) await sql`create database ${sql(address.database)}`;
  } finally {
    await sql.end();
  }
}

/**
 * Makes the audit partitions of this month and the next ones; those that exist stay as they are. Any number of processes may
 * do it at once. What had to go to the default partition meanwhile moves to its month.
 */
export async function ensureAuditPartitions(sql: Handle, now: Date, monthsAhead = MONTHS_AHEAD): Promise<void> {
  for (let ahead = 0; ahead <= monthsAhead; ahead++) {
    const from = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + ahead, 1));
    await makeMonth(sql, from.toISOString().slice(0, 7));
  }
}

/** The function gives up soon when a transaction keeps it waiting, because events would queue up behind it. */
async function makeMonth(sql: Handle, month: string): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return void (await sql`select audit_make_month(${month})`);
    } catch (error) {
      if (!isLate(error) || tries === LOCK_TRIES) throw error;
      await delay(LOCK_PAUSE_MS);
    }
  }
}

/**
 * The positions of audit events are numbers of transactions. In a database that was restored from a dump those begin again: they
 * go on above the highest there is, or new events would stand among those that were sealed long ago (docs/adr/0013).
 */
async function keepPositionsRising(sql: Sql): Promise<void> {
  const [row] = await sql<{ highest: string | null; next: string }[]>`
    select greatest((select max(position) from audit_events), (select max(last_position) from audit_seals))::text as highest,
      (pg_snapshot_xmax(s)::text::bigint + audit_horizon() - pg_snapshot_xmin(s)::text::bigint)::text as next
    from pg_current_snapshot() as s`;
  if (row?.highest == null || BigInt(row.highest) < BigInt(row.next)) return;
  const offset = BigInt(row.highest) + 1n;
  // Numbers of the database's own; a function's body takes no parameters.
  await sql.unsafe(`
    create or replace function audit_position() returns bigint language sql volatile as 'select pg_current_xact_id()::text::bigint + ${offset}';
    create or replace function audit_horizon() returns bigint language sql stable
      as 'select pg_snapshot_xmin(pg_current_snapshot())::text::bigint + ${offset}'`);
}
