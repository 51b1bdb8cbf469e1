/**
 * Every security event there is, with the risk that it carries by itself (0 to 100) and what it tells an auditor
 * (ASVS 16.1.1: the inventory). The page docs/audit-events.md is generated from this table.
 */
export const AUDIT_EVENTS = {
  ACCOUNT_REGISTERED: { risk: 0, tells: 'An account was made; its address is not verified yet' },
  REGISTRATION_OF_EXISTING: { risk: 10, tells: 'Someone registered an address that has an account; its owner got a mail' },
  SUSPICIOUS_ACTIVITY: { risk: 70, tells: 'The hidden form field was filled in: a program, not a person' },
  EMAIL_VERIFIED: { risk: 0, tells: 'The owner of the address opened the link sent to it' },
  VERIFICATION_RESENT: { risk: 0, tells: 'Another verification mail was asked for' },
  LOGIN_SUCCEEDED: { risk: 0, tells: 'A session began' },
  LOGIN_FAILED: { risk: 20, tells: 'Wrong password, or no such account (details.reason)' },
  LOGIN_REFUSED: { risk: 20, tells: 'The password was right, yet the account may not sign in (details.reason)' },
  ACCOUNT_LOCKED: { risk: 50, tells: 'Wrong passwords reached the limit of a lane (details.lane: network, device, session or everywhere)' },
  TOKEN_REFRESHED: { risk: 0, tells: 'A refresh token was replaced by its successor' },
  REFRESH_TOKEN_REUSED: { risk: 90, tells: 'A refresh token came back after its successor was used: theft; the session ended' },
  SESSION_MOVED: { risk: 60, tells: 'A session spoke from another kind of device than the one that signed in (details.from, details.to)' },
  SESSIONS_SUPERSEDED: { risk: 0, tells: 'Older sessions ended, because the account may hold only so many (details.ended)' },
  SIGN_IN_REPORTED: {
    risk: 80,
    tells: 'The owner said of a sign-in on a new device that it was not theirs; sessions and password ended (details.moved_back)',
  },
  IDENTITY_LINKED: {
    risk: 30,
    tells:
      'A user of another provider was linked (details.account: made for it, found by its verified address, or taken from who never verified it)',
  },
  TOKEN_EXCHANGE_REFUSED: { risk: 30, tells: 'A token of another provider was not accepted (details.reason)' },
  PASSWORD_MIGRATED: { risk: 10, tells: 'The password that was right at the other provider is hashed here from now on' },
  MIGRATION_UNDONE: { risk: 70, tells: 'The command line gave drained passwords back to the other provider (details.accounts)' },
  IDENTITY_UNLINKED: { risk: 40, tells: 'The command line unlinked an account from its user at the other provider' },
  LOGOUT: { risk: 0, tells: 'The user ended this session' },
  SESSION_ENDED: { risk: 0, tells: 'The user ended another session' },
  OTHER_SESSIONS_ENDED: { risk: 0, tells: 'The user ended every session but this one' },
  PASSWORD_RESET_REQUESTED: { risk: 10, tells: 'A reset link was asked for (details.known: whether an account has the address)' },
  PASSWORD_RESET: { risk: 30, tells: 'A new password was set with a reset link; all sessions ended' },
  PASSWORD_RESET_FORCED: {
    risk: 60,
    tells: 'The command line took the password away; all sessions ended, the user sets another by mail (details.ended, details.run)',
  },
  PASSWORD_CHANGED: { risk: 10, tells: 'The user changed the password; all other sessions ended' },
  PASSWORD_CHANGE_FAILED: { risk: 30, tells: 'A signed-in caller gave a wrong current password' },
  PROFILE_CHANGED: { risk: 10, tells: 'The user name or the display name changed (details: which of them)' },
  EMAIL_CHANGE_REQUESTED: { risk: 20, tells: 'Another address was asked for' },
  EMAIL_CHANGED: { risk: 40, tells: 'The new address was confirmed; all other sessions ended' },
  EMAIL_CHANGE_REVERTED: { risk: 80, tells: 'The old address took the account back; all sessions ended, the password is gone' },
  ACCOUNT_EXPORTED: { risk: 30, tells: 'The user asked for everything that is held on them' },
  ACCOUNT_DELETED: { risk: 50, tells: 'The user deleted the account; all sessions ended (details.grace_days: until it is erased)' },
  ACCOUNT_KEPT: { risk: 30, tells: 'The deletion was taken back with the mailed link' },
  ACCOUNT_ERASED: {
    risk: 0,
    tells: 'Nothing of the account is left but its events (details.reason: asked-for, never-verified or address-confirmed-by-another)',
  },
  MFA_REQUIRED: { risk: 0, tells: 'The password was right; the sign-in waits for a second factor' },
  MFA_FAILED: {
    risk: 30,
    tells: 'A second factor was wrong, used before, not there or not asked for any more (details.method, details.reason)',
  },
  MFA_LOCKED: { risk: 70, tells: 'Too many wrong second factors: those of the account wait; its password is not touched' },
  REAUTHENTICATED: { risk: 0, tells: 'A signed-in user proved a factor once more (details.method)' },
  REAUTHENTICATION_FAILED: { risk: 30, tells: 'A signed-in caller could not prove the factor (details.method)' },
  FACTOR_ENROLLED: { risk: 20, tells: 'An authenticator was added (details.method)' },
  FACTOR_ENROLMENT_FAILED: { risk: 10, tells: 'A new authenticator was not proved (details.method)' },
  FACTOR_REMOVED: { risk: 40, tells: 'An authenticator was removed (details.method)' },
  ALL_FACTORS_REMOVED: {
    risk: 60,
    tells: 'The command line took every authenticator away; all sessions ended, the password stays (details.methods, details.ended)',
  },
  RECOVERY_CODES_MADE: { risk: 20, tells: 'A new set of recovery codes was made; the set before is dead' },
  RECOVERY_CODE_USED: { risk: 40, tells: 'A recovery code stood in for a second factor (details.left)' },
  SMS_CODE_SENT: { risk: 0, tells: 'A code was sent to the phone (details.prefix)' },
  SMS_REFUSED: { risk: 40, tells: 'A code was not sent: too many to this number, its range or in all (details.cap)' },
  SMS_DAY_SPENT: { risk: 70, tells: 'A code was not sent: those of the day are used up (SMS_MAX_PER_DAY)' },
  PASSKEY_RENAMED: { risk: 0, tells: 'A passkey got another name' },
  PASSKEY_COUNTER_REGRESSED: { risk: 80, tells: 'A passkey counted backwards: its key may have been copied' },
  ADMIN_BOOTSTRAPPED: { risk: 60, tells: 'The account of BOOTSTRAP_ADMIN_EMAIL became the first admin (details.before, details.after)' },
  USER_MADE: { risk: 40, tells: 'An account was made on the command line (details.after)' },
  USER_CHANGED: {
    risk: 20,
    tells: 'Somebody who administers changed the user name or the display name of a user (details: which of them)',
  },
  USER_SUSPENDED: { risk: 50, tells: 'A user was suspended; all sessions ended (details.before, details.after)' },
  USER_RESTORED: { risk: 30, tells: 'A suspended user may sign in again (details.before, details.after)' },
  USER_ROLES_CHANGED: { risk: 60, tells: 'The roles of a user were changed (details.before, details.after)' },
  USER_UNLOCKED: { risk: 30, tells: 'The failures counted against a user were forgotten (details.before, details.after)' },
  USER_SESSIONS_ENDED: { risk: 40, tells: 'All sessions of a user were ended by somebody else (details.before, details.after)' },
  USER_DELETED: { risk: 60, tells: 'A user was deleted by somebody else (details.before)' },
  ACCESS_DENIED: { risk: 50, tells: 'A signed-in user asked for what the account has no permission for (details.reason)' },
  IP_BLOCKED: { risk: 40, tells: 'A network was blocked (details.after)' },
  IP_UNBLOCKED: { risk: 40, tells: 'A block was taken away before its end (details.before)' },
  TOKEN_REVOKED: { risk: 10, tells: 'A service ended a session by one of its tokens (details.client_id)' },
  SERVICE_CLIENT_MADE: { risk: 50, tells: 'A service got credentials to ask about tokens (details.after)' },
  SERVICE_CLIENT_REVOKED: { risk: 40, tells: 'The credentials of a service were taken away (details.before)' },
  AUDIT_EXPORTED: { risk: 40, tells: 'The audit trail was read as a whole (details.filter)' },
  USERS_IMPORTED: {
    risk: 60,
    tells: 'The command line made accounts of a file, in batches (details.imported, details.admins, details.passkeys, details.run)',
  },
  USERS_EXPORTED: { risk: 80, tells: 'The command line wrote all accounts with their password hashes to a file' },
  PASSWORD_REHASHED: { risk: 0, tells: 'The password was hashed anew with the parameters of today' },
} as const satisfies Record<string, { risk: number; tells: string }>;

export type AuditEventType = keyof typeof AUDIT_EVENTS;

/** What happened, to whom, by whom. Never a password, token, code or secret (ASVS 16.2.5). */
export type AuditEvent = {
  id: string;
  type: AuditEventType;
  occurredAt: Date;
  accountId: string | null;
  sessionId: string | null;
  ip: string;
  userAgent: string | null;
  requestId: string;
  risk: number;
  details: Record<string, Detail | Readonly<Record<string, Detail>>>;
};

/** One value of an event; `before` and `after` hold several by name. */
export type Detail = string | number | boolean | null | readonly string[];
