import { acrOf, amrOf, type Proof } from '#domain/assurance.ts';
import type { AuditEvent } from '#domain/audit-event.ts';
import type { Client } from '#domain/client.ts';
import { after, idleEnd, secondsUntil, type Transport } from '#domain/lifetimes.ts';
import type { Risk } from '#domain/risk.ts';
import { auditEvent } from './audit.ts';
import type { DeviceAtSignIn } from './devices.ts';
import { deviceAtSignIn, noteDevice } from './devices.ts';
import type { Account } from './ports/accounts.ts';
import type { KnownDevice } from './ports/devices.ts';
import type { Needs } from './ports/services.ts';
import type { NewSession, Session, SessionSecret } from './ports/sessions.ts';
import type { Writes } from './ports/store.ts';
import { responsesTo, weighed } from './respond-to-risk.ts';
import { cookieOf, type SessionCookie } from './session-cookie.ts';

/** What a program holds of a session: a short access token for every service, a refresh token for us alone. */
export type Tokens = {
  accessToken: string;
  expiresInSeconds: number;
  refreshToken: string;
  refreshExpiresInSeconds: number;
  session: Session;
  account: Account;
};

/** What a browser holds of a session. No token is in reach of its scripts. */
export type BrowserSession = { cookie: SessionCookie; session: Session; account: Account };

/** `deviceCookie`: what the browser of a new session keeps to be known again by. */
export type SignedIn = (Tokens | BrowserSession) & { deviceCookie: string | null };

/** What was proved at a sign-in, and how its session will be held. */
export type Begun = { transport: Transport; device: string | null; proofs: Proof[] };

/** A sign-in as it was judged: on which device, and how risky. */
export type SignInJudged = { device: KnownDevice; risk: Risk };

/** What the client alone will have; the row keeps its hash. */
export type Held = { refreshSecret: Buffer } | { cookieValue: string };

/** A new secret for a session of this kind. */
export function newSecret({ secrets }: Needs<'secrets'>, transport: Transport): { held: Held; hashes: SessionSecret } {
  if (transport === 'cookie') {
    const { token, hash } = secrets.ticket();
    return { held: { cookieValue: token }, hashes: { refreshSecretHash: null, cookieHash: hash } };
  }
  const { secret, hash } = secrets.refreshSecret();
  return { held: { refreshSecret: secret }, hashes: { refreshSecretHash: hash, cookieHash: null } };
}

/** A session not yet stored, and what its client will hold. Every way to a session goes through here. */
export function newSession(
  needs: Needs<'secrets' | 'policy'>,
  accountId: string,
  client: Client,
  { transport, device, proofs }: Begun,
  { note }: Pick<DeviceAtSignIn, 'note'>,
  at: Date,
  { stepsUp, authenticatedAt = at }: { stepsUp: boolean; authenticatedAt?: Date },
): { session: NewSession; held: Held } {
  const { held, hashes } = newSecret(needs, transport);
  const lifetime = needs.policy.lifetimes.sessions[transport];
  const absoluteEndAt = after(at, lifetime.absoluteSeconds);
  const session: NewSession = {
    id: needs.secrets.id(),
    accountId,
    transport,
    device,
    deviceId: note.id,
    deviceKind: note.kind,
    movedTo: [],
    ip: client.ip,
    userAgent: client.userAgent,
    amr: amrOf(proofs),
    acr: acrOf(proofs),
    proofs,
    // A sign-in that nobody would swear to is no recent authentication: what asks for one asks first.
    authTime: stepsUp ? after(at, -needs.policy.secondFactors.stepUpMaxAgeSeconds - 1) : authenticatedAt < at ? authenticatedAt : at,
    createdAt: at,
    lastSeenAt: at,
    idleEndAt: idleEnd(at, absoluteEndAt, lifetime),
    absoluteEndAt,
    ...hashes,
  };
  return { session, held };
}

/** The session that this browser held until now, by the hash of its cookie: a sign-in puts the new one in its place (ASVS 7.2.4). */
export function replacedBy({ secrets }: Needs<'secrets'>, transport: Transport, { sessionToken }: Client): Buffer | null {
  return transport === 'cookie' && sessionToken !== null ? secrets.ticketHash(sessionToken) : null;
}

/** What another provider knows of a sign-in: when it was proved there, and how, for its event. */
export type Circumstances = { authenticatedAt?: Date; how?: AuditEvent['details'] };

/**
 * Opens a session in the transaction of whatever signed its user in; the account is locked. Its device is noted, the session that
 * the browser held ends, and so do the oldest beyond MAX_SESSIONS_PER_USER. A risky one is told of, or begins as if long ago.
 */
export async function openSession(
  needs: Needs<'secrets' | 'courier' | 'policy'>,
  tx: Writes,
  account: Account,
  client: Client,
  begun: Begun,
  { device: known, risk }: SignInJudged,
  at: Date,
  { authenticatedAt = at, how = {} }: Circumstances = {},
): Promise<{ account: Account; session: Session; held: Held; deviceCookie: string }> {
  const { secrets, policy } = needs;
  const responses = responsesTo(risk);
  const device = deviceAtSignIn(needs, account.id, client, known, at, responses);
  await noteDevice(tx, account.id, device, at);
  const { session, held } = newSession(needs, account.id, client, begun, device, at, { ...responses, authenticatedAt });
  await tx.sessions.open(session, replacedBy(needs, begun.transport, client));
  const about = { accountId: account.id, sessionId: session.id };
  const ended = policy.sessions.most > 0 ? await tx.sessions.endBeyond(account.id, policy.sessions.most, at) : 0;
  if (ended > 0) await tx.audit.record(auditEvent(secrets, 'SESSIONS_SUPERSEDED', client, at, { ...about, details: { ended } }));
  const details = { method: session.amr.join('+'), transport: session.transport, new_device: device.isNew };
  await tx.audit.record(weighed(auditEvent(secrets, 'LOGIN_SUCCEEDED', client, at, { ...about, details: { ...details, ...how } }), risk));
  return { account, session, held, deviceCookie: device.cookie };
}

/** What the client of a stored session gets. */
export async function grant(
  needs: Needs<'accessTokens' | 'refreshTokens' | 'csrfTokens' | 'policy'>,
  { account, session, held, deviceCookie }: { account: Account; session: Session; held: Held; deviceCookie: string | null },
  at: Date,
): Promise<SignedIn> {
  if ('cookieValue' in held) return { cookie: cookieOf(needs, session, held.cookieValue, at), session, account, deviceCookie };
  return { ...(await grantTokens(needs, account, session, { secret: held.refreshSecret, counter: 0 }, at)), deviceCookie };
}

/** The tokens of a stored session. */
export async function grantTokens(
  needs: Needs<'accessTokens' | 'refreshTokens' | 'policy'>,
  account: Account,
  session: Session,
  refresh: { secret: Buffer; counter: number },
  at: Date,
): Promise<Tokens> {
  return {
    ...(await accessTokenOf(needs, account, session, at)),
    refreshToken: needs.refreshTokens.encode({ sessionId: session.id, ...refresh }),
    refreshExpiresInSeconds: secondsUntil(session.idleEndAt, at),
    session,
    account,
  };
}

/** An access token of a stored session; it never outlives the session's absolute end. */
export async function accessTokenOf(
  { accessTokens, policy }: Needs<'accessTokens' | 'policy'>,
  account: Account,
  session: Session,
  at: Date,
): Promise<{ accessToken: string; expiresInSeconds: number }> {
  const wantedEnd = after(at, policy.lifetimes.accessTokenSeconds);
  const expiresAt = wantedEnd < session.absoluteEndAt ? wantedEnd : session.absoluteEndAt;
  const accessToken = await accessTokens.sign({
    accountId: account.id,
    sessionId: session.id,
    issuedAt: at,
    expiresAt,
    authTime: session.authTime,
    acr: session.acr,
    amr: session.amr,
    roles: account.roles,
  });
  return { accessToken, expiresInSeconds: secondsUntil(expiresAt, at) };
}
