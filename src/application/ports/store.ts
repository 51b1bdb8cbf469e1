import type { SecondFactor } from '#domain/assurance.ts';
import type { AuditEvent, AuditEventType } from '#domain/audit-event.ts';
import type { Email } from '#domain/email.ts';
import type { LockoutPolicy, ThrottleKey } from '#domain/lockout.ts';
import type { PhoneNumber } from '#domain/phone.ts';
import type { TicketPurpose } from '#domain/tickets.ts';
import type { Username } from '#domain/username.ts';
import type { AccountChanges } from './account-changes.ts';
import type {
  Account,
  AccountEdits,
  AccountFilter,
  AccountWithPassword,
  FoundAccount,
  NewAccount,
  PendingRegistration,
} from './accounts.ts';
import type { Authenticators, Passkey, Phone, RemovedAuthenticators, Totp } from './authenticators.ts';
import type { DeviceNote, DeviceSighting } from './devices.ts';
import type { Holdings } from './holdings.ts';
import type { HotPaths, PasswordTry, SignInSignals } from './hot-paths.ts';
import type { Identities } from './identities.ts';
import type { OutboxMessage } from './outbox.ts';
import type { NewCredential, PasskeyUse } from './passkeys.ts';
import type { NewSession, Session, SessionEnd, SessionSecret, SessionWithProofs } from './sessions.ts';
import type { IssuedTicket, TicketContext } from './tickets.ts';

/**
 * The truth (PostgreSQL). Rows are reachable only inside `read` and `transaction`, whose arguments are the questions that
 * flows ask; each verb is one statement and atomic by itself. `hot` holds the verbs of the hot paths: a whole flow's
 * commit as one statement, one round trip (docs/architecture.md).
 * Everything here throws `DependencyDown` when PostgreSQL does not answer in time.
 */
export interface Store {
  read<T>(query: (records: Reads) => Promise<T>): Promise<T>;
  /** Commits when `work` returns, a refusal included; rolls back when it throws. */
  transaction<T>(work: (records: Writes) => Promise<T>): Promise<T>;
  hot: HotPaths;
}

/** A place in a list of events: behind this one. */
export type EventPosition = { occurredAt: Date; id: string };

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
    /**
     * By id, for want of it by an address that is verified here. `isUntouched`: nothing that ends sessions has happened to it since it
     * was made.
     */
    findImported(accountId: string | null, email: Email | null): Promise<{ account: Account; isUntouched: boolean } | null>;
    /** When all its sessions but one at most last ended at once; null: never. */
    sessionsEndedAt(accountId: string): Promise<Date | null>;
    /** Newest first, or, with a prefix, by what begins with it; those behind the position `after`, at most `limit`. */
    search(filter: AccountFilter, after: string | null, limit: number): Promise<FoundAccount[]>;
    /** When the lane is locked until, if it is. */
    findLock(key: ThrottleKey, at: Date): Promise<Date | null>;
  };
  signIns: {
    /** What is known of who signs in otherwise than by a password, or of who tries to without an account (null). */
    signals(accountId: string | null, sighting: DeviceSighting, at: Date): Promise<SignInSignals & { passwordFailures: number }>;
  };
  sessions: {
    findLive(sessionId: string, at: Date): Promise<Session | null>;
    /** Why it ended before its time, if it did; for whoever holds its refresh secret. */
    endOf(sessionId: string, refreshSecretHash: Buffer): Promise<SessionEnd | null>;
    /** Those alive at `at`, the last used first; at most `limit`. */
    listLive(accountId: string, at: Date, limit: number): Promise<Session[]>;
  };
  holdings: Holdings;
  identities: { isLinked(issuer: string, subject: string): Promise<boolean> };
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
    /** What an open one stands for from now on, for the same secret and as long. @returns false when it is used or over */
    rewrite(purpose: TicketPurpose, secretHash: Buffer, context: TicketContext, at: Date): Promise<boolean>;
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
    /** It was right: what was counted before in its own lanes is forgotten too. */
    settle(tried: PasswordTry): Promise<void>;
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
    usePasskey(id: string, use: PasskeyUse, at: Date): Promise<number | null>;
    flagPasskey(id: string, at: Date): Promise<void>;
    renamePasskey(accountId: string, id: string, name: string): Promise<Passkey | null>;
    removePasskey(accountId: string, id: string): Promise<void>;
    /** Removes what was enrolled, linked or proved at this instant or later, and what was begun and not finished. */
    removeSince(accountId: string, since: Date): Promise<void>;
    /** Removes whatever is enrolled, recovery codes and what was begun and not finished too. A link to another provider stays. */
    removeAll(accountId: string): Promise<RemovedAuthenticators>;
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
    /** Likewise, whoever else takes this user name, in canonical form: before any account is locked. */
    queueForName(username: string): Promise<void>;
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
  };
  sessions: {
    /** Ends the oldest beyond `most`, however many; the account is locked. @returns how many, counted up to MOST_MARKED */
    endBeyond(accountId: string, most: number, at: Date): Promise<number>;
    /** Notes the kind of device that it speaks from. @returns whether that is news */
    noteMove(sessionId: string, kind: string): Promise<boolean>;
    /** Ends one session of this account. @returns whether it lived */
    end(accountId: string, sessionId: string, reason: SessionEnd, at: Date): Promise<boolean>;
    /** Ends the session whose refresh tokens carry this secret. @returns its account, null when it did not live */
    endBySecret(sessionId: string, refreshSecretHash: Buffer, reason: SessionEnd, at: Date): Promise<string | null>;
    /**
     * Ends all of them, but for `exceptId`, a session of this account that lives. The account gets a new security stamp: a session that
     * none of this sees, because it is just being opened, has the old one and is dead; so are those beyond the MOST_MARKED whose rows say
     * why. @returns how many lived, counted up to MOST_MARKED
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
  identities: Identities & Reads['identities'];
  audit: { record(event: AuditEvent): Promise<void> } & Reads['audit'];
  /** To the account's address, or to another address or number that it has or had to do with. */
  outbox: {
    /** @param how.afterSeconds it waits for its turn; until then it counts as not yet made: it is not late */
    enqueue(accountId: string, message: OutboxMessage, at: Date, how?: { recipient?: string; afterSeconds?: number }): Promise<void>;
    /**
     * Counts one code by SMS on this day (UTC); the commit keeps the count, a rollback gives it back. To new numbers at most half of
     * the day's go, so that whoever enrols those of strangers keeps nobody from signing in.
     * @returns false when the day's are used up
     */
    countSms(isToNewNumber: boolean, mostPerDay: number, at: Date): Promise<boolean>;
  };
  serviceClients: {
    add(client: { id: string; name: string; secretHash: Buffer }, at: Date): Promise<void>;
    /** @returns what it was, null when there is none or it was revoked before */
    revoke(id: string, at: Date): Promise<ServiceClient | null>;
  } & Reads['serviceClients'];
  ipBlocks: {
    /**
     * Every process knows it within two seconds. It takes the place of one of the same network that has ended or ends earlier by
     * itself. @returns it as it is stored; `exists`: one that holds as long is there; `full`: there are MOST_IP_BLOCKS, or, of automatic
     * ones, MOST_AUTOMATIC_IP_BLOCKS
     */
    add(block: IpBlock): Promise<IpBlock | 'exists' | 'full'>;
    /** @returns what it was, null when there is none */
    remove(id: string): Promise<IpBlock | null>;
  } & Reads['ipBlocks'];
}
