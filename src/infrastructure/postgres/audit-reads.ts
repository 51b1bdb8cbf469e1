import type { Reads } from '#application/ports/store.ts';
import type { AuditEvent } from '#domain/audit-event.ts';
import type { Handle } from './connect.ts';
import { arrayOf } from './rows.ts';

type EventRow = {
  id: string;
  occurred_at: Date;
  type: AuditEvent['type'];
  account_id: string | null;
  session_id: string | null;
  ip: string;
  user_agent: string | null;
  request_id: string;
  risk: number;
  details: AuditEvent['details'];
};

export function auditReads(sql: Handle): Reads['audit'] {
  return {
    async listOfAccount(accountId, types, limit, after) {
      // The bound on the time alone says the same once more: it is what leaves whole months out.
      const rows = await sql<EventRow[]>`
        select id, occurred_at, type, account_id, session_id, ip, user_agent, request_id, risk, details from audit_events
        where account_id = ${accountId} ${types === null ? sql`` : sql`and type = any(${arrayOf(types)}::text::text[])`}
          ${after === null ? sql`` : sql`and occurred_at <= ${after.occurredAt} and (occurred_at, id) < (${after.occurredAt}, ${after.id})`}
        order by occurred_at desc, id desc limit ${limit}`;
      return rows.map(eventOf);
    },
  };
}

function eventOf(row: EventRow): AuditEvent {
  return {
    id: row.id,
    type: row.type,
    occurredAt: row.occurred_at,
    accountId: row.account_id,
    sessionId: row.session_id,
    ip: row.ip,
    userAgent: row.user_agent,
    requestId: row.request_id,
    risk: row.risk,
    details: row.details,
  };
}
