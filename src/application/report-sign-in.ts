import type { Client } from '#domain/client.ts';
import { after, RESET_PASSWORD_TTL_SECONDS } from '#domain/lifetimes.ts';
import { type Refusal, refuse } from '#domain/problems.ts';
import { auditEvent } from './audit.ts';
import { mails } from './mails.ts';
import type { Needs } from './ports/services.ts';
import type { ReportedDevice } from './ports/store.ts';

export function reportSignIn(needs: Needs<'store' | 'secrets' | 'courier' | 'clock' | 'policy'>) {
  const { store, secrets, courier, clock } = needs;
  const mail = mails(needs);

  /**
   * "This was not me", by the link in the mail about a new device. Whoever signed in knows the password: it is good for nothing
   * from now on, every session ends, the device is forgotten, and a link to choose a new password is sent. Second factors stay:
   * a mail box alone switches none off.
   */
  return async (token: string, client: Client): Promise<null | Refusal<'invalid-token'>> => {
    const at = clock.now();
    const reset = secrets.ticket();
    const refusal = await store.transaction(async (tx) => {
      const ticket = await tx.tickets.redeemContext<ReportedDevice>('report-sign-in', secrets.ticketHash(token), at);
      const account = ticket?.accountId ? await tx.accounts.lock(ticket.accountId) : null;
      if (!ticket || account === null) return refuse('invalid-token');
      const ended = await tx.sessions.endAll(account.id, 'reported', at);
      await tx.accounts.removePassword(account.id, at);
      await tx.devices.forget(account.id, ticket.context.deviceId);
      for (const purpose of ['pre-auth', 'reset-password', 'report-sign-in'] as const) await tx.tickets.cancelAll(account.id, purpose, at);
      const link = {
        id: secrets.id(),
        purpose: 'reset-password' as const,
        accountId: account.id,
        secretHash: reset.hash,
        context: null,
        expiresAt: after(at, RESET_PASSWORD_TTL_SECONDS),
      };
      await tx.tickets.issue(link, at);
      await tx.outbox.enqueue(account.id, mail.resetPassword(reset.token, at), at);
      await tx.audit.record(auditEvent(secrets, 'SIGN_IN_REPORTED', client, at, { accountId: account.id, details: { ended } }));
      return null;
    });
    if (refusal === null) courier.wake();
    return refusal;
  };
}
