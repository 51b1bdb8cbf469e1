import type { AuditEvent, AuditEventType } from './audit-event.ts';

/**
 * The events that an account's owner is shown: every way in and out, and each change of what protects the account. Others tell what
 * happened inside, or what somebody else did here; one that is new is not shown until it is listed.
 */
export const ACTIVITY = [
  'ACCOUNT_REGISTERED',
  'REGISTRATION_OF_EXISTING',
  'EMAIL_VERIFIED',
  'LOGIN_SUCCEEDED',
  'LOGIN_FAILED',
  'LOGIN_REFUSED',
  'ACCOUNT_LOCKED',
  'REFRESH_TOKEN_REUSED',
  'SESSION_MOVED',
  'SESSIONS_SUPERSEDED',
  'SIGN_IN_REPORTED',
  'IDENTITY_LINKED',
  'PASSWORD_MIGRATED',
  'LOGOUT',
  'SESSION_ENDED',
  'OTHER_SESSIONS_ENDED',
  'PASSWORD_RESET_REQUESTED',
  'PASSWORD_RESET',
  'PASSWORD_RESET_FORCED',
  'PASSWORD_CHANGED',
  'PASSWORD_CHANGE_FAILED',
  'PROFILE_CHANGED',
  'ACCOUNT_EXPORTED',
  'ACCOUNT_DELETED',
  'ACCOUNT_KEPT',
  'EMAIL_CHANGE_REQUESTED',
  'EMAIL_CHANGED',
  'EMAIL_CHANGE_REVERTED',
  'MFA_REQUIRED',
  'MFA_FAILED',
  'MFA_LOCKED',
  'REAUTHENTICATED',
  'REAUTHENTICATION_FAILED',
  'FACTOR_ENROLLED',
  'FACTOR_ENROLMENT_FAILED',
  'FACTOR_REMOVED',
  'ALL_FACTORS_REMOVED',
  'RECOVERY_CODES_MADE',
  'RECOVERY_CODE_USED',
  'PASSKEY_RENAMED',
  'PASSKEY_COUNTER_REGRESSED',
] as const satisfies AuditEventType[];

/** An event as the export of its account shows it. */
export type OwnEvent = Omit<AuditEvent, 'ip'> & { ip: string | null };

/** What somebody did by their office, or a service by its credentials, is told without who or where they are. */
export function asOwnerSees(event: AuditEvent): OwnEvent {
  const { actor_id, actor_session_id, ...details } = event.details;
  const isByAnother = (actor_id !== undefined && actor_id !== event.accountId) || event.type === 'TOKEN_REVOKED';
  return isByAnother ? { ...event, ip: null, userAgent: null, details } : event;
}
