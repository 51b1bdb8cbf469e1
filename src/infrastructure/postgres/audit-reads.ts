import type { Reads } from '#application/ports/store.ts';
import { type EventRow, eventOf } from './audit-rows.ts';
import { searchAuditEvents } from './audit-search.ts';
import type { Handle } from './connect.ts';
import { arrayOf } from './rows.ts';

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
    search: (filter, before, limit) => searchAuditEvents(sql, filter, before, limit),
  };
}
