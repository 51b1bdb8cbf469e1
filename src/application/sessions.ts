import type { Client } from '#domain/client.ts';
import { type Refusal, refuse } from '#domain/problems.ts';
import { auditEvent } from './audit.ts';
import type { Needs } from './ports/services.ts';
import type { Session } from './ports/sessions.ts';

/** More live sessions than anyone looks through; the newest are shown. */
export const MOST_LISTED = 100;

export function sessions({ store, secrets, clock }: Needs<'store' | 'secrets' | 'clock'>) {
  return {
    /** The account's live sessions, the last used first (ASVS 7.5.2). */
    list: (accountId: string): Promise<Session[]> =>
      store.read((records) => records.sessions.listLive(accountId, clock.now(), MOST_LISTED)),

    /** Ends one session of the account; another account's, an ended and an unknown one look alike. */
    end: (caller: Session, sessionId: string, client: Client): Promise<null | Refusal<'not-found'>> => {
      const at = clock.now();
      return store.transaction(async (tx) => {
        if (!(await tx.sessions.end(caller.accountId, sessionId, 'ended-by-user', at))) return refuse('not-found');
        const details = { by: caller.id };
        await tx.audit.record(auditEvent(secrets, 'SESSION_ENDED', client, at, { accountId: caller.accountId, sessionId, details }));
        return null;
      });
    },

    /** Ends every session of the account but the caller's. */
    endOthers: (caller: Session, client: Client): Promise<null> => {
      const at = clock.now();
      return store.transaction(async (tx) => {
        const ended = await tx.sessions.endAll(caller.accountId, 'ended-by-user', at, caller.id);
        const about = { accountId: caller.accountId, sessionId: caller.id, details: { ended } };
        await tx.audit.record(auditEvent(secrets, 'OTHER_SESSIONS_ENDED', client, at, about));
        return null;
      });
    },
  };
}
