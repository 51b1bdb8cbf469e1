import type { Username } from '#domain/username.ts';
import type { Account } from './store.ts';

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
}
