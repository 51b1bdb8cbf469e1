import type { Client } from '#domain/client.ts';
import { parseEmail } from '#domain/email.ts';
import { auditEvent } from './audit.ts';
import { accountLane, identifierHash } from './login-identifier.ts';
import type { Needs } from './ports/services.ts';
import type { Account, Writes } from './ports/store.ts';
import { secondFactorLane } from './second-factor-throttle.ts';

/** A run erases at most this many before it lets others in. */
const BATCH = 50;

export function eraseAccounts({ store, secrets, clock }: Needs<'store' | 'secrets' | 'clock'>) {
  /**
   * Erases accounts whose grace is over, one transaction each, so that a large one holds up nobody. Of any number of workers one
   * gets an account. One that dies in between has erased it whole or not at all.
   * @returns whether more may be due
   */
  return async (): Promise<{ more: boolean }> => {
    const self: Client = { ip: '::', userAgent: null, requestId: `erase-accounts-${secrets.id()}`, sessionToken: null, deviceToken: null };
    for (let count = 0; count < BATCH; count++) {
      const at = clock.now();
      const isErased = await store.transaction(async (tx) => {
        const account = await tx.accounts.claimDueForErasure(at);
        if (account !== null) await eraseAccount(secrets, tx, account, self, at);
        return account !== null;
      });
      if (!isErased) return { more: false };
    }
    return { more: true };
  };
}

/**
 * Erases an account that is locked, with everything that is held under it, and the failures counted for its names. What stays are its
 * audit events: they hold its id, which leads to nobody any more (docs/adr/0012).
 */
export async function eraseAccount(
  secrets: Needs<'secrets'>['secrets'],
  tx: Writes,
  account: Account,
  client: Client,
  at: Date,
): Promise<void> {
  const hashes = [accountLane(secrets, account.id).identifierHash, secondFactorLane(secrets, account.id).identifierHash];
  const email = parseEmail(account.email)?.canonical ?? account.email.toLowerCase();
  hashes.push(identifierHash(secrets, { kind: 'email', canonical: email }));
  if (account.username !== null) hashes.push(identifierHash(secrets, { kind: 'username', canonical: account.username.toLowerCase() }));
  await tx.accounts.clearFailures(hashes);
  await tx.accounts.erase(account.id);
  await tx.audit.record(auditEvent(secrets, 'ACCOUNT_ERASED', client, at, { accountId: account.id, details: { reason: 'asked-for' } }));
}
