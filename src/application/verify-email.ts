import type { Client } from '#domain/client.ts';
import { type Refusal, refuse } from '#domain/problems.ts';
import { auditEvent } from './audit.ts';
import type { Needs } from './ports/services.ts';

export function verifyEmail({ store, secrets, clock }: Needs<'store' | 'secrets' | 'clock'>) {
  /** Uses the link's token up and marks the address verified. @returns done, or one refusal for used, expired and unknown */
  return async (token: string, client: Client): Promise<{ status: 'verified' } | Refusal<'invalid-token'>> => {
    const at = clock.now();
    return await store.transaction(async (tx) => {
      const ticket = await tx.tickets.redeem('verify-email', secrets.ticketHash(token), at);
      if (ticket === null || !(await tx.accounts.verifyEmail(ticket.accountId, ticket.pending, at))) return refuse('invalid-token');
      await tx.tickets.cancelAll(ticket.accountId, 'verify-email', at);
      await tx.audit.record(auditEvent(secrets, 'EMAIL_VERIFIED', client, at, { accountId: ticket.accountId }));
      return { status: 'verified' };
    });
  };
}
