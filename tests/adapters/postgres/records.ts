import { randomBytes, randomUUID } from 'node:crypto';
import type { Sql } from 'postgres';
import type { Registration } from '#application/ports/accounts.ts';
import type { DeviceSighting } from '#application/ports/devices.ts';
import type { HotPaths, NewSignIn, PasswordTry } from '#application/ports/hot-paths.ts';
import type { OutboxMessage } from '#application/ports/outbox.ts';
import type { SessionWithProofs } from '#application/ports/sessions.ts';
import type { NewTicket } from '#application/ports/tickets.ts';
import type { AuditEvent, AuditEventType } from '#domain/audit-event.ts';
import type { Email } from '#domain/email.ts';
import { after } from '#domain/lifetimes.ts';
import type { LockoutPolicy, ThrottleKey } from '#domain/lockout.ts';
import type { TicketPurpose } from '#domain/tickets.ts';
import type { Username } from '#domain/username.ts';

/** What the flows hand to the store, made up. Every one has ids, secrets and names of its own. */

export const HOUR = 3600;
export const DAY = 24 * HOUR;

export const hash = () => randomBytes(32);

export function email(canonical = `p${randomBytes(6).toString('hex')}@example.com`): Email {
  return { given: canonical.replace(/^p/, 'P'), canonical };
}

export function username(canonical = `p${randomBytes(6).toString('hex')}`): Username {
  return { given: canonical.toUpperCase(), canonical };
}

export function event(type: AuditEventType, at: Date, more: Partial<AuditEvent> = {}): AuditEvent {
  return {
    id: randomUUID(),
    type,
    occurredAt: at,
    accountId: null,
    sessionId: null,
    ip: '192.0.2.1',
    userAgent: 'a test',
    requestId: randomUUID(),
    risk: 20,
    details: {},
    ...more,
  };
}

export function mail(at: Date, template = 'verify-email'): OutboxMessage {
  return { id: randomUUID(), kind: 'email', template, sealed: randomBytes(200), expiresAt: after(at, HOUR) };
}

export function ticket(at: Date, purpose: TicketPurpose = 'verify-email', ttlSeconds = DAY): NewTicket {
  return { id: randomUUID(), purpose, secretHash: hash(), expiresAt: after(at, ttlSeconds) };
}

export function registration(at: Date, more: Partial<Registration> = {}): Registration {
  return {
    accountId: randomUUID(),
    email: email(),
    username: null,
    displayName: null,
    passwordHash: `hash-${randomUUID()}`,
    verifyBy: after(at, 30 * DAY),
    ticket: ticket(at),
    verifyMail: mail(at),
    existingMail: mail(at, 'account-exists'),
    event: event('ACCOUNT_REGISTERED', at),
    at,
    ...more,
  };
}

/** An account with a verified address. */
export async function account(sql: Sql, at: Date, more: { email?: Email; username?: Username } = {}) {
  const row = { id: randomUUID(), email: more.email ?? email(), passwordHash: `hash-${randomUUID()}` };
  await sql`
    insert into accounts (id, email, email_canonical, email_verified_at, username, username_canonical, password_hash, created_at, updated_at)
    values (${row.id}, ${row.email.given}, ${row.email.canonical}, ${at}, ${more.username?.given ?? null},
      ${more.username?.canonical ?? null}, ${row.passwordHash}, ${at}, ${at})`;
  return row;
}

/** A bearer session. */
export type Bearer = SessionWithProofs & { refreshSecretHash: Buffer; cookieHash: null };

export function session(accountId: string, at: Date, more: Partial<Bearer> = {}): Bearer {
  return {
    id: randomUUID(),
    accountId,
    transport: 'bearer',
    device: 'a test device',
    deviceId: randomUUID(),
    deviceKind: 'another program',
    movedTo: [],
    ip: '192.0.2.1',
    userAgent: 'a test',
    amr: ['pwd'],
    acr: 'aal1',
    proofs: [{ factor: 'password', at }],
    authTime: at,
    createdAt: at,
    lastSeenAt: at,
    idleEndAt: after(at, DAY),
    absoluteEndAt: after(at, 30 * DAY),
    refreshSecretHash: hash(),
    cookieHash: null,
    ...more,
  };
}

/** A lane that nobody has failed in. */
export function lane(network = '192.0.2.0') {
  return { identifierHash: hash(), network };
}

/** Where a sign-in of somebody unknown from there is counted. */
export function lanes(network = '192.0.2.0') {
  return { ...lane(network), strangerHash: randomBytes(16) };
}

export const LOCKOUT: LockoutPolicy = { maxAttempts: 5, lockSeconds: 1800 };

/** A first try that was counted in this lane. */
export function tried(key: ThrottleKey = lane()): PasswordTry {
  return { lanes: [{ ...key, failures: 1, lockedUntil: null, isRefused: false, isLocking: false }], lockedUntil: null, isWithheld: false };
}

/** A device that nobody has seen, and shows no cookie. */
export function sighting(): DeviceSighting {
  return { tokenHash: null, kind: 'another program', network: `network ${randomUUID()}` };
}

/** The session as a sign-in begins it, on a device that nobody has seen. */
export function beginning(opened: Bearer, at: Date, more: Partial<NewSignIn> = {}): NewSignIn {
  const superseded = event('SESSIONS_SUPERSEDED', at, { accountId: opened.accountId, sessionId: opened.id, risk: 0 });
  const device = { ...sighting(), id: opened.deviceId ?? '', tokenHash: hash(), replaces: null, isConfirmed: false };
  return { session: opened, replaces: null, device, notice: null, most: 0, superseded, ...more };
}

/** A session that is stored, opened the way a sign-in does it. */
export async function openedSession(hot: HotPaths, of: { id: string; passwordHash: string }, at: Date, more: Partial<Bearer> = {}) {
  const opened = session(of.id, at, more);
  const details = event('LOGIN_SUCCEEDED', at, { accountId: of.id, sessionId: opened.id, risk: 0 });
  const outcome = await hot.openSession({
    accountId: of.id,
    begun: beginning(opened, at),
    tried: tried(),
    seenPasswordHash: of.passwordHash,
    rehashed: null,
    event: details,
  });
  if (outcome !== 'opened') throw new Error(`the session was not opened: ${outcome}`);
  return opened;
}

/** A use of the refresh token with this counter. */
export function use(of: Bearer, counter: number, at: Date, more: Partial<Parameters<HotPaths['rotate']>[0]> = {}) {
  return {
    sessionId: of.id,
    secretHash: of.refreshSecretHash,
    counter,
    at,
    graceSeconds: 10,
    idleSeconds: DAY,
    client: { ip: '192.0.2.2', userAgent: 'a test' },
    event: event('TOKEN_REFRESHED', at, { sessionId: of.id, risk: 0 }),
    theftMail: () => mail(at, 'refresh-token-reused'),
    ...more,
  };
}

/** How often each outcome came, as `{ rotated: 1, retried: 49 }`. */
export function tally(outcomes: readonly (string | null | undefined)[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const outcome of outcomes) counts[String(outcome)] = (counts[String(outcome)] ?? 0) + 1;
  return counts;
}

/** As many at once as the tests about races mean by it. */
export function fifty<T>(one: (index: number) => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: 50 }, (_, index) => one(index)));
}

/** How many audit events of each type there are. */
export async function auditTally(sql: Sql): Promise<Record<string, number>> {
  const rows = await sql<{ type: string; n: number }[]>`select type, count(*)::int as n from audit_events group by type`;
  return Object.fromEntries(rows.map(({ type, n }) => [type, n]));
}
