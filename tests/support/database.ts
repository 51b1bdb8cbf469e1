import { randomBytes } from 'node:crypto';
import type { Sql } from 'postgres';
import { inject } from 'vitest';
import { connect, type DatabaseAddress } from '#infrastructure/postgres/connect.ts';

export type TestDatabase = {
  address: DatabaseAddress;
  /** For what a test looks at or sets past the service. */
  sql: Sql;
  drop(): Promise<void>;
};

/**
 * A transaction that a failed test left open must fail what waits for it, and go: otherwise each test that follows would wait
 * for its locks until it times out. Longer than `until` waits, so that its message comes first.
 */
const LEFT_BEHIND = { lock_timeout: 12_000, idle_in_transaction_session_timeout: 12_000 };

/** A database of this test alone: a clone of the migrated template, made in some 50 ms. */
export async function testDatabase(): Promise<TestDatabase> {
  const server = inject('postgres');
  const name = await createDatabase(server, inject('templateDatabase'));
  const address = inDatabase(server, name);
  const sql = connect(address, { max: 2, connection: LEFT_BEHIND });
  return {
    address,
    sql,
    async drop() {
      // Connections that have ended handed in what they counted; one that is open still may not have.
      const [seen] = await sql<{ deadlocks: number }[]>`
        select deadlocks::int from pg_stat_database where datname = current_database()`;
      await sql.end({ timeout: 2 });
      await dropDatabase(server, name);
      if (seen?.deadlocks !== 0) throw new Error(`PostgreSQL ended ${seen?.deadlocks} deadlocks here; its log says which statements met`);
    },
  };
}

/** @returns its name, which is random */
export async function createDatabase(server: DatabaseAddress, template = 'template1'): Promise<string> {
  const name = `latchkey_test_${randomBytes(8).toString('hex')}`;
  await onServer(server, (sql) => sql`create database ${sql(name)} template ${sql(template)}`);
  return name;
}

export async function dropDatabase(server: DatabaseAddress, name: string): Promise<void> {
  await onServer(server, (sql) => sql`drop database if exists ${sql(name)} with (force)`);
}

export function inDatabase(server: DatabaseAddress, name: string): DatabaseAddress {
  if (!('url' in server)) return { ...server, database: name };
  const url = new URL(server.url);
  url.pathname = `/${name}`;
  return { url: url.href };
}

/** Settings that lead a process, or a command, to this database. A socket has no URL: postgres.js finds it by PGHOST. */
export function settingsFor(address: DatabaseAddress): Record<string, string> {
  if ('url' in address) return { DATABASE_URL: address.url };
  return { DATABASE_URL: `postgres:///${address.database}`, PGHOST: address.socketDirectory, PGUSER: address.user };
}

/** What leads psql there. */
export function psqlEnvironment(address: DatabaseAddress): Record<string, string> {
  const common = { PATH: process.env['PATH'] ?? '', LC_ALL: 'C.UTF-8' };
  if (!('url' in address)) return { ...common, PGHOST: address.socketDirectory, PGUSER: address.user, PGDATABASE: address.database };
  const { hostname, port, username, password, pathname } = new URL(address.url);
  const place = { PGHOST: hostname, PGPORT: port || '5432', PGDATABASE: pathname.slice(1) };
  return { ...common, ...place, PGUSER: decodeURIComponent(username), PGPASSWORD: decodeURIComponent(password) };
}

async function onServer(server: DatabaseAddress, work: (sql: Sql) => PromiseLike<unknown>): Promise<void> {
  const sql = connect(server, { max: 1 });
  try {
    await work(sql);
  } finally {
    await sql.end();
  }
}
