import type { Client } from '#domain/client.ts';
import { deviceKind } from '#domain/device.ts';
import { auditEvent } from './audit.ts';
import { mails } from './mails.ts';
import type { Needs } from './ports/services.ts';
import type { Session } from './ports/sessions.ts';

export function sessionMoved(needs: Needs<'store' | 'secrets' | 'courier' | 'clock' | 'policy'>) {
  const { store, secrets, courier, clock, policy } = needs;
  const mail = mails(needs);

  /**
   * Looks whether a session speaks from another kind of device than the one that signed in: somebody may have taken it. It is
   * written down once for each kind; with SESSION_BINDING=revoke it ends, and its owner is told. Nothing is asked of the
   * database while nothing has changed. @returns whether the session has ended
   */
  return async (session: Session, client: Client): Promise<boolean> => {
    const binding = policy.sessions.binding;
    const kind = deviceKind(client.userAgent);
    const isSame = session.deviceKind === null || kind === session.deviceKind || (binding === 'log' && session.movedTo.includes(kind));
    if (binding === 'off' || isSame) return false;
    const at = clock.now();
    const about = { accountId: session.accountId, sessionId: session.id, details: { from: session.deviceKind ?? '', to: kind, binding } };
    await store.transaction(async (tx) => {
      await tx.accounts.lock(session.accountId); // as whoever ends sessions does: the mail needs it, after the session
      const isNews = await tx.sessions.noteMove(session.id, kind);
      if (isNews) await tx.audit.record(auditEvent(secrets, 'SESSION_MOVED', client, at, about));
      if (binding !== 'revoke' || !(await tx.sessions.end(session.accountId, session.id, 'moved', at))) return;
      await tx.outbox.enqueue(session.accountId, mail.sessionMoved(at), at);
    });
    courier.wake();
    return binding === 'revoke';
  };
}
