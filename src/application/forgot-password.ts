import { RESET_PASSWORD_TTL_SECONDS } from '#domain/lifetimes.ts';
import { mails } from './mails.ts';
import type { Needs } from './ports/services.ts';
import { sendLink } from './send-link.ts';

/** Sends a reset link if the address has an account; a newer link kills older ones. The answer never tells. */
export function forgotPassword(needs: Needs<'store' | 'secrets' | 'courier' | 'clock' | 'policy'>) {
  return sendLink(needs, {
    purpose: 'reset-password',
    to: 'active',
    ttlSeconds: RESET_PASSWORD_TTL_SECONDS,
    event: 'PASSWORD_RESET_REQUESTED',
    mail: mails(needs).resetPassword,
  });
}
