import { hasSecondFactor } from '#domain/assurance.ts';
import type { Client } from '#domain/client.ts';
import { parseEmail } from '#domain/email.ts';
import { after, RESET_PASSWORD_TTL_SECONDS } from '#domain/lifetimes.ts';
import { isRefusal, type Refusal, refuse } from '#domain/problems.ts';
import { auditEvent } from './audit.ts';
import { mails } from './mails.ts';
import type { Needs } from './ports/services.ts';
import type { EmailRevert } from './ports/store.ts';

export function revertEmail(needs: Needs<'store' | 'secrets' | 'courier' | 'clock' | 'policy'>) {
  const { store, secrets, courier, clock } = needs;
  const mail = mails(needs);

  /**
   * Takes an account back from the address that it had before: for whoever finds it moved without having asked. Everything that
   * could open it since the change was asked for is gone with the change: sessions, links, the password, new authenticators. The
   * owner chooses a password with a link that goes to the address that holds again. Links of later changes die with this one, those
   * of earlier changes live on: moving twice does not shake off the first owner (docs/adr/0012).
   */
  return async (token: string, client: Client): Promise<{ status: 'reverted' } | Refusal<'invalid-token' | 'conflict'>> => {
    const at = clock.now();
    const secretHash = secrets.ticketHash(token);
    const reset = secrets.ticket();
    const outcome = await store.transaction(async (tx) => {
      const kept = await tx.tickets.find<EmailRevert>('revert-email', secretHash, 1, at);
      if (kept === null || !(await tx.tickets.redeem('revert-email', secretHash, at))) return refuse('invalid-token');
      await tx.accounts.restore(kept.accountId, at); // a thief may have deleted it to be rid of its owner
      const account = await tx.accounts.lock(kept.accountId);
      if (account === null) return refuse('invalid-token');
      const { email } = kept.context;
      const since = new Date(kept.context.since);
      const isElsewhere = parseEmail(account.email)?.canonical !== email.canonical;
      const changed = isElsewhere ? await tx.accounts.changeEmail(account.id, email, at) : { displaced: [] };
      if (changed === null) return refuse('conflict', { detail: 'The address has another account now.' });

      const ended = await tx.sessions.endAll(account.id, 'email-reverted', at);
      await tx.accounts.removePassword(account.id, at);
      await tx.devices.forgetAll(account.id);
      await tx.authenticators.removeSince(account.id, since);
      const left = await tx.authenticators.secondFactors(account.id);
      if (!hasSecondFactor(left)) await tx.authenticators.replaceRecoveryCodes(account.id, [], at);
      for (const purpose of ['change-email', 'reset-password', 'verify-email', 'pre-auth', 'sms-code', 'sms-enrolment'] as const) {
        await tx.tickets.cancelAll(account.id, purpose, at);
      }
      await tx.tickets.cancelAll(account.id, 'revert-email', at, since);

      const issued = { id: secrets.id(), purpose: 'reset-password' as const, accountId: account.id, secretHash: reset.hash, context: {} };
      await tx.tickets.issue({ ...issued, expiresAt: after(at, RESET_PASSWORD_TTL_SECONDS) }, at);
      await tx.outbox.enqueue(account.id, mail.emailReverted(reset.token, at), at);
      if (isElsewhere) await tx.outbox.enqueue(account.id, mail.emailTakenBack(at), at, account.email);
      await tx.audit.record(auditEvent(secrets, 'EMAIL_CHANGE_REVERTED', client, at, { accountId: account.id, details: { ended } }));
      for (const accountId of changed.displaced) {
        const details = { reason: 'address-confirmed-by-another' };
        await tx.audit.record(auditEvent(secrets, 'ACCOUNT_ERASED', client, at, { accountId, details }));
      }
      return { status: 'reverted' as const };
    });
    if (!isRefusal(outcome)) courier.wake();
    return outcome;
  };
}
