import type { SecondFactor } from '#domain/assurance.ts';
import type { AuditEvent } from '#domain/audit-event.ts';
import type { Email } from '#domain/email.ts';
import type { LockoutPolicy, ThrottleKey } from '#domain/lockout.ts';
import type { Signals } from '#domain/risk.ts';
import type { PreAuth } from '#domain/tickets.ts';
import type { Account, AccountWithPassword, Registration } from './accounts.ts';
import type { DeviceNote, DeviceSighting, KnownDevice } from './devices.ts';
import type { OutboxMessage } from './outbox.ts';
import type { Authenticated, NewSession, Session } from './sessions.ts';
import type { IssuedTicket, NewTicket } from './tickets.ts';

/** Where one try at a password was counted. */
export type CountedLane = ThrottleKey & {
  /** How many in a row, this one included. */
  failures: number;
  lockedUntil: Date | null;
  /** It came while the lane was locked. */
  isRefused: boolean;
  /** It is the last that is judged: if it is wrong, the lane stays locked. */
  isLocking: boolean;
};

/** One try at a password, counted before it is judged: of any number at once no more are judged than one after the other. */
export type PasswordTry = {
  /** The lane that shows first; what the account is counted by behind it. */
  lanes: readonly [CountedLane, ...CountedLane[]];
  /** Not to be judged, and the client may know it. */
  lockedUntil: Date | null;
  /** Not to be judged, and the client may not know it: it is told that the password is wrong. */
  isWithheld: boolean;
};

/** What is known of who signs in, without this try. */
export type SignInSignals = {
  device: KnownDevice;
  signals: Pick<Signals, 'accountsFromNetwork' | 'networksOfAccount' | 'recentNetworks' | 'isTokenReused'> & { isKnownNetwork: boolean };
};

export type SignInLookup = SignInSignals & {
  account: AccountWithPassword | null;
  tried: PasswordTry;
  secondFactors: SecondFactor[];
};

export type Rotation = {
  outcome: 'rotated' | 'retried' | 'reused';
  session: Session;
  account: Account;
  /** The counter of the successor; only for `rotated` and `retried`. */
  counter: number;
};

/** A session that begins: on which device, in whose place, and among how many. */
export type NewSignIn = {
  session: NewSession;
  replaces: Buffer | null;
  device: DeviceNote;
  notice: { ticket: IssuedTicket; mail: OutboxMessage } | null;
  /** MAX_SESSIONS_PER_USER; with 0, the whole is one statement. */
  most: number;
  /** Recorded when older sessions ended for it, with their number. */
  superseded: AuditEvent;
};

export interface HotPaths {
  /**
   * One statement: account, ticket, mail and audit event, or, when the address has an account, the mail to its owner.
   * Both ways write the same number of rows. Safe under any number of parallel calls.
   */
  register(registration: Registration): Promise<'registered' | 'email-taken' | 'username-taken'>;

  /**
   * The account behind an e-mail address or user name in canonical form, whether it knows the device, and one try at its password,
   * counted: whoever finds that it was not wrong takes it back.
   * @param strangerHash stands in for the account where there is none, so that both cost the same
   */
  findForSignIn(
    identifier: { kind: 'email' | 'username'; canonical: string },
    lane: ThrottleKey & { strangerHash: Buffer },
    policy: LockoutPolicy,
    sighting: DeviceSighting,
    at: Date,
  ): Promise<SignInLookup>;

  /**
   * Records what a try came to, and mails the owner of the account, if there is one, unless that was done a short while ago.
   * @param wrong the lane of the account in which the try was counted: from now on it is a wrong password to the rules of risk
   */
  recordFailure(
    events: readonly AuditEvent[],
    told: { accountId: string | null; laneHash: Buffer; mail: OutboxMessage } | null,
    wrong?: ThrottleKey,
  ): Promise<void>;

  /**
   * The session, or the ticket of a sign-in that waits for its second factor; the end of the failure count and the audit event:
   * one statement. Refuses when the account changed (password, status, a second factor where a session would do without) since it
   * was looked up; the try then stays counted.
   */
  openSession(input: {
    accountId: string;
    begun: NewSignIn | { preAuth: NewTicket & { context: PreAuth } };
    tried: Pick<PasswordTry, 'lanes'>;
    seenPasswordHash: string;
    /** The same password under the parameters of today, when those changed. */
    rehashed: string | null;
    event: AuditEvent;
  }): Promise<'opened' | 'changed'>;

  /** The session of an access token and its account; null for one that never was. */
  authenticate(sessionId: string, at: Date): Promise<Authenticated | null>;

  /** The same by the cookie. Its use is written down, and the idle end moved, when the last time was `touchSeconds` ago. */
  authenticateByCookie(
    cookieHash: Buffer,
    client: { ip: string; userAgent: string | null },
    slide: { idleSeconds: number; touchSeconds: number },
    at: Date,
  ): Promise<Authenticated | null>;

  /**
   * The use of a refresh token as one UPDATE (RFC 9700 4.14.2, CVE-2026-1035: never check, then mark).
   * The newest counter rotates; the one before it, within the grace and while its successor is unused, gets the same
   * successor. Any older one, in a second statement, ends the session, records REFRESH_TOKEN_REUSED and queues `theftMail`.
   * @returns null when there is no such session, the secret is another's, or it has ended
   */
  rotate(input: {
    sessionId: string;
    secretHash: Buffer;
    counter: number;
    at: Date;
    graceSeconds: number;
    idleSeconds: number;
    client: { ip: string; userAgent: string | null };
    /** Its type and risk are completed by the outcome. */
    event: AuditEvent;
    theftMail: () => OutboxMessage;
  }): Promise<Rotation | null>;

  /**
   * A reset or verification link, the mail with it and the audit event in one statement, whether or not the address has
   * an account. Open tickets to reset a password are used up, those that confirm an address are not. @returns whether a mail was queued
   */
  sendLink(input: {
    email: Email;
    /** Which accounts get one: those not verified yet, or all that may sign in. */
    to: 'unverified' | 'active';
    ticket: NewTicket;
    /** null: this recipient had enough of them; only the event is recorded. */
    mail: OutboxMessage | null;
    event: AuditEvent;
    at: Date;
  }): Promise<boolean>;
}
