import type { Client } from '#domain/client.ts';
import { isRefusal, type Refusal, refuse } from '#domain/problems.ts';
import { auditEvent } from './audit.ts';
import type { Needs } from './ports/services.ts';
import type { EmailRevert, ReportedDevice } from './ports/tickets.ts';
import { findForTakingBack, takeBack } from './take-back.ts';

export function reportSignIn(needs: Needs<'store' | 'secrets' | 'courier' | 'clock' | 'policy'>) {
  const { store, secrets, courier, clock } = needs;

  /**
   * "This was not me", by the link in the mail about a new device. Whoever signed in knows the password: it is good for nothing from
   * now on, every session ends, and what that sign-in led to is undone: authenticators, devices, links, a deletion, a move to another
   * address. A link to choose a new password goes to the address that this mail came to. Second factors from before stay: a mail box
   * alone switches none off. Links about earlier sign-ins stay good, because they undo more (docs/adr/0012).
   */
  return async (token: string, client: Client): Promise<null | Refusal<'invalid-token' | 'conflict'>> => {
    const at = clock.now();
    const secretHash = secrets.ticketHash(token);
    const outcome = await store.transaction(async (tx) => {
      const found = await findForTakingBack<ReportedDevice>(tx, 'report-sign-in', secretHash, at);
      if (found === null) return refuse('invalid-token');
      // The device was first seen when the ticket was issued: only what nobody has seen before is mailed.
      const { account, ticket } = found;
      const { createdAt: since } = ticket;
      const firstMove = await tx.tickets.findFirst<EmailRevert>(account.id, 'revert-email', since, at);
      const email = firstMove?.context.email ?? null;
      const moverSince = new Date(firstMove?.context.enrolledSince ?? since);
      const enrolledSince = moverSince < since ? moverSince : since;
      const done = await takeBack(needs, tx, account, { email, since, enrolledSince, reason: 'reported' }, client, at);
      if (done === null) return refuse('conflict', { detail: 'The address that this mail went to has another account now.' });
      for (const device of await tx.holdings.devices(account.id)) {
        if (device.createdAt >= since) await tx.devices.forget(account.id, device.id);
      }
      const about = { accountId: account.id, details: { ...done, moved_back: email !== null } };
      await tx.audit.record(auditEvent(secrets, 'SIGN_IN_REPORTED', client, at, about));
      return null;
    });
    if (!isRefusal(outcome)) courier.wake();
    return outcome;
  };
}
