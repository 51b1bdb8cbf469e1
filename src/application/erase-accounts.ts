import { localClient } from '#domain/client.ts';
import { auditEvent } from './audit.ts';
import { eraseAccount } from './erase-account.ts';
import type { Account } from './ports/accounts.ts';
import type { Needs } from './ports/services.ts';
import type { Writes } from './ports/store.ts';

/** When so many fail in one run, it is not for what they are. */
const MOST_FAILURES = 100;

export function eraseAccounts({ store, secrets, clock, policy }: Needs<'store' | 'secrets' | 'clock' | 'policy'>) {
  /** Those that were asked for come first. Where unverified accounts stay, so do those that were registered before that was decided. */
  const claim = async ({ accounts }: Writes, at: Date, passedOver: readonly string[]): Promise<Account | null> => {
    const deleted = await accounts.claimDueForErasure(at, passedOver);
    if (deleted !== null || policy.unverifiedAccountDays === 0) return deleted;
    return await accounts.claimNeverVerified(at, passedOver);
  };

  /**
   * Erases accounts whose grace is over and those that nobody has verified in time (ASVS 14.2.7), one transaction each, so that a large
   * one holds up nobody. Of any number of workers one gets an account. One that dies in between has erased it whole or not at all. An
   * account that cannot be erased is passed over until the next run, or it would keep all that come after it.
   * @param tell hears of each that failed
   * @throws when it is not for the account: none can be claimed, or too many fail
   */
  return async (signal: AbortSignal, tell: (accountId: string, error: unknown) => void): Promise<void> => {
    const self = localClient(`erase-accounts-${secrets.id()}`);
    const failed: string[] = [];
    while (!signal.aborted) {
      const at = clock.now();
      const claimed: string[] = [];
      try {
        const isErased = await store.transaction(async (tx) => {
          const account = await claim(tx, at, failed);
          if (account === null) return false;
          claimed.push(account.id);
          await eraseAccount({ secrets }, tx, account);
          const about = { accountId: account.id, details: { reason: account.status === 'deleted' ? 'asked-for' : 'never-verified' } };
          await tx.audit.record(auditEvent(secrets, 'ACCOUNT_ERASED', self, at, about));
          return true;
        });
        if (!isErased) return;
      } catch (error) {
        const [accountId] = claimed;
        if (accountId === undefined || failed.length === MOST_FAILURES) throw error;
        failed.push(accountId);
        tell(accountId, error);
      }
    }
  };
}
