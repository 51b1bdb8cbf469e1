import { after, BOOTSTRAP_TTL_SECONDS, RESET_PASSWORD_TTL_SECONDS, VERIFY_EMAIL_TTL_SECONDS } from '#domain/lifetimes.ts';
import * as messages from '#domain/messages.ts';
import type { Role } from '#domain/roles.ts';
import type { Needs } from './ports/services.ts';
import type { OutboxMessage } from './ports/store.ts';

/** A notice is worth sending for this long. */
const NOTICE_TTL_SECONDS = 3 * 24 * 60 * 60;

/**
 * The mails of the flows, sealed for the outbox. Links are built from FRONTEND_URL, never from a request (ASVS 4.1.3), and
 * carry the token in the fragment: it reaches no server log, and a mail scanner's GET uses nothing up (ASVS 14.2.1, 3.5.3).
 */
export function mails({ courier, policy }: Needs<'courier' | 'policy'>) {
  const { productName, frontendUrl } = policy;
  const recoveryUrl = `${frontendUrl}/forgot-password`;
  const notice = (template: messages.MessageTemplate, message: messages.Message, at: Date) =>
    courier.seal(template, message, after(at, NOTICE_TTL_SECONDS));
  const accountExists = messages.accountExistsMessage(productName, `${frontendUrl}/`);
  const passwordChanged = messages.passwordChangedMessage(productName, recoveryUrl);
  const passwordReset = messages.passwordResetMessage(productName, recoveryUrl);
  const refreshTokenReused = messages.refreshTokenReusedMessage(productName, recoveryUrl);

  return {
    verifyEmail: (token: string, at: Date): OutboxMessage =>
      courier.seal(
        'verify-email',
        messages.verifyEmailMessage(productName, `${frontendUrl}/verify-email#token=${token}`),
        after(at, VERIFY_EMAIL_TTL_SECONDS),
      ),
    resetPassword: (token: string, at: Date): OutboxMessage =>
      courier.seal(
        'reset-password',
        messages.resetPasswordMessage(productName, `${frontendUrl}/reset-password#token=${token}`),
        after(at, RESET_PASSWORD_TTL_SECONDS),
      ),
    accountExists: (at: Date) => notice('account-exists', accountExists, at),
    passwordChanged: (at: Date) => notice('password-changed', passwordChanged, at),
    passwordReset: (at: Date) => notice('password-reset', passwordReset, at),
    refreshTokenReused: (at: Date) => notice('refresh-token-reused', refreshTokenReused, at),
    factorEnrolled: (method: string, at: Date) =>
      notice('factor-enrolled', messages.factorEnrolledMessage(productName, method, recoveryUrl), at),
    factorRemoved: (method: string, at: Date) =>
      notice('factor-removed', messages.factorRemovedMessage(productName, method, recoveryUrl), at),
    recoveryCodesMade: (at: Date) => notice('recovery-codes-made', messages.recoveryCodesMadeMessage(productName, recoveryUrl), at),
    recoveryCodeUsed: (left: number, at: Date) =>
      notice('recovery-code-used', messages.recoveryCodeUsedMessage(productName, left, recoveryUrl), at),
    bootstrapAdmin: (token: string, at: Date): OutboxMessage =>
      courier.seal(
        'bootstrap-admin',
        messages.bootstrapAdminMessage(productName, `${frontendUrl}/reset-password#token=${token}`),
        after(at, BOOTSTRAP_TTL_SECONDS),
      ),
    accountSuspended: (at: Date) => notice('account-suspended', messages.accountSuspendedMessage(productName), at),
    accountRestored: (at: Date) => notice('account-restored', messages.accountRestoredMessage(productName, `${frontendUrl}/`), at),
    rolesChanged: (roles: readonly Role[], at: Date) =>
      notice('roles-changed', messages.rolesChangedMessage(productName, roles, recoveryUrl), at),
    secondFactorLocked: (at: Date) => notice('second-factor-locked', messages.secondFactorLockedMessage(productName, recoveryUrl), at),
  };
}
