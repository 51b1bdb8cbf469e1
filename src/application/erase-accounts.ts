import { localClient } from '#domain/client.ts';
import { auditEvent } from './audit.ts';
import { eraseAccount } from './erase-account.ts';
import type { Needs } from './ports/services.ts';

/** A run erases at most this many before it lets others in. */
const BATCH = 50;

export function eraseAccounts({ store, secrets, clock }: Needs<'store' | 'secrets' | 'clock'>) {
  /**
   * Erases accounts whose grace is over, one transaction each, so that a large one holds up nobody. Of any number of workers one
   * gets an account. One that dies in between has erased it whole or not at all.
   * @returns whether more may be due
   */
  return async (): Promise<{ more: boolean }> => {
    const self = localClient(`erase-accounts-${secrets.id()}`);
    for (let count = 0; count < BATCH; count++) {
      const at = clock.now();
      const isErased = await store.transaction(async (tx) => {
        const account = await tx.accounts.claimDueForErasure(at);
        if (account === null) return false;
        await eraseAccount({ secrets }, tx, account);
        await tx.audit.record(auditEvent(secrets, 'ACCOUNT_ERASED', self, at, { accountId: account.id, details: { reason: 'asked-for' } }));
        return true;
      });
      if (!isErased) return { more: false };
    }
    return { more: true };
  };
}
