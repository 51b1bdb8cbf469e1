import { z } from 'zod';
import type { MfaRequired } from '#application/mfa-required.ts';
import type { Account } from '#application/ports/accounts.ts';
import type { Passkey } from '#application/ports/authenticators.ts';
import type { Session } from '#application/ports/sessions.ts';
import type { SignedIn, Tokens } from '#application/start-session.ts';
import type { AuditEvent } from '#domain/audit-event.ts';
import { deviceCookies, sessionCookies } from './cookies.ts';
import { role } from './fields.ts';
import type { Answer } from './route.ts';

/** Records as clients see them: snake_case, times in RFC 3339, nothing that is not listed here. */

export const instant = z.iso.datetime().describe('RFC 3339, UTC');

export const User = z
  .object({
    id: z.uuid(),
    email: z.string(),
    email_verified: z.boolean(),
    username: z.string().nullable(),
    display_name: z.string().nullable(),
    roles: z.array(role),
    created_at: instant,
  })
  .meta({ id: 'User' });

export const TokensView = z
  .object({
    status: z.literal('authenticated'),
    token_type: z.literal('Bearer'),
    access_token: z.string().describe('RFC 9068 JWT, verified with the JWKS'),
    expires_in: z.int().describe('seconds'),
    refresh_token: z.string().describe('opaque; good once, for POST /api/auth/refresh'),
    refresh_expires_in: z.int().describe('seconds'),
    session_id: z.uuid(),
    user: User,
  })
  .meta({ id: 'Tokens' });

/** What a sign-in with `transport: cookie` answers: the session itself stands in the cookie alone. */
export const CookieSessionView = z
  .object({
    status: z.literal('authenticated'),
    session_id: z.uuid(),
    csrf_token: z.string().describe('the csrf_token cookie, for X-CSRF-Token'),
    user: User,
  })
  .meta({ id: 'CookieSession' });

/** A session, as its transport asks. */
export const SignedInView = z.union([TokensView, CookieSessionView]);

export const Method = z.enum(['webauthn', 'totp', 'sms', 'recovery_code']);

/** What can finish a sign-in: a second factor, or a new password that another provider asks for. */
export const FinishingMethod = z.enum([...Method.options, 'new_password']);

export const MfaRequiredView = z
  .object({
    status: z.literal('mfa_required'),
    pre_auth_token: z.string().describe('opaque; for POST /api/auth/verify-mfa alone'),
    expires_in: z.int().describe('seconds'),
    methods: z
      .array(FinishingMethod)
      .describe(
        'what this user may use, strongest first; at another provider sms is any code that it sends, and new_password is asked for by itself',
      ),
  })
  .meta({ id: 'MfaRequired' });

/** What a sign-in answers: a session, or that a second factor is needed. */
export const SignInView = z.union([TokensView, CookieSessionView, MfaRequiredView]);

export const PasskeyView = z
  .object({
    id: z.uuid(),
    name: z.string(),
    created_at: instant,
    last_used_at: instant.nullable(),
    transports: z.array(z.string()),
    backed_up: z.boolean().describe('synced to other devices of its owner'),
    flagged_at: instant.nullable().describe('when its signature counter last went backwards: it may have been copied'),
  })
  .meta({ id: 'Passkey' });

export const RecoveryCodesView = z.object({ recovery_codes: z.array(z.string()).describe('shown this once; each good once') });

export const SessionView = z
  .object({
    id: z.uuid(),
    current: z.boolean().describe('whether it is the one that asks'),
    transport: z.enum(['bearer', 'cookie']),
    device: z.string().nullable().describe('the device_name given at sign-in, else the kind of device'),
    ip: z.string(),
    user_agent: z.string().nullable(),
    created_at: instant,
    last_seen_at: instant,
    expires_at: instant,
    acr: z.enum(['aal1', 'aal2']),
  })
  .meta({ id: 'Session' });

export const ActivityEvent = z
  .object({
    id: z.uuid(),
    type: z.string().describe('one of docs/audit-events.md'),
    occurred_at: instant,
    ip: z.string(),
    user_agent: z.string().nullable(),
    session_id: z.uuid().nullable(),
  })
  .meta({ id: 'ActivityEvent' });

export function userView(account: Account): z.input<typeof User> {
  return {
    id: account.id,
    email: account.email,
    email_verified: account.emailVerifiedAt !== null,
    username: account.username,
    display_name: account.displayName,
    roles: account.roles,
    created_at: account.createdAt.toISOString(),
  };
}

export function tokensView(tokens: Tokens): z.input<typeof TokensView> {
  return {
    status: 'authenticated',
    token_type: 'Bearer',
    access_token: tokens.accessToken,
    expires_in: tokens.expiresInSeconds,
    refresh_token: tokens.refreshToken,
    refresh_expires_in: tokens.refreshExpiresInSeconds,
    session_id: tokens.session.id,
    user: userView(tokens.account),
  };
}

/** The answer to whoever has signed in: tokens, or cookies. */
export function signedIn(outcome: SignedIn): Answer {
  const known = deviceCookies(outcome.deviceCookie);
  if (!('cookie' in outcome)) return { status: 200, body: tokensView(outcome), cookies: known };
  const { cookie, session, account } = outcome;
  const body: z.input<typeof CookieSessionView> = {
    status: 'authenticated',
    session_id: session.id,
    csrf_token: cookie.csrfToken,
    user: userView(account),
  };
  return { status: 200, body, cookies: [...sessionCookies(cookie), ...known] };
}

export function signInAnswer(outcome: SignedIn | MfaRequired): Answer {
  if (!('preAuthToken' in outcome)) return signedIn(outcome);
  const { preAuthToken, expiresInSeconds, methods } = outcome;
  const body: z.input<typeof MfaRequiredView> = {
    status: 'mfa_required',
    pre_auth_token: preAuthToken,
    expires_in: expiresInSeconds,
    methods,
  };
  return { status: 200, body };
}

export function passkeyView(passkey: Passkey): z.input<typeof PasskeyView> {
  return {
    id: passkey.id,
    name: passkey.name,
    created_at: passkey.createdAt.toISOString(),
    last_used_at: passkey.lastUsedAt?.toISOString() ?? null,
    transports: passkey.transports,
    backed_up: passkey.isBackedUp,
    flagged_at: passkey.flaggedAt?.toISOString() ?? null,
  };
}

export function activityEventView(event: AuditEvent): z.input<typeof ActivityEvent> {
  return {
    id: event.id,
    type: event.type,
    occurred_at: event.occurredAt.toISOString(),
    ip: event.ip,
    user_agent: event.userAgent,
    session_id: event.sessionId,
  };
}

export function sessionView(session: Session, currentId: string): z.input<typeof SessionView> {
  return {
    id: session.id,
    current: session.id === currentId,
    transport: session.transport,
    device: session.device ?? session.deviceKind,
    ip: session.ip,
    user_agent: session.userAgent,
    created_at: session.createdAt.toISOString(),
    last_seen_at: session.lastSeenAt.toISOString(),
    expires_at: session.idleEndAt.toISOString(),
    acr: session.acr,
  };
}
