import * as accountMessages from '#domain/account-messages.ts';
import {
  after,
  BOOTSTRAP_TTL_SECONDS,
  CHANGE_EMAIL_TTL_SECONDS,
  daysInSeconds,
  RESET_PASSWORD_TTL_SECONDS,
  REVERT_EMAIL_TTL_SECONDS,
  VERIFY_EMAIL_TTL_SECONDS,
} from '#domain/lifetimes.ts';
import { dress, type Letter } from '#domain/mail-layout.ts';
import * as messages from '#domain/messages.ts';
import type { Role } from '#domain/roles.ts';
import type { OutboxMessage } from './ports/outbox.ts';
import type { Needs } from './ports/services.ts';

/** A notice is worth sending for this long. */
const NOTICE_TTL_SECONDS = 3 * 24 * 60 * 60;

/**
 * The mails of the flows, sealed for the outbox. Links are built from FRONTEND_URL, never from a request (ASVS 4.1.3), and
 * carry the token in the fragment: it reaches no server log, and a mail scanner's GET uses nothing up (ASVS 14.2.1, 3.5.3).
 */
export function mails({ courier, policy }: Needs<'courier' | 'policy'>) {
  const { productName, frontendUrl, brand } = policy;
  const recoveryUrl = `${frontendUrl}/forgot-password`;
  const seal = (template: messages.MessageTemplate, letter: Letter, expiresAt: Date) =>
    courier.seal(template, dress(letter, brand), expiresAt);
  const notice = (template: messages.MessageTemplate, letter: Letter, at: Date) => seal(template, letter, after(at, NOTICE_TTL_SECONDS));
  const accountExists = messages.accountExistsMessage(productName, `${frontendUrl}/`);
  const passwordChanged = messages.passwordChangedMessage(productName, recoveryUrl);
  const passwordReset = messages.passwordResetMessage(productName, recoveryUrl);
  const refreshTokenReused = messages.refreshTokenReusedMessage(productName, recoveryUrl);

  return {
    verifyEmail: (token: string, at: Date): OutboxMessage =>
      seal(
        'verify-email',
        messages.verifyEmailMessage(productName, `${frontendUrl}/verify-email#token=${token}`),
        after(at, VERIFY_EMAIL_TTL_SECONDS),
      ),
    resetPassword: (token: string, at: Date): OutboxMessage =>
      seal(
        'reset-password',
        messages.resetPasswordMessage(productName, `${frontendUrl}/reset-password#token=${token}`),
        after(at, RESET_PASSWORD_TTL_SECONDS),
      ),
    accountExists: (at: Date) => notice('account-exists', accountExists, at),
    passwordChanged: (at: Date) => notice('password-changed', passwordChanged, at),
    passwordReset: (at: Date) => notice('password-reset', passwordReset, at),
    passwordWithdrawn: (at: Date) => notice('password-withdrawn', messages.passwordWithdrawnMessage(productName, recoveryUrl), at),
    changeEmail: (token: string, at: Date): OutboxMessage =>
      seal(
        'change-email',
        accountMessages.changeEmailMessage(productName, `${frontendUrl}/change-email#token=${token}`),
        after(at, CHANGE_EMAIL_TTL_SECONDS),
      ),
    /** In the place of `changeEmail`, and called like it: whoever asked can see what their request has led to. */
    addressTaken: (at: Date): OutboxMessage =>
      seal('change-email', accountMessages.addressTakenMessage(productName, `${frontendUrl}/`), after(at, CHANGE_EMAIL_TTL_SECONDS)),
    emailChangeAsked: (at: Date) => notice('email-change-asked', accountMessages.emailChangeAskedMessage(productName, recoveryUrl), at),
    emailChanged: (token: string, at: Date): OutboxMessage =>
      seal(
        'email-changed',
        accountMessages.emailChangedMessage(productName, `${frontendUrl}/revert-email#token=${token}`),
        after(at, REVERT_EMAIL_TTL_SECONDS),
      ),
    emailReverted: (token: string, at: Date): OutboxMessage =>
      seal(
        'email-reverted',
        accountMessages.emailRevertedMessage(productName, `${frontendUrl}/reset-password#token=${token}`),
        after(at, RESET_PASSWORD_TTL_SECONDS),
      ),
    emailTakenBack: (at: Date) => notice('email-taken-back', accountMessages.emailTakenBackMessage(productName), at),
    accountDeleted: (token: string, graceDays: number, at: Date): OutboxMessage =>
      seal(
        'account-deleted',
        accountMessages.accountDeletedMessage(productName, graceDays, `${frontendUrl}/keep-account#token=${token}`),
        after(at, daysInSeconds(graceDays)),
      ),
    accountKept: (at: Date) => notice('account-kept', accountMessages.accountKeptMessage(productName, recoveryUrl), at),
    usernameChanged: (at: Date) => notice('username-changed', messages.usernameChangedMessage(productName, recoveryUrl), at),
    refreshTokenReused: (at: Date) => notice('refresh-token-reused', refreshTokenReused, at),
    newDevice: (token: string, device: { kind: string; ip: string }, at: Date) =>
      notice('new-device', messages.newDeviceMessage(productName, device, at, `${frontendUrl}/report-sign-in#token=${token}`), at),
    sessionMoved: (at: Date) => notice('session-moved', messages.sessionMovedMessage(productName, recoveryUrl), at),
    factorEnrolled: (method: string, at: Date) =>
      notice('factor-enrolled', messages.factorEnrolledMessage(productName, method, recoveryUrl), at),
    factorRemoved: (method: string, at: Date) =>
      notice('factor-removed', messages.factorRemovedMessage(productName, method, recoveryUrl), at),
    /** `factorRemoved`, of all at once and by those who run the service. */
    allFactorsRemoved: (at: Date) => notice('factor-removed', messages.allFactorsRemovedMessage(productName, recoveryUrl), at),
    recoveryCodesMade: (at: Date) => notice('recovery-codes-made', messages.recoveryCodesMadeMessage(productName, recoveryUrl), at),
    recoveryCodeUsed: (left: number, at: Date) =>
      notice('recovery-code-used', messages.recoveryCodeUsedMessage(productName, left, recoveryUrl), at),
    bootstrapAdmin: (token: string, at: Date): OutboxMessage =>
      seal(
        'bootstrap-admin',
        messages.bootstrapAdminMessage(productName, `${frontendUrl}/reset-password#token=${token}`),
        after(at, BOOTSTRAP_TTL_SECONDS),
      ),
    accountSuspended: (at: Date) => notice('account-suspended', messages.accountSuspendedMessage(productName), at),
    accountRestored: (at: Date) => notice('account-restored', messages.accountRestoredMessage(productName, `${frontendUrl}/`), at),
    rolesChanged: (roles: readonly Role[], at: Date) =>
      notice('roles-changed', messages.rolesChangedMessage(productName, roles, recoveryUrl), at),
    passwordsGuessed: (at: Date) => notice('passwords-guessed', messages.passwordsGuessedMessage(productName, recoveryUrl), at),
    secondFactorLocked: (at: Date) => notice('second-factor-locked', messages.secondFactorLockedMessage(productName, recoveryUrl), at),
  };
}
