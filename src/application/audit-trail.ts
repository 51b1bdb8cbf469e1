import type { AuditEvent, Detail } from '#domain/audit-event.ts';
import type { Client } from '#domain/client.ts';
import { permissionsOf } from '#domain/roles.ts';
import { auditEvent } from './audit.ts';
import type { Needs } from './ports/services.ts';
import type { Caller } from './ports/sessions.ts';
import type { AuditFilter, EventPosition } from './ports/store.ts';

/** As many are in memory at once, however long the trail is. */
const PAGE = 500;

export function auditTrail({ store, secrets, clock }: Needs<'store' | 'secrets' | 'clock'>) {
  return {
    /** Newest first. @returns one more than `limit` when there are more */
    list: (filter: AuditFilter, before: EventPosition | null, limit: number): Promise<AuditEvent[]> =>
      store.read((records) => records.audit.search(filter, before, limit + 1)),

    /**
     * All of it, newest first, page by page as they are taken: nobody holds a transaction or a connection in between. That it was
     * asked for stands in the trail (ASVS 16.3.3). Before each page the session must still live and permit it.
     * @throws when it does not any more: who reads must not take what they got for all
     */
    async *export(caller: Caller, filter: AuditFilter, from: EventPosition | null, client: Client): AsyncGenerator<AuditEvent> {
      const asked = Object.entries(filter).filter(([, value]) => value !== null && value !== 0);
      const details = Object.fromEntries(asked.map(([name, value]): [string, Detail] => [name, String(value)]));
      const about = { accountId: caller.account.id, sessionId: caller.session.id, details: { filter: details } };
      await store.transaction((tx) => tx.audit.record(auditEvent(secrets, 'AUDIT_EXPORTED', client, clock.now(), about)));
      for (let before = from; ; ) {
        const live = await store.hot.authenticate(caller.session.id, clock.now());
        const isPermitted =
          live?.endedBecause === null && live.account.status === 'active' && permissionsOf(live.account.roles).includes('audit:read');
        if (!isPermitted) throw new Error('who exports the audit trail may not any more');
        const page = await store.read((records) => records.audit.search(filter, before, PAGE));
        yield* page;
        const last = page.at(-1);
        if (last === undefined || page.length < PAGE) return;
        before = { occurredAt: last.occurredAt, id: last.id };
      }
    },
  };
}
