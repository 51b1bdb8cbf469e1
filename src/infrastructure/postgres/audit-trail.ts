import type { Archived, AuditRow, AuditTrail, Place, Seal } from '#application/ports/audit-trail.ts';
import { lineOf, monthOf } from '#domain/audit-line.ts';
import type { Handle } from './connect.ts';
import type { Database } from './database.ts';
import { isLate, isTaken } from './failure.ts';

/** Before any event: positions are not negative. */
export const BEGINNING: Place = { position: -1, id: '00000000-0000-0000-0000-000000000000' };

export type EventRow = {
  id: string;
  position: string;
  occurred_at: string;
  type: string;
  account_id: string | null;
  session_id: string | null;
  ip: string;
  user_agent: string | null;
  request_id: string;
  risk: number;
  details: string;
};
type SealRow = Omit<Seal, 'number' | 'lastPosition' | 'lastId' | 'keyId' | 'sealedAt'> & {
  number: string;
  last_position: string;
  last_id: string;
  key_id: Buffer;
  sealed_at: Date;
};

/** The columns of an event as its line needs them; the instant as text, so that whatever stands there has a line. */
export const eventColumns = (sql: Handle) => sql`
  id, position, to_char(occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as occurred_at, type, account_id, session_id,
  ip, user_agent, request_id, risk, details::text as details`;

export function auditRowOf(row: EventRow): AuditRow {
  const position = Number(row.position); // bigint comes as text
  const event = {
    id: row.id,
    position,
    occurredAt: row.occurred_at,
    type: row.type,
    accountId: row.account_id,
    sessionId: row.session_id,
    ip: row.ip,
    userAgent: row.user_agent,
    requestId: row.request_id,
    risk: row.risk,
    details: row.details,
  };
  return { id: row.id, position, month: monthOf(event), line: lineOf(event) };
}

export function postgresAuditTrail({ sql, within }: Database): AuditTrail {
  const repeatable = { isRepeatable: true };
  return {
    settled: (after, limit) =>
      within(async () => {
        const { position, id } = after ?? BEGINNING;
        const rows = await sql<EventRow[]>`
          select ${eventColumns(sql)} from audit_events where (position, id) > (${position}, ${id}) and position < audit_horizon()
          order by audit_events.position, audit_events.id limit ${limit}`;
        return rows.map(auditRowOf);
      }, repeatable),
    rows: (after, limit, month) =>
      within(async () => {
        const { position, id } = after ?? BEGINNING;
        const ofMonth = month === undefined ? sql`` : sql`and occurred_at >= ${firstDay(month)} and occurred_at < ${firstDay(month, 1)}`;
        const rows = await sql<EventRow[]>`
          select ${eventColumns(sql)} from audit_events where (position, id) > (${position}, ${id}) ${ofMonth}
          order by audit_events.position, audit_events.id limit ${limit}`;
        return rows.map(auditRowOf);
      }, repeatable),
    newest: (limit) =>
      within(async () => {
        const rows = await sql<EventRow[]>`
          select ${eventColumns(sql)} from audit_events where position < audit_horizon()
          order by audit_events.position desc, audit_events.id desc limit ${limit}`;
        return rows.map(auditRowOf).reverse();
      }, repeatable),
    holds: (id) => within(async () => (await sql`select from audit_events where id = ${id} limit 1`).length === 1, repeatable),
    lastSeal: () =>
      within(async () => {
        const [row] = await sql<SealRow[]>`select * from audit_seals order by number desc limit 1`;
        return row ? sealOf(row) : null;
      }, repeatable),
    seals: (afterNumber, limit, month) =>
      within(async () => {
        const ofMonth = month === undefined ? sql`` : sql`and month = ${month}`;
        const rows = await sql<SealRow[]>`
          select * from audit_seals where number > ${afterNumber} ${ofMonth} order by number limit ${limit}`;
        return rows.map(sealOf);
      }, repeatable),
    addSeals: (seals) =>
      within(async () => {
        const rows = seals.map(({ lastPosition, lastId, keyId, sealedAt, ...seal }) => ({
          ...seal,
          last_position: lastPosition,
          last_id: lastId,
          key_id: keyId,
          sealed_at: sealedAt,
        }));
        try {
          await sql`insert into audit_seals ${sql(rows)}`;
          return true;
        } catch (error) {
          if (isTaken(error)) return false;
          throw error;
        }
      }),
    months: () =>
      within(async () => {
        const rows = await sql<{ name: string }[]>`
          select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = 'audit_events'::regclass`;
        return rows.flatMap(({ name }) => /^audit_events_(\d{4})_(\d{2})$/.exec(name)?.slice(1).join('-') ?? []).sort();
      }, repeatable),
    archives: () =>
      within(async () => {
        const rows = await sql<(Omit<Archived, 'isDropped'> & { is_dropped: boolean })[]>`
          select month, location, manifest, to_regclass('audit_events_' || replace(month, '-', '_')) is null as is_dropped
          from audit_archives order by month`;
        return rows.map(({ is_dropped, ...row }) => ({ ...row, isDropped: is_dropped }));
      }, repeatable),
    recordArchive: ({ month, location, manifest }, at) =>
      within(async () => {
        await sql`insert into audit_archives (month, location, manifest, archived_at) values (${month}, ${location}, ${manifest}, ${at})`;
      }),
    async dropMonth(month, { position, id }) {
      try {
        await within(() => sql`select audit_drop_month(${month}, ${position}, ${id})`);
        return 'dropped';
      } catch (error) {
        if (isLate(error) || (error instanceof Error && isLate(error.cause))) return 'busy';
        throw error;
      }
    },
    forgetSeals: (month, limit) =>
      within(async () => {
        const { count } = await sql`
          delete from audit_seals where number in (
            select number from audit_seals where month = ${month} and number < (select max(number) from audit_seals)
            order by number limit ${limit})`;
        return count;
      }),
  };
}

function sealOf({ number, last_position, last_id, key_id, sealed_at, ...row }: SealRow): Seal {
  return { ...row, number: Number(number), lastPosition: Number(last_position), lastId: last_id, keyId: key_id, sealedAt: sealed_at };
}

function firstDay(month: string, monthsLater = 0): Date {
  const [year = 0, of = 0] = month.split('-').map(Number);
  return new Date(Date.UTC(year, of - 1 + monthsLater, 1));
}
