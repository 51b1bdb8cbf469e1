import type { Client } from '#domain/client.ts';
import { isRefusal, type Refusal, refuse } from '#domain/problems.ts';
import { auditEvent } from './audit.ts';
import type { Needs } from './ports/services.ts';
import type { EmailRevert } from './ports/tickets.ts';
import { findForTakingBack, takeBack } from './take-back.ts';

export function revertEmail(needs: Needs<'store' | 'secrets' | 'courier' | 'clock' | 'policy'>) {
  const { store, secrets, courier, clock } = needs;

  /**
   * Takes an account back from the address that it had before: for whoever finds it moved without having asked. Links of later
   * changes die with this one, those of earlier changes live on: moving twice does not shake off the first owner (docs/adr/0012).
   */
  return async (token: string, client: Client): Promise<{ status: 'reverted' } | Refusal<'invalid-token' | 'conflict'>> => {
    const at = clock.now();
    const secretHash = secrets.ticketHash(token);
    const outcome = await store.transaction(async (tx) => {
      const found = await findForTakingBack<EmailRevert>(tx, 'revert-email', secretHash, at);
      if (found === null) return refuse('invalid-token');
      const { account, ticket } = found;
      const { email, since, enrolledSince = since } = ticket.context;
      const theft = { email, since: new Date(since), enrolledSince: new Date(enrolledSince), reason: 'email-reverted' as const };
      const done = await takeBack(needs, tx, account, theft, client, at);
      if (done === null) return refuse('conflict', { detail: 'The address has another account now.' });
      await tx.devices.forgetAll(account.id);
      await tx.audit.record(auditEvent(secrets, 'EMAIL_CHANGE_REVERTED', client, at, { accountId: account.id, details: done }));
      return { status: 'reverted' as const };
    });
    if (!isRefusal(outcome)) courier.wake();
    return outcome;
  };
}
