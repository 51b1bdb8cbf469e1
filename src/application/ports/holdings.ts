import type { TicketPurpose } from '#domain/tickets.ts';
import type { Session, SessionEnd } from './sessions.ts';

/** A session as it is kept, over or not. */
export type HeldSession = Session & { endedAt: Date | null; endReason: SessionEnd | null };

/** A single-use secret, by what is known of it without the secret. */
export type HeldTicket = {
  id: string;
  purpose: TicketPurpose;
  createdAt: Date;
  expiresAt: Date;
  usedAt: Date | null;
  /** The address that a change of address is about. */
  email: string | null;
  /** The user name that a registration asked for. */
  username: string | null;
};

/** A device that the account is known by, without its cookie. */
export type HeldDevice = { id: string; kind: string; network: string; createdAt: Date; lastSeenAt: Date };

/** A user of another provider that the account is signed in to by. */
export type HeldIdentity = { issuer: string; subject: string; linkedAt: Date; lastUsedAt: Date };

/** A message, by what is known of it without its text. */
export type HeldMessage = {
  id: string;
  kind: 'email' | 'sms';
  template: string;
  recipient: string;
  createdAt: Date;
  sentAt: Date | null;
  failedAt: Date | null;
};

/** Everything that is held under an account, in the order of its ids: from behind one on (null: from the first), at most `limit`. */
export interface Holdings {
  sessions(accountId: string, afterId: string | null, limit: number): Promise<HeldSession[]>;
  tickets(accountId: string, afterId: string | null, limit: number): Promise<HeldTicket[]>;
  /** All of them: there are few (MOST_DEVICES). */
  devices(accountId: string): Promise<HeldDevice[]>;
  /** One for each provider. */
  identities(accountId: string): Promise<HeldIdentity[]>;
  messages(accountId: string, afterId: string | null, limit: number): Promise<HeldMessage[]>;
}
