import { ACTIVITY } from '#domain/activity.ts';
import type { AuditEvent } from '#domain/audit-event.ts';
import type { Needs } from './ports/services.ts';
import type { EventPosition } from './ports/store.ts';

export type Activity = { events: AuditEvent[]; next: EventPosition | null };

/**
 * What happened to an account, as its owner sees it, the newest first. A page begins behind a position, which names no account: a
 * position that somebody made up moves them within their own events.
 */
export function activity({ store }: Needs<'store'>) {
  return async (accountId: string, limit: number, after: EventPosition | null): Promise<Activity> => {
    const found = await store.read((records) => records.audit.listOfAccount(accountId, ACTIVITY, limit + 1, after));
    const events = found.slice(0, limit);
    const last = events.at(-1);
    return { events, next: last && found.length > limit ? { occurredAt: last.occurredAt, id: last.id } : null };
  };
}
