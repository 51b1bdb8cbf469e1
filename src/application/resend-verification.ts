import type { Client } from '#domain/client.ts';
import { parseEmail } from '#domain/email.ts';
import { after, VERIFY_EMAIL_TTL_SECONDS } from '#domain/lifetimes.ts';
import { auditEvent } from './audit.ts';
import { mails } from './mails.ts';
import { mayMail } from './may-mail.ts';
import type { Needs } from './ports/services.ts';

export function resendVerification(needs: Needs<'store' | 'secrets' | 'courier' | 'limiter' | 'clock' | 'policy'>) {
  const { store, secrets, courier, clock } = needs;
  const mail = mails(needs);

  /** Sends a new verification link if the address waits for one; the answer never tells (ASVS 6.3.8). */
  return async (address: string, client: Client): Promise<void> => {
    const at = clock.now();
    const email = parseEmail(address);
    if (email === undefined) return;
    const allowed = await mayMail(needs, email.canonical);
    const ticket = secrets.ticket();
    await store.hot.sendLink({
      email,
      to: 'unverified',
      ticket: { id: secrets.id(), purpose: 'verify-email', secretHash: ticket.hash, expiresAt: after(at, VERIFY_EMAIL_TTL_SECONDS) },
      mail: allowed ? mail.verifyEmail(ticket.token, at) : null,
      event: auditEvent(secrets, 'VERIFICATION_RESENT', client, at),
      at,
    });
    courier.wake();
  };
}
