import { identifierHash, identifiersOf } from './login-identifier.ts';
import type { Needs } from './ports/services.ts';
import type { Account, Writes } from './ports/store.ts';

/** Takes an account away with all that is its, failures counted against it included. Audit events stay: they tell what happened. */
export async function eraseAccount({ secrets }: Needs<'secrets'>, tx: Writes, account: Account): Promise<void> {
  await tx.accounts.clearFailures(identifiersOf(account).map((identifier) => identifierHash(secrets, identifier)));
  await tx.accounts.remove(account.id);
}
