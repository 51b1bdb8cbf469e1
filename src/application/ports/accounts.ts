import type { AuditEvent } from '#domain/audit-event.ts';
import type { Email } from '#domain/email.ts';
import type { Role } from '#domain/roles.ts';
import type { Username } from '#domain/username.ts';
import type { OutboxMessage } from './outbox.ts';
import type { NewTicket } from './tickets.ts';

/** What somebody who administers makes of an account. */
export type AdministeredStatus = 'active' | 'suspended';
export type AccountStatus = AdministeredStatus | 'deleted';

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

/** `isPasswordWithdrawn`: it has none because it was taken away, and its owner chooses another by mail. */
export type AccountWithPassword = Account & { passwordHash: string | null; isPasswordWithdrawn: boolean };

export type NewAccount = {
  id: string;
  email: Email;
  emailVerifiedAt: Date | null;
  username: Username | null;
  passwordHash: string | null;
  roles: readonly Role[];
};

export type AccountEdits = {
  status?: AdministeredStatus;
  roles?: readonly Role[];
  displayName?: string | null;
  username?: Username | null;
};

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
  /** When the account, if it is made, may be removed unless somebody has verified its address; null: it stays. */
  verifyBy: Date | null;
  ticket: NewTicket;
  /** Sent when the address is free, or has an account that is not verified yet; null as below. */
  verifyMail: OutboxMessage | null;
  /** Sent to the owner when the address has a verified account; null: the owner had enough of them. */
  existingMail: OutboxMessage | null;
  /** `details` and `type` are completed by the outcome. */
  event: AuditEvent;
  at: Date;
};
