import type { AuditFacts, DatabaseFacts, OutboxFacts } from '#domain/doctor-database.ts';
import type { SeenAddresses } from '#domain/doctor-proxy.ts';
import { connect, type DatabaseAddress, type Handle } from './connect.ts';
import { migrationState } from './migrate.ts';

/** Looks at a database for `latchkey doctor`, and changes nothing. Each look is bounded by the server too, and can fail by itself. */
export type Examination = {
  database(): Promise<DatabaseFacts>;
  audit(): Promise<AuditFacts>;
  outbox(now: Date): Promise<OutboxFacts>;
  /** The addresses of the newest sign-ins that most accounts used. */
  seen(): Promise<NonNullable<SeenAddresses>>;
  hasAdmin(): Promise<boolean>;
  /** Sealed secrets, the oldest and the newest. `isWhole`: there are no others. */
  sealed(): Promise<{ secrets: string[]; isWhole: boolean }>;
  close(): Promise<void>;
};

const CONNECT_SECONDS = 2;
const STATEMENT_MS = '2000ms';
const SIGN_INS = 500;
const ADDRESSES = 10;
const SECRETS = 500;
const DEAD_DAYS = 7;

export function examine(address: DatabaseAddress): Examination {
  const sql = connect(address, { max: 1, connect_timeout: CONNECT_SECONDS });
  // PgBouncer refuses limits as parameters of the connection: they are set in each transaction.
  const look = <T>(work: (tx: Handle) => Promise<T>): Promise<T> =>
    sql.begin('read only', async (tx) => {
      await tx`select set_config('statement_timeout', ${STATEMENT_MS}, true), set_config('lock_timeout', ${STATEMENT_MS}, true)`;
      return await work(tx);
    }) as Promise<T>;

  return {
    database: () =>
      look(async (tx) => {
        const aheadSeconds = await clockAhead(tx);
        const [row] = await tx<Omit<DatabaseFacts, 'aheadSeconds' | 'hasSchema' | 'pending' | 'unknown' | 'changed'>[]>`
          select current_setting('server_version_num')::int as version, current_setting('server_encoding') as encoding,
            pg_is_in_recovery() or current_setting('default_transaction_read_only')::boolean as "isReadOnly",
            coalesce((select ssl from pg_stat_ssl where pid = pg_backend_pid()), false) as "isEncrypted",
            (select rolsuper from pg_roles where rolname = current_user) as "isSuperuser",
            current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int as connections`;
        if (!row) throw new Error('PostgreSQL says nothing of itself');
        return { ...row, aheadSeconds, ...(await migrationState(tx)) };
      }),
    audit: () =>
      look(async (tx) => {
        const rows = await tx<{ name: string }[]>`
          select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = 'audit_events'::regclass`;
        const months = rows.flatMap(({ name }) => /^audit_events_(\d{4})_(\d{2})$/.exec(name)?.slice(1).join('-') ?? []).sort();
        const [row] = await tx<{ mayChange: boolean; usesDefault: boolean; unsealedSince: Date | null }[]>`
          select has_table_privilege(current_user, 'audit_events', 'update') as "mayChange",
            exists (select from audit_events where ${outside(tx, months)}) as "usesDefault",
            (select occurred_at from audit_events where position < audit_horizon() and (position, id) > (
                coalesce((select last_position from audit_seals order by number desc limit 1), -1),
                coalesce((select last_id from audit_seals order by number desc limit 1), '00000000-0000-0000-0000-000000000000'))
              order by position, id limit 1) as "unsealedSince"`;
        if (!row) throw new Error('PostgreSQL says nothing of the audit trail');
        return { ...row, months };
      }),
    outbox: (now) =>
      look(async (tx) => {
        const [row] = await tx<{ waiting: number; oldest: Date | null; dead: number; replayable: number }[]>`
          select waiting, oldest, dead, replayable
          from (select count(*)::int as waiting, min(created_at) as oldest from outbox where sent_at is null and failed_at is null) as w,
            (select count(*) filter (where failed_at is not null)::int as dead,
                count(*) filter (where failed_at is not null and sealed is not null and expires_at > ${now})::int as replayable
              from outbox where (sent_at is not null or failed_at is not null) and created_at > ${now}::timestamptz - ${DEAD_DAYS}::int * interval '1 day') as d`;
        if (!row) throw new Error('PostgreSQL says nothing of the outbox');
        const oldestSeconds = row.oldest ? Math.max(0, (now.getTime() - row.oldest.getTime()) / 1000) : 0;
        return { waiting: row.waiting, oldestSeconds, dead: row.dead, replayable: row.replayable };
      }),
    seen: () =>
      look(
        async (tx) =>
          await tx<{ ip: string; accounts: number }[]>`
          select ip, count(distinct account_id)::int as accounts
          from (select ip, account_id from audit_events where type = 'LOGIN_SUCCEEDED' order by occurred_at desc, id desc limit ${SIGN_INS}) as newest
          group by ip order by accounts desc, ip limit ${ADDRESSES}`,
      ),
    hasAdmin: () =>
      look(async (tx) => (await tx`select from accounts where 'admin' = any (roles) and status = 'active' limit 1`).length === 1),
    sealed: () =>
      look(async (tx) => {
        const rows = await tx<{ id: string; secret: string }[]>`
          (select id, secret from totp_authenticators order by id limit ${SECRETS})
          union (select id, secret from totp_authenticators order by id desc limit ${SECRETS})`;
        return { secrets: rows.map(({ secret }) => secret), isWhole: rows.length < 2 * SECRETS };
      }),
    close: () => sql.end({ timeout: 1 }),
  };
}

/** By how much the server's clock is ahead of ours at least, whatever the way there takes; negative: behind. */
async function clockAhead(sql: Handle): Promise<number> {
  const askedAtMs = Date.now();
  const [row] = await sql<{ ms: number }[]>`select (extract(epoch from clock_timestamp()) * 1000)::float8 as ms`;
  const [theirs, answeredAtMs] = [row?.ms ?? askedAtMs, Date.now()];
  return (Math.max(0, theirs - answeredAtMs) + Math.min(0, theirs - askedAtMs)) / 1000;
}

/** The times that no month covers: what stands there is in the default partition, and the planner looks nowhere else. */
function outside(sql: Handle, months: readonly string[]) {
  const begins = (month: string, later = 0) => new Date(Date.UTC(Number(month.slice(0, 4)), Number(month.slice(5)) - 1 + later, 1));
  const [first, ...others] = months;
  if (first === undefined) return sql`true`;
  let [times, end] = [sql`occurred_at < ${begins(first)}`, begins(first, 1)];
  for (const month of others) {
    if (end < begins(month)) times = sql`${times} or (occurred_at >= ${end} and occurred_at < ${begins(month)})`;
    end = begins(month, 1);
  }
  return sql`${times} or occurred_at >= ${end}`;
}
