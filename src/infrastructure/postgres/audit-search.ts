import type { AuditFilter, EventPosition } from '#application/ports/store.ts';
import type { AuditEvent } from '#domain/audit-event.ts';
import { type EventRow, eventOf } from './audit-rows.ts';
import type { Handle } from './connect.ts';

/** From here on an index holds those events alone; see the schema. */
const HIGH_RISK = 50;

/**
 * A page of the trail, newest first. Each filter has an index in the order of time; what lies outside the asked time is in months
 * that are not looked at, so the position is a bound of time as well.
 */
export async function searchAuditEvents(
  sql: Handle,
  { type, accountId, ip, minRisk, from, to }: AuditFilter,
  before: EventPosition | null,
  limit: number,
): Promise<AuditEvent[]> {
  const rows = await sql<EventRow[]>`
    select id, occurred_at, type, account_id, session_id, ip, user_agent, request_id, risk, details from audit_events
    where true
      ${before === null ? sql`` : sql`and occurred_at <= ${before.occurredAt} and (occurred_at, id) < (${before.occurredAt}, ${before.id})`}
      ${from === null ? sql`` : sql`and occurred_at >= ${from}`}
      ${to === null ? sql`` : sql`and occurred_at < ${to}`}
      ${type === null ? sql`` : sql`and type = ${type}`}
      ${accountId === null ? sql`` : sql`and account_id = ${accountId}`}
      ${ip === null ? sql`` : sql`and ip = ${ip}`}
      ${minRisk === 0 ? sql`` : sql`and risk >= ${minRisk} and ${minRisk < HIGH_RISK ? sql`risk > 0` : sql`risk >= 50`}`}
    order by occurred_at desc, id desc limit ${limit}`;
  return rows.map(eventOf);
}
