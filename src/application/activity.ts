import { ACTIVITY } from '#domain/activity.ts';
import type { AuditEvent } from '#domain/audit-event.ts';
import type { Needs } from './ports/services.ts';
import type { EventPosition } from './ports/store.ts';

/**
 * What happened to an account, as its owner sees it, the newest first. A page begins behind a position, which names no account: a
 * position that somebody made up moves them within their own events. @returns one more than `limit` when there are more
 */
export function activity({ store }: Needs<'store'>) {
  return (accountId: string, limit: number, after: EventPosition | null): Promise<AuditEvent[]> =>
    store.read((records) => records.audit.listOfAccount(accountId, ACTIVITY, limit + 1, after));
}
