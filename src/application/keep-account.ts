import type { Client } from '#domain/client.ts';
import { isRefusal, type Refusal, refuse } from '#domain/problems.ts';
import { auditEvent } from './audit.ts';
import { mails } from './mails.ts';
import type { Needs } from './ports/services.ts';

export function keepAccount(needs: Needs<'store' | 'secrets' | 'courier' | 'clock' | 'policy'>) {
  const { store, secrets, courier, clock } = needs;
  const mail = mails(needs);

  /** Takes a deletion back within its grace: everything is as it was, but for the sessions. Nobody is signed in by it. */
  return async (token: string, client: Client): Promise<{ status: 'kept' } | Refusal<'invalid-token'>> => {
    const at = clock.now();
    const outcome = await store.transaction(async (tx) => {
      const ticket = await tx.tickets.redeem('keep-account', secrets.ticketHash(token), at);
      if (ticket === null || !(await tx.accounts.restore(ticket.accountId, at))) return refuse('invalid-token');
      await tx.audit.record(auditEvent(secrets, 'ACCOUNT_KEPT', client, at, { accountId: ticket.accountId }));
      await tx.outbox.enqueue(ticket.accountId, mail.accountKept(at), at);
      return { status: 'kept' as const };
    });
    if (!isRefusal(outcome)) courier.wake();
    return outcome;
  };
}
