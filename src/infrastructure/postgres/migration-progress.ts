import type { Sql } from 'postgres';
import type { AuditEvent } from '#domain/audit-event.ts';
import { connect, type DatabaseAddress, type Handle } from './connect.ts';
import { record } from './parts.ts';

/** Where an account stands between another provider and us, and what that means. */
export const MIGRATION_STATES = {
  drained: 'signs in here with the password that was right at the provider',
  changed: 'signs in here with a password chosen since it moved',
  own: 'had a password here when its user was linked',
  held_back: 'has no password here: the provider asks its user for a second factor too',
  waiting: 'has no password here yet',
  native: 'has a password here, and no user at the provider that ever signed in',
} as const;

export type MigrationState = keyof typeof MIGRATION_STATES;
export type Progress = { states: Record<MigrationState, number>; lastDrainedAt: Date | null; drainedInAWeek: number };
export type MigratingUser = { id: string; email: string; linkedAt: Date | null; drainedAt: Date | null };

const PAGE = 1000;
const WEEK_MS = 7 * 24 * 60 * 60 * 1000;

/** A password is the drained one as long as its hash is the one that was written then. */
const isDrained = (sql: Handle) => sql`f.drained_hash = sha256(convert_to(a.password_hash, 'UTF8'))`;

/** Every account but those being deleted, with its state; of several providers' users the last that signed in. */
const migrating = (sql: Handle) => sql`
  select a.id, a.email, f.linked_at as "linkedAt", f.drained_at as "drainedAt",
    case when a.password_hash is null then case when f.held_back is not null then 'held_back' else 'waiting' end
      when f.account_id is null then 'native' when f.drained_at is null then 'own'
      when ${isDrained(sql)} then 'drained' else 'changed' end as state
  from accounts a left join lateral (
    select * from federated_identities i where i.account_id = a.id order by i.last_used_at desc limit 1) f on true
  where a.status <> 'deleted'`;

/** How far it is: one look at every account. */
export async function migrationProgress(address: DatabaseAddress, now: Date): Promise<Progress> {
  const rows = await alone(
    address,
    (sql) => sql<{ state: MigrationState; count: number; last: Date | null; recent: number }[]>`
    select state, count(*)::int as count, max("drainedAt") as last,
      (count(*) filter (where "drainedAt" > ${new Date(now.getTime() - WEEK_MS)}))::int as recent
    from (${migrating(sql)}) as m group by state`,
  );
  const names = Object.keys(MIGRATION_STATES) as MigrationState[];
  const states = names.map((name) => [name, rows.find(({ state }) => state === name)?.count ?? 0]);
  const times = rows.flatMap(({ last }) => (last ? [last.getTime()] : []));
  return {
    states: Object.fromEntries(states) as Progress['states'],
    lastDrainedAt: times.length > 0 ? new Date(Math.max(...times)) : null,
    drainedInAWeek: rows.reduce((sum, { recent }) => sum + recent, 0),
  };
}

/** Hands out those of one state, in the order of their ids, a page at a time. */
export async function listMigrating(address: DatabaseAddress, state: MigrationState, take: (page: MigratingUser[]) => void): Promise<void> {
  await alone(address, async (sql) => {
    for (let after = '00000000-0000-0000-0000-000000000000'; ; ) {
      const page = await sql<MigratingUser[]>`
      select id, email, "linkedAt", "drainedAt" from (${migrating(sql)} and a.id > ${after}) as m where state = ${state}
      order by id limit ${PAGE}`;
      const last = page.at(-1);
      if (last === undefined) return;
      take(page);
      after = last.id;
    }
  });
}

/**
 * The way back: drained passwords that nobody has changed since are forgotten here, so that only the provider knows them again; what
 * was chosen here stays. All or none. @param eventOf the event to be recorded with it @returns how many accounts
 */
export async function undoMigration(address: DatabaseAddress, now: Date, eventOf: (accounts: number) => AuditEvent): Promise<number> {
  return await alone(address, (sql) =>
    sql.begin(async (tx) => {
      const undone = await tx`
        with f as (
          select f.issuer, f.subject, a.id from federated_identities f join accounts a on a.id = f.account_id where ${isDrained(tx)}
          for no key update of a
        ), forgotten as (update federated_identities i set drained_at = null, drained_hash = null from f
          where i.issuer = f.issuer and i.subject = f.subject)
        update accounts a set password_hash = null, updated_at = ${now} from f where a.id = f.id returning a.id`;
      if (undone.length > 0) await record(tx, eventOf(undone.length));
      return undone.length;
    }),
  );
}

/** Forgets which user of a provider an account belongs to. @returns the account; null when there was none to forget */
export async function unlinkIdentities(address: DatabaseAddress, email: string, eventOf: (accountId: string) => AuditEvent) {
  return await alone(address, (sql) =>
    sql.begin(async (tx) => {
      const [row] = await tx<{ id: string }[]>`
        delete from federated_identities f using accounts a where a.id = f.account_id and a.email_canonical = ${email} returning a.id`;
      if (row) await record(tx, eventOf(row.id));
      return row?.id ?? null;
    }),
  );
}

/** On a connection without the deadlines of the service: a command may take its time. */
async function alone<T>(address: DatabaseAddress, work: (sql: Sql) => PromiseLike<T>): Promise<T> {
  const sql = connect(address, { max: 1, connect_timeout: 5 });
  try {
    return await work(sql);
  } finally {
    await sql.end();
  }
}
