import { acrOf, amrOf, type Proof } from '#domain/assurance.ts';
import type { Client } from '#domain/client.ts';
import { after, idleEnd, secondsUntil } from '#domain/lifetimes.ts';
import type { Needs } from './ports/services.ts';
import type { Account, NewSession, Session } from './ports/store.ts';

/** What a client holds of a session: a short access token for every service, a refresh token for us alone. */
export type Tokens = {
  accessToken: string;
  expiresInSeconds: number;
  refreshToken: string;
  refreshExpiresInSeconds: number;
  session: Session;
  account: Account;
};

/** A session not yet stored, and the secret of its refresh tokens. Every way to a session goes through here. */
export function newSession(
  { secrets, policy }: Needs<'secrets' | 'policy'>,
  accountId: string,
  client: Client,
  device: string | null,
  proofs: Proof[],
  at: Date,
): { session: NewSession; secret: Buffer } {
  const { secret, hash } = secrets.refreshSecret();
  const absoluteEndAt = after(at, policy.lifetimes.sessionAbsoluteSeconds);
  const session: NewSession = {
    id: secrets.id(),
    accountId,
    transport: 'bearer',
    device,
    ip: client.ip,
    userAgent: client.userAgent,
    amr: amrOf(proofs),
    acr: acrOf(proofs),
    proofs,
    authTime: at,
    createdAt: at,
    lastSeenAt: at,
    idleEndAt: idleEnd(at, absoluteEndAt, policy.lifetimes),
    absoluteEndAt,
    refreshSecretHash: hash,
  };
  return { session, secret };
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
