/** An event as the database holds it; `details` is the text of its JSON, `occurredAt` RFC 3339 with milliseconds in UTC. */
export type StoredEvent = {
  id: string;
  /** Its transaction's number: events are sealed in this order, then by id. */
  position: number;
  occurredAt: string;
  type: string;
  accountId: string | null;
  sessionId: string | null;
  ip: string;
  userAgent: string | null;
  requestId: string;
  risk: number;
  details: string;
};

/**
 * The one form of an event that is sealed, archived and compared: a line of JSON with its members in this order. Every byte
 * counts (docs/adr/0013), so the order and the names never change.
 */
export function lineOf(event: StoredEvent): string {
  const { id, position, occurredAt, type, accountId, sessionId, ip, userAgent, requestId, risk, details } = event;
  const head = { id, position, occurred_at: occurredAt, type, account_id: accountId, session_id: sessionId, ip };
  const rest = { user_agent: userAgent, request_id: requestId, risk };
  return `${JSON.stringify({ ...head, ...rest }).slice(0, -1)},"details":${details}}`;
}

/** The month that an event belongs to, as `2026-11`. */
export function monthOf({ occurredAt }: Pick<StoredEvent, 'occurredAt'>): string {
  return occurredAt.slice(0, 7);
}

/** The months that ended at least `days` ago. */
export function hasEndedFor(month: string, days: number, now: Date): boolean {
  const [year = 0, of = 0] = month.split('-').map(Number);
  return Date.UTC(year, of, 1) + days * 86_400_000 <= now.getTime();
}
