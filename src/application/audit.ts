import { AUDIT_EVENTS, type AuditEvent, type AuditEventType } from '#domain/audit-event.ts';
import type { Client } from '#domain/client.ts';
import type { Needs } from './ports/services.ts';

export type About<Id extends string | null = string | null> = {
  accountId?: Id;
  sessionId?: string | null;
  details?: AuditEvent['details'];
};

/** An audit event of `type` caused by `client`, at its catalogue's risk; it is recorded by the transaction that it tells of. */
export function auditEvent<Id extends string | null = string | null>(
  secrets: Needs<'secrets'>['secrets'],
  type: AuditEventType,
  client: Client,
  at: Date,
  { accountId = null as Id, sessionId = null, details = {} }: About<Id> = {},
): AuditEvent & { accountId: Id } {
  return {
    id: secrets.id(),
    type,
    occurredAt: at,
    accountId,
    sessionId,
    ip: client.ip,
    userAgent: client.userAgent,
    requestId: client.requestId,
    risk: AUDIT_EVENTS[type].risk,
    details,
  };
}
