import { z } from 'zod';
import type { auditTrail } from '#application/audit-trail.ts';
import { AUDIT_EVENTS, type AuditEvent, type AuditEventType } from '#domain/audit-event.ts';
import { plainAddress } from '#domain/network.ts';
import { isRefusal } from '#domain/problems.ts';
import { eventCursorOf, pageOf, readEventCursor } from '../cursor.ts';
import { digits, pageFields, time } from '../fields.ts';
import { route } from '../route.ts';
import { instant } from '../views.ts';

export const AuditEventView = z
  .object({
    id: z.uuid(),
    type: z.string().describe('see docs/audit-events.md'),
    occurred_at: instant,
    user_id: z.uuid().nullable().describe('whom it is about'),
    session_id: z.uuid().nullable(),
    ip: z.string(),
    user_agent: z.string().nullable(),
    request_id: z.string(),
    risk: z.int().describe('0 to 100'),
    details: z.record(z.string(), z.unknown()),
  })
  .meta({ id: 'AuditEvent' });

function auditEventView(event: AuditEvent): z.input<typeof AuditEventView> {
  return {
    id: event.id,
    type: event.type,
    occurred_at: event.occurredAt.toISOString(),
    user_id: event.accountId,
    session_id: event.sessionId,
    ip: event.ip,
    user_agent: event.userAgent,
    request_id: event.requestId,
    risk: event.risk,
    details: event.details,
  };
}

export function auditTrailRoute(use: ReturnType<typeof auditTrail>) {
  return route({
    method: 'GET',
    path: '/api/admin/audit-events',
    tag: 'Administration',
    summary: 'What happened, the newest first',
    description: 'With `Accept: application/x-ndjson` all of it, one event a line, from the cursor on if there is one.',
    access: { aal: 'aal2', permission: 'audit:read' },
    problems: [],
    query: z.strictObject({
      type: z.enum(Object.keys(AUDIT_EVENTS) as [AuditEventType]).optional(),
      user_id: z.uuid().optional().describe('whom it is about'),
      ip: z.union([z.ipv4(), z.ipv6()]).optional(),
      min_risk: z.preprocess(digits, z.int().min(0).max(100).default(0)),
      from: time.optional().describe('the first instant'),
      to: time.optional().describe('the first instant after'),
      ...pageFields,
    }),
    responses: {
      200: {
        description: 'A page of the audit trail',
        schema: z.object({ events: z.array(AuditEventView), next_cursor: z.string().nullable() }).meta({ id: 'AuditEvents' }),
      },
    },
    line: AuditEventView,
    async handler({ query, principal, client, accept }) {
      const before = readEventCursor(query.cursor);
      if (isRefusal(before)) return before;
      const filter = {
        type: query.type ?? null,
        accountId: query.user_id ?? null,
        ip: query.ip === undefined ? null : plainAddress(query.ip),
        minRisk: query.min_risk,
        from: query.from === undefined ? null : new Date(query.from),
        to: query.to === undefined ? null : new Date(query.to),
      };
      if (accept.includes('application/x-ndjson')) {
        return { status: 200, lines: mapped(use.export(principal, filter, before, client), auditEventView) };
      }
      const found = await use.list(filter, before, query.limit);
      const { items, nextCursor } = pageOf(found, query.limit, eventCursorOf);
      return { status: 200, body: { events: items.map(auditEventView), next_cursor: nextCursor } };
    },
  });
}

async function* mapped<In, Out>(items: AsyncIterable<In>, map: (item: In) => Out): AsyncGenerator<Out> {
  for await (const item of items) yield map(item);
}
