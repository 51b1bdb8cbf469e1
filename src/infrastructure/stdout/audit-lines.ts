import type { AuditRow } from '#application/ports/audit-trail.ts';

type Event = {
  id: string;
  position: number;
  occurred_at: string;
  type: string;
  account_id: string | null;
  session_id: string | null;
  ip: string;
  user_agent: string | null;
  request_id: string;
  risk: number;
  details: Record<string, unknown>;
};

/**
 * Prints events for a collector, each as one line of JSON with the names of the Elastic Common Schema (ECS 8). The promise holds
 * until the other end has taken them: only then are they sealed, so that none is missed (ASVS 16.4.3).
 */
export function auditLines(output: NodeJS.WritableStream): (rows: readonly AuditRow[]) => Promise<void> {
  return (rows) =>
    new Promise((resolve, reject) => {
      output.write(rows.map(({ line }) => `${ecsLine(line)}\n`).join(''), (error) => (error ? reject(error) : resolve()));
    });
}

/** @param line as it is sealed */
export function ecsLine(line: string): string {
  const event = JSON.parse(line) as Event;
  return JSON.stringify({
    '@timestamp': event.occurred_at,
    'ecs.version': '8.11.0',
    message: event.type,
    event: {
      kind: event.risk >= 50 ? 'alert' : 'event',
      module: 'latchkey',
      dataset: 'latchkey.audit',
      category: ['authentication'],
      id: event.id,
      action: event.type,
      outcome: outcomeOf(event.type),
      risk_score: event.risk,
      sequence: event.position,
    },
    source: { ip: event.ip },
    ...(event.user_agent === null ? {} : { user_agent: { original: event.user_agent } }),
    ...(event.account_id === null ? {} : { user: { id: event.account_id } }),
    http: { request: { id: event.request_id } },
    latchkey: { session_id: event.session_id, details: event.details },
  });
}

function outcomeOf(type: string): string {
  return /_(FAILED|REFUSED|LOCKED)$/.test(type) ? 'failure' : 'success';
}
