import type { Client } from '#domain/client.ts';
import { auditEvent } from './audit.ts';
import { failureLanes } from './login-identifier.ts';
import type { Account } from './ports/accounts.ts';
import type { Needs } from './ports/services.ts';
import type { Writes } from './ports/store.ts';
import { secondFactorLane } from './second-factor-throttle.ts';

/**
 * Erases an account that is locked, with everything that is held under it, and the failures counted for its names. What stays are its
 * audit events: they hold its id, which leads to nobody any more (docs/adr/0012).
 */
export async function eraseAccount({ secrets }: Needs<'secrets'>, tx: Writes, account: Account): Promise<void> {
  await tx.accounts.clearFailures([...failureLanes(secrets, account), secondFactorLane(secrets, account.id).identifierHash]);
  await tx.accounts.erase(account.id);
}

/** Notes the accounts that gave way to who confirmed their address. */
export async function recordDisplaced(
  { secrets }: Needs<'secrets'>,
  tx: Writes,
  accountIds: readonly string[],
  client: Client,
  at: Date,
): Promise<void> {
  for (const accountId of accountIds) {
    const details = { reason: 'address-confirmed-by-another' };
    await tx.audit.record(auditEvent(secrets, 'ACCOUNT_ERASED', client, at, { accountId, details }));
  }
}
