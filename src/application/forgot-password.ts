import type { Client } from '#domain/client.ts';
import { parseEmail } from '#domain/email.ts';
import { after, RESET_PASSWORD_TTL_SECONDS } from '#domain/lifetimes.ts';
import { auditEvent } from './audit.ts';
import { mails } from './mails.ts';
import { mayMail } from './may-mail.ts';
import type { Needs } from './ports/services.ts';

export function forgotPassword(needs: Needs<'store' | 'secrets' | 'courier' | 'limiter' | 'clock' | 'policy'>) {
  const { store, secrets, courier, clock } = needs;
  const mail = mails(needs);

  /** Sends a reset link if the address has an account; the answer never tells (ASVS 6.3.8). A newer link kills older ones. */
  return async (address: string, client: Client): Promise<void> => {
    const at = clock.now();
    const email = parseEmail(address);
    if (email === undefined) return;
    const allowed = await mayMail(needs, email.canonical);
    const ticket = secrets.ticket();
    await store.hot.sendLink({
      email,
      to: 'active',
      ticket: { id: secrets.id(), purpose: 'reset-password', secretHash: ticket.hash, expiresAt: after(at, RESET_PASSWORD_TTL_SECONDS) },
      mail: allowed ? mail.resetPassword(ticket.token, at) : null,
      event: auditEvent(secrets, 'PASSWORD_RESET_REQUESTED', client, at),
      at,
    });
    courier.wake();
  };
}
