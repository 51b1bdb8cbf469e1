import type { Email } from '#domain/email.ts';
import type { Username } from '#domain/username.ts';
import type { Account } from './accounts.ts';

/** What an account's owner changes about it. Each verb decides by itself, under the account's lock. */
export interface AccountChanges {
  /**
   * Sets what is given; null takes it away. A name is held by an account or by a registration under way, as in `register`, and those
   * who ask for one name queue for it.
   * @returns how it is and how it was; null when there is no such account that may be used
   */
  changeProfile(
    accountId: string,
    wanted: { username?: Username | null; displayName?: string | null },
    at: Date,
  ): Promise<{ account: Account; before: { username: string | null; displayName: string | null } } | 'username-taken' | null>;

  /**
   * Whether another account stands in the way of whoever confirms this address. An account that waits for its own confirmation stands
   * in nobody's way: it was never signed in to, and whoever reads the mail of the address decides.
   */
  isHeld(email: Email, accountId: string): Promise<boolean>;

  /**
   * Gives an account that is locked the address, confirmed now. Accounts that never confirmed it give way.
   * @returns those that did; null when one stands in the way, a registration that was a moment faster included
   */
  changeEmail(accountId: string, email: Email, at: Date): Promise<{ displaced: string[] } | null>;

  /** From now on there is no password that signs in. */
  removePassword(accountId: string, at: Date): Promise<void>;

  /** Nobody signs in to it from now on, and it is erased at `eraseAt`. */
  markDeleted(accountId: string, eraseAt: Date, at: Date): Promise<void>;

  /** Makes a deleted account active again. @returns whether it was deleted */
  restore(accountId: string, at: Date): Promise<boolean>;

  /**
   * A deleted account whose time has come, locked; of any number of callers each gets another one, null when there is none.
   * @param passedOver ids of those that are left for another time
   */
  claimDueForErasure(at: Date, passedOver: readonly string[]): Promise<Account | null>;

  /**
   * The same of accounts that somebody registered and nobody verified in time. One stays while a link to it is open, while it is
   * suspended, and when it was given a role: who administers knows of it.
   */
  claimNeverVerified(at: Date, passedOver: readonly string[]): Promise<Account | null>;

  /** Deletes it with everything that is held under it: sessions, tickets, authenticators, messages. */
  erase(accountId: string): Promise<void>;
}
