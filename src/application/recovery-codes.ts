import { hasSecondFactor } from '#domain/assurance.ts';
import type { Client } from '#domain/client.ts';
import { type Refusal, refuse } from '#domain/problems.ts';
import { RECOVERY_CODES } from '#domain/recovery-codes.ts';
import { auditEvent } from './audit.ts';
import { mails } from './mails.ts';
import type { Needs } from './ports/services.ts';
import type { Account, Session, Writes } from './ports/store.ts';

/** A set of codes and the way to make it the account's, instead of the one before. The codes are shown once, and never stored. */
export function newRecoveryCodes(needs: Needs<'secrets' | 'courier' | 'policy'>) {
  const { secrets } = needs;
  const made = Array.from({ length: RECOVERY_CODES }, () => secrets.recoveryCode());
  return {
    codes: made.map(({ code }) => code),
    async store(tx: Writes, accountId: string, client: Client, at: Date): Promise<void> {
      await tx.authenticators.replaceRecoveryCodes(
        accountId,
        made.map(({ hash }) => hash),
        at,
      );
      await tx.audit.record(auditEvent(secrets, 'RECOVERY_CODES_MADE', client, at, { accountId }));
    },
  };
}

export function recoveryCodes(needs: Needs<'store' | 'secrets' | 'courier' | 'clock' | 'policy'>) {
  const { store, courier, clock } = needs;
  const mail = mails(needs);

  /** A new set; the old one dies with it. Codes stand in for a second factor: without one there is nothing to stand in for. */
  return async ({ account }: { account: Account; session: Session }, client: Client): Promise<string[] | Refusal<'conflict'>> => {
    const at = clock.now();
    const made = newRecoveryCodes(needs);
    const outcome = await store.transaction(async (tx) => {
      await tx.accounts.lock(account.id);
      if (!hasSecondFactor(await tx.authenticators.secondFactors(account.id))) {
        return refuse('conflict', { detail: 'Enrol a second factor first.' });
      }
      await made.store(tx, account.id, client, at);
      await tx.outbox.enqueue(account.id, mail.recoveryCodesMade(at), at);
      return null;
    });
    if (outcome !== null) return outcome;
    courier.wake();
    return made.codes;
  };
}
