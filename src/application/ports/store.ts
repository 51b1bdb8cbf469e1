import type { Acr, Amr, Proof, SecondFactor } from '#domain/assurance.ts';
import type { AuditEvent, AuditEventType } from '#domain/audit-event.ts';
import type { Email } from '#domain/email.ts';
import type { Transport } from '#domain/lifetimes.ts';
import type { LockoutPolicy, ThrottleKey } from '#domain/lockout.ts';
import type { PhoneNumber } from '#domain/phone.ts';
import type { Signals } from '#domain/risk.ts';
import type { Role } from '#domain/roles.ts';
import type { CeremonyBinding, PreAuth, TicketPurpose } from '#domain/tickets.ts';
import type { Username } from '#domain/username.ts';
import type { AccountChanges } from './account-changes.ts';
import type { Holdings } from './holdings.ts';
import type { NewCredential, PasskeyDescriptor } from './passkeys.ts';

/**
 * The truth (PostgreSQL). Rows are reachable only inside `read` and `transaction`, whose arguments are the questions that
 * flows ask; each verb is one statement and atomic by itself. `hot` holds the verbs of the hot paths: a whole flow's
 * commit as one statement, one round trip (DESIGN 5).
 * Everything here throws `DependencyDown` when PostgreSQL does not answer in time.
 */
export interface Store {
  read<T>(query: (records: Reads) => Promise<T>): Promise<T>;
  /** Commits when `work` returns, a refusal included; rolls back when it throws. */
  transaction<T>(work: (records: Writes) => Promise<T>): Promise<T>;
  hot: HotPaths;
}

export type AccountStatus = 'active' | 'suspended' | 'deleted';

export type Account = {
  id: string;
  email: string;
  emailVerifiedAt: Date | null;
  username: string | null;
  displayName: string | null;
  status: AccountStatus;
  roles: Role[];
  createdAt: Date;
};

/** Which accounts to list. @see Reads.accounts.search */
export type AccountFilter = {
  /** What the e-mail address or the user name begins with, in canonical form. */
  prefix: string | null;
  role: Role | null;
  status: AccountStatus | null;
};

/** With where it stands in its list: an id without a prefix, what begins with it otherwise. */
export type FoundAccount = { account: Account; position: string };

export type AccountWithPassword = Account & { passwordHash: string | null };

export type SessionEnd =
  | 'revoked-by-service'
  | 'ended-by-admin'
  | 'suspended'
  | 'role-removed'
  | 'logout'
  | 'ended-by-user'
  | 'password-changed'
  | 'password-reset'
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

/** A message ready to send, sealed: what it says is readable to the worker only (it holds live tokens). */
export type OutboxMessage = {
  id: string;
  kind: 'email' | 'sms';
  template: string;
  sealed: Buffer;
  expiresAt: Date;
};

export type NewTicket = {
  id: string;
  purpose: TicketPurpose;
  secretHash: Buffer;
  expiresAt: Date;
};

/** A ticket that stands for something besides its account. */
export type IssuedTicket = NewTicket & { accountId: string | null; context: TicketContext | null };
export type TicketContext = PreAuth | CeremonyBinding | SmsEnrolment | ReportedDevice | EmailChange | EmailRevert;
export type ReportedDevice = { deviceId: string };
/** The address that was asked for, and the session that asked. */
export type EmailChange = { email: Email; sessionId: string };
/** The address of before; since when (RFC 3339) the change was asked for, and since when who asked may have enrolled something. */
export type EmailRevert = { email: Email; since: string; enrolledSince?: string };
export type SmsEnrolment = { number: PhoneNumber; sessionId: string };

export type Totp = { id: string; secret: string; sessionId: string; createdAt: Date; lastUsedAt: Date | null };
export type Phone = { number: PhoneNumber; verifiedAt: Date; lastUsedAt: Date | null };
export type Passkey = PasskeyDescriptor & {
  id: string;
  accountId: string;
  publicKey: Buffer;
  signCount: number;
  name: string;
  isBackupEligible: boolean;
  isBackedUp: boolean;
  createdAt: Date;
  lastUsedAt: Date | null;
  flaggedAt: Date | null;
};

/** What a client shows of its device. */
export type DeviceSighting = { tokenHash: Buffer | null; kind: string; network: string };

/** What is known of it: the device by its cookie, one without cookies of the same kind in the same network, or nothing. */
export type KnownDevice = { id: string; by: 'cookie' | 'traits' } | { by: 'new'; hasOthers: boolean };

/** A device as it is from now on. `replaces`: the cookie that its browser had, which other accounts on it may know it by. */
export type DeviceNote = {
  id: string;
  tokenHash: Buffer;
  kind: string;
  network: string;
  replaces: Buffer | null;
  /** Whether the cookie came back: the device keeps cookies. */
  isConfirmed: boolean;
};

/** What is enrolled, as its owner sees it. */
export type Authenticators = { totp: Totp | null; phone: Phone | null; passkeys: Passkey[]; recoveryCodesLeft: number };

/** A place in a list of events: behind this one. */
export type EventPosition = { occurredAt: Date; id: string };
export type NewAccount = {
  id: string;
  email: Email;
  emailVerifiedAt: Date | null;
  username: Username | null;
  passwordHash: string | null;
  roles: readonly Role[];
};

export type AccountEdits = {
  status?: AccountStatus;
  roles?: readonly Role[];
  displayName?: string | null;
  username?: Username | null;
};

export type IpBlock = {
  id: string;
  /** As PostgreSQL writes a CIDR. */
  network: string;
  reason: string;
  createdBy: string | null;
  createdAt: Date;
} & ({ origin: 'manual'; endsAt: Date | null } | { origin: 'automatic'; endsAt: Date });

/** A service that may ask about tokens. */
export type ServiceClient = { id: string; name: string; createdAt: Date; revokedAt: Date | null };

/** Which events to read; null: whichever. `from` is the first instant, `to` the first one after. */
export type AuditFilter = {
  type: AuditEventType | null;
  accountId: string | null;
  ip: string | null;
  minRisk: number;
  from: Date | null;
  to: Date | null;
};

export interface Reads {
  serviceClients: {
    /** One that is not revoked, with this hash of its secret. */
    find(id: string, secretHash: Buffer): Promise<ServiceClient | null>;
    /** The newest first. */
    list(): Promise<ServiceClient[]>;
  };
  ipBlocks: {
    /** Those that have not ended, newest first, older than `beforeId`; at most `limit`. */
    list(beforeId: string | null, limit: number, at: Date): Promise<IpBlock[]>;
  };
  tickets: {
    /** The open ticket, untried and unused by this; null when it is over or was tried `most` times. */
    find<Context extends TicketContext>(
      purpose: TicketPurpose,
      secretHash: Buffer,
      most: number,
      at: Date,
    ): Promise<{ id: string; accountId: string; context: Context; createdAt: Date } | null>;
  };
  authenticators: {
    list(accountId: string): Promise<Authenticators>;
    /** What stands beside the password, in no order. */
    secondFactors(accountId: string): Promise<SecondFactor[]>;
    findTotp(accountId: string, state: 'active' | 'pending'): Promise<Totp | null>;
    findPhone(accountId: string): Promise<Phone | null>;
    /** At most `limit`, the oldest first. */
    listPasskeys(accountId: string, limit: number): Promise<Passkey[]>;
    findPasskey(credentialId: Buffer): Promise<Passkey | null>;
  };
  accounts: {
    /** One look for both: has the address an account, is the name held by an account or by a registration under way? */
    findTaken(email: Email, username: Username | null, at: Date): Promise<{ email: boolean; username: boolean }>;
    /** For the password policy and the mail of whoever holds this ticket; does not use the ticket up. */
    findByTicket(purpose: TicketPurpose, secretHash: Buffer, at: Date): Promise<Account | null>;
    findWithPassword(accountId: string): Promise<AccountWithPassword | null>;
    /** Newest first, or, with a prefix, by what begins with it; those behind the position `after`, at most `limit`. */
    search(filter: AccountFilter, after: string | null, limit: number): Promise<FoundAccount[]>;
    /** When the lane is locked until, if it is. */
    findLock(key: ThrottleKey, at: Date): Promise<Date | null>;
  };
  devices: {
    recognise(accountId: string, sighting: DeviceSighting): Promise<KnownDevice>;
  };
  sessions: {
    findLive(sessionId: string, at: Date): Promise<Session | null>;
    /** Why it ended before its time, if it did; for whoever holds its refresh secret. */
    endOf(sessionId: string, refreshSecretHash: Buffer): Promise<SessionEnd | null>;
    /** Those alive at `at`, the last used first; at most `limit`. */
    listLive(accountId: string, at: Date, limit: number): Promise<Session[]>;
  };
  holdings: Holdings;
  audit: {
    /** The account's events of these types (null: all), the newest first, from behind a position on; at most `limit`. */
    listOfAccount(
      accountId: string,
      types: readonly AuditEventType[] | null,
      limit: number,
      after: EventPosition | null,
    ): Promise<AuditEvent[]>;
    /** Newest first, older than `before`; at most `limit`. */
    search(filter: AuditFilter, before: EventPosition | null, limit: number): Promise<AuditEvent[]>;
  };
}

export interface Writes extends Reads {
  tickets: {
    /** Uses the ticket up: of any number of callers exactly one gets the row (ASVS 15.4.2). */
    redeem(
      purpose: TicketPurpose,
      secretHash: Buffer,
      at: Date,
    ): Promise<{ accountId: string; pending: PendingRegistration | null } | null>;
    /** Uses up every other open ticket of this purpose, or those that were issued since an instant. */
    cancelAll(accountId: string, purpose: TicketPurpose, at: Date, since?: Date): Promise<void>;
    /** Its hash may have been there before (a code of six digits): then that ticket is the new one. */
    issue(ticket: IssuedTicket, at: Date, triesSoFar?: number): Promise<void>;
    /** Counts one try. @returns null when there is no such ticket, it is used or over, or it was tried `most` times before */
    tryOnce<Context extends TicketContext>(
      purpose: TicketPurpose,
      secretHash: Buffer,
      most: number,
      at: Date,
    ): Promise<{ id: string; accountId: string; tries: number; context: Context } | null>;
    /** Counts one try against the newest open ticket of this account and purpose; as `tryOnce`. */
    tryNewest<Context extends TicketContext>(
      purpose: TicketPurpose,
      accountId: string,
      most: number,
      at: Date,
    ): Promise<{ id: string; secretHash: Buffer; tries: number; context: Context } | null>;
    /** Uses it up, as `redeem`; for tickets that may belong to nobody. */
    redeemContext<Context extends TicketContext>(
      purpose: TicketPurpose,
      secretHash: Buffer,
      at: Date,
    ): Promise<{ accountId: string | null; context: Context } | null>;
    /** Of the open ones that were issued since an instant, the oldest. */
    findFirst<Context extends TicketContext>(
      accountId: string,
      purpose: TicketPurpose,
      since: Date,
      at: Date,
    ): Promise<{ context: Context } | null>;
    /** When the last of the open ones is over; null when there is none. */
    lastEnd(accountId: string, purpose: TicketPurpose, at: Date): Promise<Date | null>;
    /** Whether there is one that is neither used nor over. */
    hasOpen(accountId: string, purpose: TicketPurpose, at: Date): Promise<boolean>;
    /** How often the open ticket of this purpose was tried; 0 when there is none. */
    triesOf(accountId: string, purpose: TicketPurpose, at: Date): Promise<number>;
  } & Reads['tickets'];
  throttles: {
    /**
     * Counts one try before it is judged; every `perLock`th in a row locks. @returns how many there were in a row, or until when it
     * is locked: then nothing was counted
     */
    tryOnce(key: ThrottleKey, perLock: number, lockSeconds: number, at: Date): Promise<{ count: number } | { lockedUntil: Date }>;
    /** Counts one try at a password in one lane before it is judged. */
    tryPassword(key: ThrottleKey, policy: LockoutPolicy, at: Date): Promise<PasswordTry>;
    /** It was not wrong, or nobody could judge it. */
    takeBack(tried: PasswordTry): Promise<void>;
  };
  authenticators: {
    /** Replaces an enrolment that was begun and not finished. */
    beginTotp(totp: { id: string; accountId: string; sessionId: string; secret: string }, at: Date): Promise<void>;
    /** Makes it the active one in place of any before, its first code used. @returns false when it is not pending any more */
    activateTotp(accountId: string, id: string, step: number, at: Date): Promise<boolean>;
    /** RFC 6238 5.2: a code is good once. Of any number of callers exactly one claims a step, and none an earlier one. */
    claimTotpStep(id: string, step: number, at: Date): Promise<boolean>;
    removeTotp(accountId: string): Promise<void>;
    replaceRecoveryCodes(accountId: string, codeHashes: readonly Buffer[], at: Date): Promise<void>;
    /** @returns how many are left, null when this is none of them or it was used before */
    useRecoveryCode(accountId: string, codeHash: Buffer, at: Date): Promise<number | null>;
    setPhone(accountId: string, number: PhoneNumber, at: Date): Promise<void>;
    touchPhone(accountId: string, at: Date): Promise<void>;
    removePhone(accountId: string): Promise<void>;
    /** @returns it as it is stored, null when somebody has registered this credential */
    addPasskey(passkey: NewCredential & { id: string; accountId: string; name: string }, at: Date): Promise<Passkey | null>;
    /** Notes the use. @returns the counter stored before, null when the passkey is gone */
    usePasskey(id: string, signCount: number, isBackedUp: boolean, at: Date): Promise<number | null>;
    flagPasskey(id: string, at: Date): Promise<void>;
    renamePasskey(accountId: string, id: string, name: string): Promise<Passkey | null>;
    removePasskey(accountId: string, id: string): Promise<void>;
    /** Removes what was enrolled or proved at this instant or later, and what was begun and not finished. */
    removeSince(accountId: string, since: Date): Promise<void>;
  } & Reads['authenticators'];
  accounts: {
    /**
     * Locks the account until the transaction ends: whatever else changes its authenticators or tickets waits. One that was deleted is
     * not there, so that no flow that begins here goes on with it.
     */
    lock(accountId: string): Promise<AccountWithPassword | null>;
    /**
     * Marks the address verified. An account that was not yet verified takes over what the registration of this very
     * link asked for, so that nobody's earlier registration decides its password.
     * @returns false when there is no such account
     */
    verifyEmail(accountId: string, pending: PendingRegistration | null, at: Date): Promise<boolean>;
    /** Sets the hash, and marks the address verified when `provesEmail`. */
    setPassword(accountId: string, passwordHash: string, at: Date, options: { provesEmail: boolean }): Promise<Account | null>;
    /** Sets the hash only while it still is `seenHash`. @returns whether it was */
    replacePassword(accountId: string, seenHash: string, passwordHash: string, at: Date): Promise<boolean>;
    /** Forgets the failures counted for these identifiers, from any network. @returns how many lanes had some */
    clearFailures(identifierHashes: readonly Buffer[]): Promise<number>;
    /** Until the transaction ends, whoever else changes accounts of others waits here: first of all locks. */
    queueAdministration(): Promise<void>;
    /** Locks these accounts, in the order of their ids. Those that are not there are left out. */
    lockAll(accountIds: readonly string[]): Promise<Account[]>;
    /** Whether an active account besides this one is an admin. Only told for sure in the queue of administration. */
    hasOtherAdmin(accountId: string | null): Promise<boolean>;
    /** Locks the account of this address. */
    lockByEmail(canonicalEmail: string): Promise<AccountWithPassword | null>;
    /** @returns false when the address or the name has an account */
    create(account: NewAccount, at: Date): Promise<boolean>;
    /** Takes from an account whose address nobody has verified what its registration gave it, and calls the address verified. */
    reclaim(accountId: string, at: Date): Promise<void>;
    /** What is not given stays. @returns the account as it is now */
    change(accountId: string, changes: AccountEdits, at: Date): Promise<Account | 'username-taken' | null>;
  } & AccountChanges &
    Reads['accounts'];
  devices: {
    note(accountId: string, note: DeviceNote, at: Date): Promise<void>;
    forget(accountId: string, deviceId: string): Promise<void>;
    forgetAll(accountId: string): Promise<void>;
  } & Reads['devices'];
  sessions: {
    /** Ends the oldest beyond `most`; the account is locked. @returns how many */
    endBeyond(accountId: string, most: number, at: Date): Promise<number>;
    /** Notes the kind of device that it speaks from. @returns whether that is news */
    noteMove(sessionId: string, kind: string): Promise<boolean>;
    /** Ends one session of this account. @returns whether it lived */
    end(accountId: string, sessionId: string, reason: SessionEnd, at: Date): Promise<boolean>;
    /** Ends the session whose refresh tokens carry this secret. @returns its account, null when it did not live */
    endBySecret(sessionId: string, refreshSecretHash: Buffer, reason: SessionEnd, at: Date): Promise<string | null>;
    /**
     * Ends all of them, but for `exceptId`. The account gets a new security stamp: a session that none of this sees, because it
     * is just being opened, has the old one and is dead. @returns how many lived
     */
    endAll(accountId: string, reason: SessionEnd, at: Date, exceptId?: string): Promise<number>;
    /** Ends the session of this cookie. */
    endByCookie(cookieHash: Buffer, reason: SessionEnd, at: Date): Promise<void>;
    /** A new secret: what was given out before is dead. @returns the session as it is now, null when it ended */
    renewSecret(sessionId: string, secret: SessionSecret, idleEndAt: Date, at: Date): Promise<Session | null>;
    /** A new cookie, and nothing else: the one before is dead. */
    renewCookie(sessionId: string, cookieHash: Buffer): Promise<void>;
    /** Opens it, and ends the one whose cookie `replaces` is the hash of. */
    open(session: NewSession, replaces: Buffer | null): Promise<void>;
    /** The session with what was proved in it, locked; null when it does not live, or got another cookie since it was read. */
    lockWithProofs(session: Pick<Session, 'id' | 'cookieHash'>, at: Date): Promise<SessionWithProofs | null>;
    setProofs(session: SessionWithProofs): Promise<void>;
  } & Reads['sessions'];
  audit: { record(event: AuditEvent): Promise<void> } & Reads['audit'];
  /** To the account's address, or to another address or number that it has or had to do with. */
  outbox: { enqueue(accountId: string, message: OutboxMessage, at: Date, recipient?: string): Promise<void> };
  serviceClients: {
    add(client: { id: string; name: string; secretHash: Buffer }, at: Date): Promise<void>;
    /** @returns what it was, null when there is none or it was revoked before */
    revoke(id: string, at: Date): Promise<ServiceClient | null>;
  } & Reads['serviceClients'];
  ipBlocks: {
    /**
     * Every process knows it within two seconds. It takes the place of one of the same network that has ended or ends earlier by
     * itself. @returns it as it is stored; `exists`: one that holds as long is there; `full`: there are MOST_IP_BLOCKS
     */
    add(block: IpBlock): Promise<IpBlock | 'exists' | 'full'>;
    /** @returns what it was, null when there is none */
    remove(id: string): Promise<IpBlock | null>;
  } & Reads['ipBlocks'];
}

/**
 * What a registration asked for an address that is not verified yet; its ticket carries it until the link is opened. Nulls, when
 * several registered the address and the link cannot tell whose it is: the account is left without a password.
 */
export type PendingRegistration = { passwordHash: string | null; username: Username | null; displayName: string | null };

export type Registration = {
  accountId: string;
  email: Email;
  username: Username | null;
  displayName: string | null;
  passwordHash: string;
  ticket: NewTicket;
  /** Sent when the address is free, or has an account that is not verified yet; null as below. */
  verifyMail: OutboxMessage | null;
  /** Sent to the owner when the address has a verified account; null: the owner had enough of them. */
  existingMail: OutboxMessage | null;
  /** `details` and `type` are completed by the outcome. */
  event: AuditEvent;
  at: Date;
};

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

export type SignInLookup = {
  account: AccountWithPassword | null;
  tried: PasswordTry;
  secondFactors: SecondFactor[];
  device: KnownDevice;
  /** What else is known of who asks, without this try. */
  signals: Pick<Signals, 'accountsFromNetwork' | 'networksOfAccount' | 'recentNetworks'> & { isKnownNetwork: boolean };
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

  /** Records what a try came to, and mails the owner of the account, if there is one, unless that was done a short while ago. */
  recordFailure(
    events: readonly AuditEvent[],
    told: { accountId: string | null; laneHash: Buffer; mail: OutboxMessage } | null,
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
   * an account. Open tickets of the same purpose are used up. @returns whether a mail was queued
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

/** The outbox as its worker sees it. */
export interface Outbox {
  /** Takes up to `limits` due messages of each kind for `leaseSeconds`; two workers never hold the same one. */
  claim(limits: Record<OutboxMessage['kind'], number>, leaseSeconds: number, at: Date): Promise<ClaimedMessage[]>;
  /** Sent: the content is erased. */
  markSent(id: string, providerId: string | null, at: Date): Promise<void>;
  /**
   * Not sent: tried again at `nextAttemptAt`, or a dead letter when that is null, whose content stays until it expires. Nothing
   * happens when another worker has claimed the message since.
   */
  markFailed(
    claimed: Pick<ClaimedMessage, 'id' | 'attempts'>,
    failure: DeliveryFailure,
    nextAttemptAt: Date | null,
    at: Date,
  ): Promise<void>;
  /** Erases dead letters that have expired, and removes what is over and was made before `keptSince`; a bounded number at a time. */
  tidy(keptSince: Date, at: Date): Promise<void>;
  /** How many wait, and since when the oldest does. */
  backlog(at: Date): Promise<{ waiting: number; oldestSeconds: number }>;
}

/** `bounced`: refused for good; `expired`: nobody took it in time; `unreadable`: sealed with another SECRET_KEY. */
export type DeadLetter = 'bounced' | 'expired' | 'unreadable';

export type DeliveryFailure = {
  /** What the message becomes when it is not tried again. */
  kind: DeadLetter;
  reason: string;
  /** The provider's, as `550 5.1.1`. */
  replyCode: string | null;
};

export type ClaimedMessage = OutboxMessage & { recipient: string; attempts: number };
