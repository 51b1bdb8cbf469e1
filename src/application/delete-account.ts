import type { Client } from '#domain/client.ts';
import { after, daysInSeconds, daysUntil } from '#domain/lifetimes.ts';
import type { Refusal } from '#domain/problems.ts';
import { lastAdmin } from './administration.ts';
import { auditEvent } from './audit.ts';
import { eraseAccount } from './erase-account.ts';
import { type ChangeRefusal, changeFactors, type Held } from './factor-changes.ts';
import { mails } from './mails.ts';
import type { Needs } from './ports/services.ts';
import type { Caller } from './ports/sessions.ts';
import type { Writes } from './ports/store.ts';

export function deleteAccount(needs: Needs<'store' | 'secrets' | 'courier' | 'clock' | 'policy'>) {
  const { secrets, courier, clock, policy } = needs;
  const mail = mails(needs);

  /**
   * Deletes the account of whoever asks: from now on it is for everybody as if there were none, and after the grace it is erased.
   * Until then a link in the mail keeps it. Its address and name stay held for as long, so that nobody else slips into them. It is not
   * erased while a link from a move can still take it back, however short the grace: a thief would be rid of its owner. Without
   * either it is erased in this very moment, the mail that would tell of it included (docs/adr/0012).
   */
  return async (caller: Caller, client: Client): Promise<null | ChangeRefusal | Refusal<'conflict'>> => {
    const at = clock.now();
    const ticket = secrets.ticket();
    const remove = async (tx: Writes, { account, session }: Held) => {
      const last = await lastAdmin(tx, account);
      if (last) return last;
      const graceEnd = after(at, daysInSeconds(policy.deletionGraceDays));
      const lastWayBack = await tx.tickets.lastEnd(account.id, 'revert-email', at);
      const eraseAt = lastWayBack !== null && lastWayBack > graceEnd ? lastWayBack : graceEnd;
      const graceDays = daysUntil(eraseAt, at);
      const ended = await tx.sessions.endAll(account.id, 'account-deleted', at);
      const about = { accountId: account.id, sessionId: session.id, details: { ended, grace_days: graceDays } };
      await tx.audit.record(auditEvent(secrets, 'ACCOUNT_DELETED', client, at, about));
      if (graceDays === 0) {
        await eraseAccount(needs, tx, account);
        const erased = { accountId: account.id, details: { reason: 'asked-for' } };
        await tx.audit.record(auditEvent(secrets, 'ACCOUNT_ERASED', client, at, erased));
        return null;
      }
      await tx.accounts.markDeleted(account.id, eraseAt, at);
      for (const purpose of ['reset-password', 'verify-email', 'change-email', 'pre-auth', 'sms-code', 'keep-account'] as const) {
        await tx.tickets.cancelAll(account.id, purpose, at);
      }
      const issued = { id: secrets.id(), purpose: 'keep-account' as const, accountId: account.id, secretHash: ticket.hash, context: {} };
      await tx.tickets.issue({ ...issued, expiresAt: eraseAt }, at);
      await tx.outbox.enqueue(account.id, mail.accountDeleted(ticket.token, graceDays, at), at);
      return null;
    };
    const outcome = await changeFactors(needs, caller, 'step-up', at, remove, { isAdministration: true });
    if (outcome === null) courier.wake();
    return outcome;
  };
}
