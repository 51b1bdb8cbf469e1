import { VERIFY_EMAIL_TTL_SECONDS } from '#domain/lifetimes.ts';
import { mails } from './mails.ts';
import type { Needs } from './ports/services.ts';
import { sendLink } from './send-link.ts';

/** Sends a new confirmation link if the address waits for one. The answer never tells. */
export function resendVerification(needs: Needs<'store' | 'secrets' | 'courier' | 'clock' | 'policy'>) {
  return sendLink(needs, {
    purpose: 'verify-email',
    to: 'unverified',
    ttlSeconds: VERIFY_EMAIL_TTL_SECONDS,
    event: 'VERIFICATION_RESENT',
    mail: mails(needs).verifyEmail,
  });
}
