import type { AuditEvent } from '#domain/audit-event.ts';

export type EventRow = {
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

export function eventOf(row: EventRow): AuditEvent {
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
