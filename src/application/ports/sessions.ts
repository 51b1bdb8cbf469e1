import type { Acr, Amr, Proof } from '#domain/assurance.ts';
import type { Transport } from '#domain/lifetimes.ts';
import type { Account } from './accounts.ts';

export type SessionEnd =
  | 'revoked-by-service'
  | 'ended-by-admin'
  | 'suspended'
  | 'role-removed'
  | 'logout'
  | 'ended-by-user'
  | 'password-changed'
  | 'password-reset'
  /** By the operator, of many at once. */
  | 'password-reset-forced'
  | 'refresh-token-reused'
  | 'factor-changed'
  /** Another sign-in of the same browser took its place. */
  | 'replaced'
  /** MAX_SESSIONS_PER_USER. */
  | 'superseded'
  /** It turned up on another kind of device (SESSION_BINDING). */
  | 'moved'
  /** The owner said that a sign-in was not theirs. */
  | 'reported'
  /** The account's security stamp is newer than the session's. */
  | 'outdated'
  /** Nobody used it for too long, or its absolute end came. */
  | 'expired'
  | 'email-changed'
  | 'email-reverted'
  | 'account-deleted';

export type Session = {
  id: string;
  accountId: string;
  transport: Transport;
  device: string | null;
  /** The device that it began on, and its kind; null for sessions from before devices were known. */
  deviceId: string | null;
  deviceKind: string | null;
  /** The other kinds of device that it spoke from. */
  movedTo: string[];
  /** Of its cookie, when a browser holds it. */
  cookieHash: Buffer | null;
  ip: string;
  userAgent: string | null;
  amr: Amr[];
  acr: Acr;
  authTime: Date;
  createdAt: Date;
  lastSeenAt: Date;
  /** When it ends if nobody uses it again. */
  idleEndAt: Date;
  /** When it ends in any case. */
  absoluteEndAt: Date;
};

/** With what was proved in it, which `amr` and `acr` follow from. */
export type SessionWithProofs = Session & { proofs: Proof[] };

/** What a session is known by: the hash of what its refresh tokens carry, or that of its cookie. */
export type SessionSecret = { refreshSecretHash: Buffer; cookieHash: null } | { refreshSecretHash: null; cookieHash: Buffer };

export type NewSession = SessionWithProofs & SessionSecret;

/** Who makes a request, as read from the store for it. */
export type Caller = { account: Account; session: Session };

/** A session that was found: who speaks by it while it lives, and no more than the reason once it has ended before its time. */
export type Authenticated = ({ endedBecause: null } & Caller) | { endedBecause: SessionEnd };
