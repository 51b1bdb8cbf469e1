import { sql } from 'drizzle-orm';
import {
  bigint,
  boolean,
  check,
  cidr,
  customType,
  date,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  smallint,
  text,
  timestamp,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core';

/** The tables as drizzle-kit reads them to write migrations. At run time there is only SQL (docs/adr/0007). */

const bytea = customType<{ data: Buffer }>({ dataType: () => 'bytea' });
const instant = (name: string) => timestamp(name, { withTimezone: true, precision: 3 });

/** Who can sign in. E-mail and user name stand as given (shown, mailed to) and in the canonical form that is unique. */
export const accounts = pgTable(
  'accounts',
  {
    id: uuid('id').primaryKey(),
    email: text('email').notNull(),
    emailCanonical: text('email_canonical').notNull().unique(),
    emailVerifiedAt: instant('email_verified_at'),
    username: text('username'),
    usernameCanonical: text('username_canonical').unique(),
    displayName: text('display_name'),
    passwordHash: text('password_hash'),
    status: text('status', { enum: ['active', 'suspended', 'deleted'] })
      .notNull()
      .default('active'),
    roles: text('roles').array().notNull().default(sql`'{user}'`),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
    /** Counts what ends sessions: new password, role, factor or status. A session that carries an older one is dead. */
    securityStamp: integer('security_stamp').notNull().default(0),
    /** When a deleted account is erased; until then its owner can keep it. */
    eraseAt: instant('erase_at'),
    /** When the password was taken away from whoever knew it; null once there is another. No other provider brings it back. */
    passwordWithdrawnAt: instant('password_withdrawn_at'),
    /** When the security stamp last counted: a sign-in at another provider from before then opens no session. */
    sessionsEndedAt: instant('sessions_ended_at'),
    /** Registered by whoever gave the address: removed from then on if nobody has verified it. Null: it stays. */
    verifyBy: instant('verify_by'),
    /** When the address was registered once more before anybody verified it, or nobody could be told: a link sent again is anybody's. */
    contestedAt: instant('contested_at'),
  },
  (table) => [
    check('accounts_status', sql`${table.status} in ('active', 'suspended', 'deleted')`),
    check('accounts_erase_at', sql`(${table.status} = 'deleted') = (${table.eraseAt} is not null)`),
    index('accounts_due_for_erasure').on(table.eraseAt).where(sql`erase_at is not null`),
    // Nothing but the removal asks by `verify_by`: nothing else can take this for a short cut.
    index('accounts_never_verified').on(table.verifyBy).where(sql`verify_by is not null and email_verified_at is null`),
    // The pages of administration, newest first by each filter. A prefix is a range here whatever the collation is.
    index('accounts_by_status').on(table.status, table.id),
    index('accounts_email_prefix').on(table.emailCanonical.op('text_pattern_ops')),
    index('accounts_username_prefix').on(table.usernameCanonical.op('text_pattern_ops')),
    // None for users: nearly everybody is one.
    index('accounts_with_moderator').on(table.id).where(sql`'moderator' = any (roles)`),
    index('accounts_with_staff').on(table.id).where(sql`'staff' = any (roles)`),
    index('accounts_with_admin').on(table.id).where(sql`'admin' = any (roles)`),
  ],
);

/** One sign-in of one account on one device. Refresh tokens are counted here, never stored: the row keeps a hash and a counter. */
export const sessions = pgTable(
  'sessions',
  {
    id: uuid('id').primaryKey(),
    accountId: uuid('account_id')
      .notNull()
      .references(() => accounts.id, { onDelete: 'cascade' }),
    transport: text('transport', { enum: ['bearer', 'cookie'] }).notNull(),
    device: text('device'),
    ip: text('ip').notNull(),
    userAgent: text('user_agent'),
    amr: text('amr').array().notNull(),
    acr: text('acr', { enum: ['aal1', 'aal2'] }).notNull(),
    authTime: instant('auth_time').notNull(),
    createdAt: instant('created_at').notNull(),
    lastSeenAt: instant('last_seen_at').notNull(),
    idleEndAt: instant('idle_end_at').notNull(),
    absoluteEndAt: instant('absolute_end_at').notNull(),
    /** Of a bearer session. */
    refreshSecretHash: bytea('refresh_secret_hash'),
    refreshCounter: integer('refresh_counter').notNull().default(0),
    rotatedAt: instant('rotated_at'),
    revokedAt: instant('revoked_at'),
    revokedReason: text('revoked_reason'),
    /** What `amr` and `acr` follow from: each factor, and when it was proved. */
    proofs: jsonb('proofs').notNull().default([]),
    /** Of a cookie session: SHA-256 of the cookie's 256 random bits. */
    cookieHash: bytea('cookie_hash'),
    /** That of its account when it began, or when it was the one session that was kept. */
    securityStamp: integer('security_stamp').notNull().default(0),
    deviceId: uuid('device_id'),
    /** The kind of device that it began on, and the others that it spoke from, with `|` between them. */
    deviceKind: text('device_kind'),
    movedTo: text('moved_to'),
  },
  (table) => [
    // Not an index of the live ones alone: while PostgreSQL has not counted the rows it takes such an index for a short cut to any
    // of them, and reads it whole.
    index('sessions_live').on(table.accountId, table.revokedAt),
    uniqueIndex('sessions_cookie').on(table.cookieHash).where(sql`cookie_hash is not null`),
    // For an export, and for whatever goes with its account.
    index('sessions_of_account').on(table.accountId, table.id),
    // Few: a refresh token of theirs came back. No refresh writes the reason, so none of them pays for this.
    index('sessions_reused').on(table.accountId, table.revokedAt).where(sql`revoked_reason = 'refresh-token-reused'`),
    // Of the two ends the one that no refresh moves: an index on the other would cost each refresh its update in place.
    index('sessions_absolute_end').on(table.absoluteEndAt),
  ],
);

/**
 * Every single-use secret, as its hash only. `pending` is what a registration asked for an address not yet verified, `context`
 * what else a ticket stands for, `tries` how often a code was tried against it. A challenge for any passkey has no account.
 */
export const tickets = pgTable(
  'tickets',
  {
    id: uuid('id').primaryKey(),
    purpose: text('purpose').notNull(),
    accountId: uuid('account_id').references(() => accounts.id, { onDelete: 'cascade' }),
    secretHash: bytea('secret_hash').notNull(),
    pending: jsonb('pending'),
    /** A user name asked for with an address that has an account: taken for others too, or names would tell which addresses exist. */
    reservedUsername: text('reserved_username'),
    createdAt: instant('created_at').notNull(),
    expiresAt: instant('expires_at').notNull(),
    usedAt: instant('used_at'),
    context: jsonb('context'),
    tries: smallint('tries').notNull().default(0),
  },
  (table) => [
    uniqueIndex('tickets_secret').on(table.secretHash),
    index('tickets_open').on(table.accountId, table.purpose, table.usedAt), // whole, as that of live sessions
    index('tickets_of_account').on(table.accountId, table.id),
    index('tickets_reserved_username').on(table.reservedUsername).where(sql`reserved_username is not null and used_at is null`),
    index('tickets_expiry').on(table.expiresAt),
  ],
);

/** One-time password generators (RFC 6238): one active and one being enrolled per account. `secret` is a Fernet token. */
export const totpAuthenticators = pgTable(
  'totp_authenticators',
  {
    id: uuid('id').primaryKey(),
    accountId: uuid('account_id')
      .notNull()
      .references(() => accounts.id, { onDelete: 'cascade' }),
    secret: text('secret').notNull(),
    /** The session that began the enrolment; only that one may finish it. */
    sessionId: uuid('session_id').notNull(),
    /** The step of the last code that was accepted: that one and all before are used up. */
    lastStep: bigint('last_step', { mode: 'number' }),
    createdAt: instant('created_at').notNull(),
    activatedAt: instant('activated_at'),
    lastUsedAt: instant('last_used_at'),
  },
  (table) => [
    index('totp_of_account').on(table.accountId),
    uniqueIndex('totp_active_of_account').on(table.accountId).where(sql`activated_at is not null`),
    uniqueIndex('totp_pending_of_account').on(table.accountId).where(sql`activated_at is null`),
  ],
);

/** Recovery codes of the present set, as SHA-256 of 120 random bits. */
export const recoveryCodes = pgTable(
  'recovery_codes',
  {
    accountId: uuid('account_id')
      .notNull()
      .references(() => accounts.id, { onDelete: 'cascade' }),
    codeHash: bytea('code_hash').notNull(),
    createdAt: instant('created_at').notNull(),
    usedAt: instant('used_at'),
  },
  (table) => [primaryKey({ columns: [table.accountId, table.codeHash] })],
);

/** The verified phone of an account, in E.164. */
export const phones = pgTable('phones', {
  accountId: uuid('account_id')
    .primaryKey()
    .references(() => accounts.id, { onDelete: 'cascade' }),
  number: text('number').notNull(),
  verifiedAt: instant('verified_at').notNull(),
  lastUsedAt: instant('last_used_at'),
});

/** Public keys of WebAuthn credentials. A credential belongs to one account of all (WebAuthn L3 7.1). */
export const passkeys = pgTable(
  'passkeys',
  {
    id: uuid('id').primaryKey(),
    accountId: uuid('account_id')
      .notNull()
      .references(() => accounts.id, { onDelete: 'cascade' }),
    credentialId: bytea('credential_id').notNull(),
    publicKey: bytea('public_key').notNull(),
    signCount: bigint('sign_count', { mode: 'number' }).notNull(),
    transports: text('transports').array().notNull(),
    aaguid: uuid('aaguid').notNull(),
    name: text('name').notNull(),
    /** null: it came from a system that had not kept it, and has not been used here yet. */
    isBackupEligible: boolean('is_backup_eligible'),
    isBackedUp: boolean('is_backed_up').notNull(),
    createdAt: instant('created_at').notNull(),
    lastUsedAt: instant('last_used_at'),
    /** When its counter last went backwards. */
    flaggedAt: instant('flagged_at'),
    /** What the system that it came from called its user by (WebAuthn L3 5.4.3); null: the account's id, as we do. */
    userHandle: bytea('user_handle'),
  },
  (table) => [uniqueIndex('passkeys_credential').on(table.credentialId), index('passkeys_of_account').on(table.accountId)],
);

/**
 * Users of another provider, each linked to one account here. `drainedAt`: when the password that was right there was hashed here;
 * `drainedHash` is the SHA-256 of that hash, so that a password chosen here since can be told from it. `heldBack` says why it was not.
 */
export const federatedIdentities = pgTable(
  'federated_identities',
  {
    issuer: text('issuer').notNull(),
    subject: text('subject').notNull(),
    accountId: uuid('account_id')
      .notNull()
      .references(() => accounts.id, { onDelete: 'cascade' }),
    linkedAt: instant('linked_at').notNull(),
    lastUsedAt: instant('last_used_at').notNull(),
    drainedAt: instant('drained_at'),
    drainedHash: bytea('drained_hash'),
    heldBack: text('held_back', { enum: ['mfa'] }),
  },
  (table) => [
    primaryKey({ columns: [table.issuer, table.subject] }),
    // One user of a provider for each account: who proved the address first holds it.
    uniqueIndex('federated_identities_account').on(table.accountId, table.issuer),
  ],
);

/**
 * Devices that an account has been signed in to on, by the hash of the cookie that their browser keeps. One whose cookie never came
 * back is not confirmed: it stands for every program of its kind in its network that keeps no cookies.
 */
export const devices = pgTable(
  'devices',
  {
    id: uuid('id').primaryKey(),
    accountId: uuid('account_id')
      .notNull()
      .references(() => accounts.id, { onDelete: 'cascade' }),
    tokenHash: bytea('token_hash').notNull(),
    kind: text('kind').notNull(),
    network: text('network').notNull(),
    createdAt: instant('created_at').notNull(),
    lastSeenAt: instant('last_seen_at').notNull(),
    confirmedAt: instant('confirmed_at'),
  },
  (table) => [index('devices_of_account').on(table.accountId, table.lastSeenAt), index('devices_token').on(table.tokenHash)],
);

/**
 * Tries at passwords by lane: a keyed hash of the identifier, known or not, or the account's id, and where they come from (a network,
 * a known device, everywhere). `locks` counts those in a row, each twice as long; the owner was told at `told_at`. A try is counted
 * before it is judged: `judged_at` says when one was last found to be wrong.
 */
export const loginThrottles = pgTable(
  'login_throttles',
  {
    identifierHash: bytea('identifier_hash').notNull(),
    network: text('network').notNull(),
    failures: integer('failures').notNull(),
    lastFailedAt: instant('last_failed_at').notNull(),
    lockedUntil: instant('locked_until'),
    locks: integer('locks').notNull().default(0),
    toldAt: instant('told_at'),
    judgedAt: instant('judged_at'),
    recentTries: uuid('recent_tries').array().notNull().default([]),
  },
  (table) => [
    primaryKey({ columns: [table.identifierHash, table.network] }),
    index('login_throttles_age').on(table.lastFailedAt),
    index('login_throttles_network').on(table.network, table.lastFailedAt),
  ],
);

/**
 * What happened, in the transaction of what it tells. Partitioned by month (see the migration); accounts may go, events stay.
 * `position` is the transaction's number: below the oldest that still runs nothing is added any more (docs/adr/0013).
 */
export const auditEvents = pgTable(
  'audit_events',
  {
    id: uuid('id').notNull(),
    occurredAt: instant('occurred_at').notNull(),
    type: text('type').notNull(),
    accountId: uuid('account_id'),
    sessionId: uuid('session_id'),
    ip: text('ip').notNull(),
    userAgent: text('user_agent'),
    requestId: text('request_id').notNull(),
    risk: smallint('risk').notNull(),
    details: jsonb('details').notNull(),
    position: bigint('position', { mode: 'number' }).notNull().default(sql`audit_position()`),
  },
  (table) => [
    primaryKey({ columns: [table.id, table.occurredAt] }),
    index('audit_events_of_account').on(table.accountId, table.occurredAt),
    index('audit_events_in_time').on(table.occurredAt, table.id),
    index('audit_events_of_type').on(table.type, table.occurredAt, table.id),
    index('audit_events_from_ip').on(table.ip, table.occurredAt, table.id),
    // What carries a risk is a small part; what carries a high one is a part of that. An event without risk costs neither.
    index('audit_events_of_risk').on(table.occurredAt, table.id).where(sql`risk > 0`),
    index('audit_events_of_high_risk').on(table.occurredAt, table.id).where(sql`risk >= 50`),
    index('audit_events_position').on(table.position, table.id),
  ],
);

/** Networks that get no answer. An automatic block always ends; those of people may stay. */
export const ipBlocks = pgTable(
  'ip_blocks',
  {
    id: uuid('id').primaryKey(),
    network: cidr('network').notNull(),
    reason: text('reason').notNull(),
    origin: text('origin', { enum: ['manual', 'automatic'] }).notNull(),
    /** Who made it; the account may go. */
    createdBy: uuid('created_by'),
    createdAt: instant('created_at').notNull(),
    endsAt: instant('ends_at'),
  },
  (table) => [
    uniqueIndex('ip_blocks_network').on(table.network),
    index('ip_blocks_end').on(table.endsAt),
    check('ip_blocks_automatic_end', sql`${table.origin} = 'manual' or ${table.endsAt} is not null`),
  ],
);

/** One row: how often the blocks were changed. Every process asks for this number alone, and reads the blocks when it moved. */
export const ipBlockRevisions = pgTable('ip_block_revisions', {
  id: smallint('id').primaryKey(),
  revision: bigint('revision', { mode: 'number' }).notNull(),
});

/** Services that may ask about tokens. Their secret is 256 random bits, kept as SHA-256. */
export const serviceClients = pgTable('service_clients', {
  id: uuid('id').primaryKey(),
  name: text('name').notNull(),
  secretHash: bytea('secret_hash').notNull(),
  createdAt: instant('created_at').notNull(),
  revokedAt: instant('revoked_at'),
});

/** The chain over the audit events: each seal covers the next events of one month, and the seal before it. `entries` are ids and MACs. */
export const auditSeals = pgTable(
  'audit_seals',
  {
    number: bigint('number', { mode: 'number' }).primaryKey(),
    month: text('month').notNull(),
    events: integer('events').notNull(),
    lastPosition: bigint('last_position', { mode: 'number' }).notNull(),
    lastId: uuid('last_id').notNull(),
    entries: bytea('entries').notNull(),
    previous: bytea('previous').notNull(),
    keyId: bytea('key_id').notNull(),
    sealedAt: instant('sealed_at').notNull(),
    mac: bytea('mac').notNull(),
  },
  (table) => [index('audit_seals_of_month').on(table.month, table.number)],
);

/** The months that were archived, each with its manifest as it was written. Only then may a month be dropped. */
export const auditArchives = pgTable('audit_archives', {
  month: text('month').primaryKey(),
  location: text('location').notNull(),
  manifest: text('manifest').notNull(),
  archivedAt: instant('archived_at').notNull(),
});

/** Who of several replicas does a piece of maintenance, until when. A holder that dies is followed when its time is up. */
export const leases = pgTable('leases', {
  job: text('job').primaryKey(),
  holder: uuid('holder').notNull(),
  heldUntil: instant('held_until').notNull(),
});

/** Mail and SMS waiting to be sent, sealed: the content is erased once it was sent or given up. */
export const outbox = pgTable(
  'outbox',
  {
    id: uuid('id').primaryKey(),
    kind: text('kind', { enum: ['email', 'sms'] }).notNull(),
    accountId: uuid('account_id')
      .notNull()
      .references(() => accounts.id, { onDelete: 'cascade' }),
    recipient: text('recipient').notNull(),
    template: text('template').notNull(),
    sealed: bytea('sealed'),
    attempts: integer('attempts').notNull().default(0),
    createdAt: instant('created_at').notNull(),
    nextAttemptAt: instant('next_attempt_at').notNull(),
    expiresAt: instant('expires_at').notNull(),
    sentAt: instant('sent_at'),
    failedAt: instant('failed_at'),
    providerId: text('provider_id'),
    lastError: text('last_error'),
    failure: text('failure', { enum: ['bounced', 'expired', 'unreadable'] }),
    replyCode: text('reply_code'),
  },
  (table) => [
    index('outbox_waiting').on(table.kind, table.nextAttemptAt).where(sql`sent_at is null and failed_at is null`),
    index('outbox_dead').on(table.expiresAt).where(sql`failed_at is not null and sealed is not null`),
    index('outbox_over').on(table.createdAt).where(sql`sent_at is not null or failed_at is not null`),
    index('outbox_of_account').on(table.accountId),
  ],
);

/** Codes sent by SMS on each day (UTC), of which some to numbers that were yet to be confirmed: the guard of what they cost. */
export const smsDays = pgTable('sms_days', {
  day: date('day').primaryKey(),
  sent: integer('sent').notNull(),
  toNewNumbers: integer('to_new_numbers').notNull(),
});
