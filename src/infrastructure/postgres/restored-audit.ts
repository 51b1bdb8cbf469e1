import type { AuditRow, RestoredTable } from '#application/ports/audit-trail.ts';
import { auditRowOf, BEGINNING, type EventRow, eventColumns } from './audit-trail.ts';
import type { Database } from './database.ts';

const ROWS_AT_ONCE = 1000;

/** Until all of it is there and proved: an auditor must not take a part for the whole. */
const LOADING = '_loading';

/** Tables `audit_restored_2026_05`: made by whoever may make tables, which the service's own role may not have to. */
export function restoredTable({ sql, within }: Database): RestoredTable {
  return {
    begin: (month) =>
      within(async () => {
        const table = `audit_restored_${month.replace('-', '_')}`;
        const [there] = await sql<{ is_there: boolean }[]>`select to_regclass(${table}) is not null as is_there`;
        if (there?.is_there) return null;
        const loading = table + LOADING;
        await sql`drop table if exists ${sql(loading)}`;
        await sql`create table ${sql(loading)} (like audit_events, primary key (position, id))`;
        return loading;
      }),
    keep: (loading) =>
      within(async () => {
        const table = loading.slice(0, -LOADING.length);
        await sql`alter table ${sql(loading)} rename to ${sql(table)}`;
        return table;
      }),
    discard: (loading) =>
      within(async () => {
        await sql`drop table if exists ${sql(loading)}`;
      }),
    add: (table, lines) =>
      within(async () => {
        await sql`
          insert into ${sql(table)} (id, occurred_at, type, account_id, session_id, ip, user_agent, request_id, risk, details, position)
          select (e->>'id')::uuid, (e->>'occurred_at')::timestamptz, e->>'type', (e->>'account_id')::uuid, (e->>'session_id')::uuid,
            e->>'ip', e->>'user_agent', e->>'request_id', (e->>'risk')::smallint, e->'details', (e->>'position')::bigint
          from jsonb_array_elements(${`[${lines.join(',')}]`}::text::jsonb) as e`;
      }),
    async *lines(table) {
      for (let last: Pick<AuditRow, 'position' | 'id'> | undefined = BEGINNING; last; ) {
        const { position, id }: Pick<AuditRow, 'position' | 'id'> = last;
        const rows: EventRow[] = await within(
          () => sql<EventRow[]>`
            select ${eventColumns(sql)} from ${sql(table)} t where (t.position, t.id) > (${position}, ${id})
            order by t.position, t.id limit ${ROWS_AT_ONCE}`,
        );
        const page: AuditRow[] = rows.map(auditRowOf);
        for (const { line } of page) yield line;
        last = page.at(-1);
      }
    },
  };
}
