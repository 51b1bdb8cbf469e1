import type { Client } from '#domain/client.ts';
import { type Refusal, refuse } from '#domain/problems.ts';
import { auditEvent } from './audit.ts';
import { weakPassword } from './choose-password.ts';
import { failureLanes } from './login-identifier.ts';
import { mails } from './mails.ts';
import type { Needs } from './ports/services.ts';

export function resetPassword(needs: Needs<'store' | 'passwords' | 'commonPasswords' | 'secrets' | 'courier' | 'clock' | 'policy'>) {
  const { store, passwords, secrets, courier, clock } = needs;
  const mail = mails(needs);

  /**
   * Sets a new password with the token of a reset link. It ends every session and opens none (ASVS 6.4.3, 7.4.3), lifts
   * the lockout and kills every other link. A password that is refused does not use the token up; a token that is not valid
   * costs no hash. The hash is made before the transaction: nothing waits on a lock meanwhile.
   */
  return async (token: string, newPassword: string, client: Client): Promise<null | Refusal<'invalid-token' | 'password-policy'>> => {
    const at = clock.now();
    const secretHash = secrets.ticketHash(token);
    const holder = await store.read((records) => records.accounts.findByTicket('reset-password', secretHash, at));
    if (holder === null) return refuse('invalid-token');
    const weak = weakPassword(needs, newPassword, holder, '/new_password');
    if (weak) return weak;
    const passwordHash = await passwords.hash(newPassword);

    const refusal = await store.transaction(async (tx) => {
      const ticket = await tx.tickets.redeem('reset-password', secretHash, at);
      const account = ticket && (await tx.accounts.setPassword(ticket.accountId, passwordHash, at, { provesEmail: true }));
      if (!account) return refuse('invalid-token');
      const ended = await tx.sessions.endAll(account.id, 'password-reset', at);
      await tx.tickets.cancelAll(account.id, 'reset-password', at);
      await tx.tickets.cancelAll(account.id, 'change-email', at);
      await tx.tickets.cancelAll(account.id, 'pre-auth', at);
      await tx.tickets.cancelAll(account.id, 'verify-email', at);
      await tx.accounts.clearFailures(failureLanes(secrets, account));
      await tx.audit.record(auditEvent(secrets, 'PASSWORD_RESET', client, at, { accountId: account.id, details: { ended } }));
      await tx.outbox.enqueue(account.id, mail.passwordReset(at), at);
      return null;
    });
    if (refusal === null) courier.wake();
    return refusal;
  };
}
