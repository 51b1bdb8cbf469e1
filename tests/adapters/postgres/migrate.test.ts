import { randomBytes, randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { is } from 'drizzle-orm';
import { getTableConfig, PgDialect, PgTable } from 'drizzle-orm/pg-core';
import type { Sql } from 'postgres';
import { afterEach, describe, expect, inject, it } from 'vitest';
import { connect, type DatabaseAddress } from '#infrastructure/postgres/connect.ts';
import { ensureAuditPartitions, MigrationMistake, migrate } from '#infrastructure/postgres/migrate.ts';
import * as schema from '#infrastructure/postgres/schema.ts';
import { createDatabase, dropDatabase, inDatabase } from '#tests/support/database.ts';
import { until } from '#tests/support/until.ts';

const NOW = new Date('2027-11-15T12:00:00Z');
const server = inject('postgres');
const undo: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

async function emptyDatabase(): Promise<{ address: DatabaseAddress; sql: Sql }> {
  const name = await createDatabase(server);
  const address = inDatabase(server, name);
  const sql = connect(address, { max: 2 });
  undo.push(async () => {
    await sql.end({ timeout: 2 });
    await dropDatabase(server, name);
  });
  return { address, sql };
}

const partitions = async (sql: Sql) =>
  (
    await sql<{ name: string }[]>`
      select inhrelid::regclass::text as name from pg_inherits where inhparent = 'audit_events'::regclass order by 1`
  ).map(({ name }) => name);

/** Every migration there is, in order. */
const ALL = readdirSync('drizzle')
  .filter((file) => file.endsWith('.sql'))
  .map((file) => file.replace('.sql', ''))
  .sort();

const addEvent = (sql: Sql, occurredAt: Date) => sql`
  insert into audit_events (id, occurred_at, type, ip, request_id, risk, details)
  values (${randomUUID()}, ${occurredAt}, 'LOGOUT', '192.0.2.1', 'a test', 0, '{}')`;

const whereabouts = async (sql: Sql) =>
  (await sql<{ name: string }[]>`select tableoid::regclass::text as name from audit_events order by occurred_at`).map(({ name }) => name);

describe('migrating', () => {
  it('brings an empty database up to date, and changes nothing the second time', async () => {
    const { address, sql } = await emptyDatabase();
    expect(await migrate(address, NOW)).toEqual(ALL);
    const before = await sql`select * from schema_migrations`;
    expect(await migrate(address, NOW)).toEqual([]);
    expect(await sql`select * from schema_migrations`).toEqual(before);
  });

  it('is done by one of eight that start at once, who tells what it is at; the others tell that they wait', async () => {
    const { address } = await emptyDatabase();
    const told: string[][] = [];
    const applied = await Promise.all(
      Array.from({ length: 8 }, (_, i) => {
        const mine: string[] = [];
        told[i] = mine;
        return migrate(address, NOW, (step) => mine.push(step));
      }),
    );
    expect(applied.flat()).toEqual(ALL);
    const steps = ALL.map((name, i) => `applying ${name} (${i + 1} of ${ALL.length})`);
    for (const [i, mine] of told.entries())
      expect(mine.filter((step) => !step.startsWith('waiting'))).toEqual(applied[i]?.length === 0 ? [] : steps);
    expect(told.flat().filter((step) => step.startsWith('waiting')).length).toBeGreaterThan(0);
  });

  it('refuses to go on when a migration was changed after it was applied', async () => {
    const { address, sql } = await emptyDatabase();
    await migrate(address, NOW);
    await sql`update schema_migrations set hash = 'of another text'`;
    await expect(migrate(address, NOW)).rejects.toThrow(MigrationMistake);
  });

  it('is done by a role that owns the database and is no superuser', async () => {
    const [role, password] = [`latchkey_owner_${randomBytes(4).toString('hex')}`, randomBytes(16).toString('hex')];
    undo.push(async () => {
      const owner = connect(server, { max: 1 });
      await owner.unsafe(`drop role ${role}`);
      await owner.end();
    });
    const { address, sql } = await emptyDatabase();
    await sql.unsafe(`create role ${role} login password '${password}'`);
    await sql.unsafe(`do $$ begin execute format('alter database %I owner to ${role}', current_database()); end $$`);
    const asOwner =
      'url' in address ? { url: Object.assign(new URL(address.url), { username: role, password }).href } : { ...address, user: role };
    expect(await migrate(asOwner, NOW)).toEqual(ALL);
  });

  it('has busy tables vacuumed after a number of dead rows, however many there are, and the queues among them with their indexes', async () => {
    const { address, sql } = await emptyDatabase();
    await migrate(address, NOW);
    const rows = await sql<{ name: string; options: string }[]>`
      select relname as name, string_agg(option, ' ' order by option) as options from pg_class, unnest(reloptions) as option
      where relkind = 'r' and option like '%vacuum%' group by relname`;
    const byNumber = 'autovacuum_vacuum_scale_factor=0 autovacuum_vacuum_threshold=20000';
    expect(Object.fromEntries(rows.map(({ name, options }) => [name, options]))).toEqual({
      tickets: `${byNumber} vacuum_index_cleanup=on`,
      outbox: `${byNumber} vacuum_index_cleanup=on`,
      sessions: byNumber,
      login_throttles: byNumber,
    });
  });

  it('leaves the tables that the schema describes: columns, defaults, keys, checks and indexes', async () => {
    const { address, sql } = await emptyDatabase();
    await migrate(address, NOW);
    const tables = Object.values(schema as Record<string, unknown>).filter((value): value is PgTable => is(value, PgTable));
    expect(tables.length).toBeGreaterThan(5);
    for (const table of tables) expect(await described(sql, getTableConfig(table).name)).toEqual(wanted(table));
  });
});

describe('the months of the audit events', () => {
  it('are made ahead, once, also by eight at once', async () => {
    const { address, sql } = await emptyDatabase();
    await migrate(address, NOW);
    await Promise.all(Array.from({ length: 8 }, () => migrateMonths(address, new Date('2028-02-01T00:00:00Z'))));
    expect(await partitions(sql)).toEqual([
      'audit_events_2027_11',
      'audit_events_2027_12',
      'audit_events_2028_01',
      'audit_events_2028_02',
      'audit_events_2028_03',
      'audit_events_2028_04',
      'audit_events_2028_05',
      'audit_events_default',
    ]);
  });

  it('hold what happened in them in UTC, to the millisecond', async () => {
    const { address, sql } = await emptyDatabase();
    await migrate(address, NOW);
    for (const text of ['2027-11-30T23:59:59.999Z', '2027-12-01T00:00:00.000Z', '2031-01-01T00:00:00.000Z'])
      await addEvent(sql, new Date(text));
    expect(await whereabouts(sql)).toEqual(['audit_events_2027_11', 'audit_events_2027_12', 'audit_events_default']);
  });

  it('take over what had to go to the default partition, so that a service that ran for long starts again', async () => {
    const { address, sql } = await emptyDatabase();
    await migrate(address, NOW);
    for (const text of ['2028-06-01T00:00:00Z', '2028-06-30T23:59:59.999Z', '2028-07-01T00:00:00Z', '2031-01-01T00:00:00Z'])
      await addEvent(sql, new Date(text));
    await migrate(address, new Date('2028-06-15T00:00:00Z'));
    expect(await whereabouts(sql)).toEqual([
      'audit_events_2028_06',
      'audit_events_2028_06',
      'audit_events_2028_07',
      'audit_events_default',
    ]);
    const [parent, month] = await Promise.all(
      ['audit_events', 'audit_events_2028_06'].map((table) => sql`select from pg_index where indrelid = ${table}::regclass`),
    );
    expect(month).toHaveLength(parent?.length ?? 0);
  });

  it('are made while events are written', async () => {
    const { address, sql } = await emptyDatabase();
    await migrate(address, NOW);
    const written = Promise.all(Array.from({ length: 40 }, (_, i) => addEvent(sql, new Date(Date.UTC(2028, 5, 1 + (i % 28))))));
    await Promise.all([written, migrateMonths(address, new Date('2028-06-15T00:00:00Z'))]);
    expect(await whereabouts(sql)).toEqual(Array.from({ length: 40 }, () => 'audit_events_2028_06'));
  });
});

describe('the positions of audit events', () => {
  it('rise on in a database that was restored from a dump, where the numbers of transactions begin again', async () => {
    const { address, sql } = await emptyDatabase();
    await migrate(address, NOW);
    await addEvent(sql, NOW);
    const position = async () => {
      const [row] = await sql<{ highest: string }[]>`select max(position)::text as highest from audit_events`;
      return BigInt(row?.highest ?? 0);
    };
    const before = await position();
    const ahead = before + 1_000_000_000_000n; // as a server that has seen more transactions gave it
    await sql`insert into audit_events (id, occurred_at, type, ip, request_id, risk, details, position)
      values (${randomUUID()}, ${NOW}, 'LOGOUT', '192.0.2.1', 'a test', 0, '{}', ${String(ahead)})`;
    for (let starts = 0; starts < 2; starts++) await migrate(address, NOW);
    await addEvent(sql, NOW);
    const after = await position();
    expect(after).toBeGreaterThan(ahead);
    await until('it is settled', async () => {
      const [row] = await sql`select audit_horizon() > ${String(after)}::bigint as settled`;
      return row?.['settled'];
    });
    await migrate(address, NOW);
    await addEvent(sql, NOW);
    expect((await position()) - after).toBeLessThan(1000n); // once is enough
  });
});

async function migrateMonths(address: DatabaseAddress, now: Date): Promise<void> {
  const own = connect(address, { max: 1 });
  try {
    await ensureAuditPartitions(own, now);
  } finally {
    await own.end();
  }
}

type Described = { columns: string[]; primaryKey: string[]; checks: number; foreignKeys: string[]; indexes: string[] };

function wanted(table: PgTable): Described {
  const config = getTableConfig(table);
  const single = config.columns.filter(({ primary }) => primary).map(({ name }) => name);
  return {
    columns: config.columns.map((column) =>
      [column.name, column.getSQLType().replace(/ ?\(3\) ?/, '(3) '), column.notNull, column.hasDefault].join(' '),
    ),
    primaryKey: config.primaryKeys[0]?.columns.map(({ name }) => name) ?? single,
    checks: config.checks.length,
    foreignKeys: config.foreignKeys.map((key) => `${key.reference().columns[0]?.name} ${key.onDelete}`).sort(),
    indexes: [
      ...config.columns.filter(({ isUnique }) => isUnique).map(({ uniqueName }) => `${uniqueName} true`),
      ...config.indexes.map(({ config: index }) => {
        const columns = index.columns.map(columnOf).join(', ');
        const where = index.where === undefined ? '' : ` where ${plainly(new PgDialect().sqlToQuery(index.where).sql)}`;
        return `${index.name} ${index.unique} (${columns})${where}`;
      }),
    ].sort(),
  };
}

async function described(sql: Sql, table: string): Promise<Described> {
  const columns = await sql<{ line: string }[]>`
    select concat_ws(' ', column_name,
      case data_type when 'ARRAY' then ltrim(udt_name, '_') || '[]' when 'timestamp with time zone'
        then 'timestamp(' || datetime_precision || ') with time zone' else data_type end,
      is_nullable = 'NO', column_default is not null) as line
    from information_schema.columns where table_name = ${table} order by ordinal_position`;
  const keys = await sql<{ kind: string; line: string }[]>`
    select contype as kind, case contype
      when 'p' then (select string_agg(attname, ',' order by array_position(conkey, attnum)) from pg_attribute where attrelid = conrelid and attnum = any(conkey))
      when 'f' then (select attname from pg_attribute where attrelid = conrelid and attnum = conkey[1]) || case confdeltype when 'c' then ' cascade' else ' other' end
      else conname end as line
    from pg_constraint where conrelid = ${table}::regclass and contype in ('p', 'f', 'c')`;
  const indexes = await sql<{ name: string; is_unique: boolean; definition: string }[]>`
    select c.relname as name, i.indisunique as is_unique, pg_get_indexdef(i.indexrelid) as definition
    from pg_index i join pg_class c on c.oid = i.indexrelid where i.indrelid = ${table}::regclass and not i.indisprimary`;
  const of = (kind: string) => keys.filter((key) => key.kind === kind).map(({ line }) => line);
  return {
    columns: columns.map(({ line }) => line.replace(/ t\b/g, ' true').replace(/ f\b/g, ' false')),
    primaryKey: of('p')[0]?.split(',') ?? [],
    checks: of('c').length,
    foreignKeys: of('f').sort(),
    indexes: indexes
      .map(({ name, is_unique, definition }) => {
        if (name.endsWith('_unique')) return `${name} ${is_unique}`;
        const [, columnsOf, where] = /USING btree (\(.*?\))(?: WHERE (.*))?$/.exec(definition) ?? [];
        return `${name} ${is_unique} ${columnsOf?.replaceAll('"', '')}${where === undefined ? '' : ` where ${plainly(where)}`}`;
      })
      .sort(),
  };
}

function columnOf(column: object): string {
  if (!('name' in column)) return '?';
  const { opClass } = 'indexConfig' in column ? (column.indexConfig as { opClass?: string }) : {};
  return opClass === undefined ? String(column.name) : `${column.name} ${opClass}`;
}

/** A condition without what PostgreSQL adds when it writes it down. */
function plainly(condition: string): string {
  return condition.replace(/[()]|::text/g, '').toLowerCase();
}
