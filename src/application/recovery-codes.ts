import { hasSecondFactor } from '#domain/assurance.ts';
import type { Client } from '#domain/client.ts';
import { isRefusal, type Refusal, refuse } from '#domain/problems.ts';
import { RECOVERY_CODES } from '#domain/recovery-codes.ts';
import { auditEvent } from './audit.ts';
import { type ChangeRefusal, changeFactors } from './factor-changes.ts';
import { mails } from './mails.ts';
import type { Needs } from './ports/services.ts';
import type { Caller } from './ports/sessions.ts';
import type { Writes } from './ports/store.ts';

/** A set of codes and the way to make it the account's, instead of the one before. The codes are shown once, and never stored. */
export function newRecoveryCodes({ secrets }: Needs<'secrets'>) {
  const made = Array.from({ length: RECOVERY_CODES }, () => secrets.recoveryCode());
  const hashes = made.map(({ hash }) => hash);
  return {
    codes: made.map(({ code }) => code),
    async store(tx: Writes, accountId: string, client: Client, at: Date): Promise<void> {
      await tx.authenticators.replaceRecoveryCodes(accountId, hashes, at);
      await tx.audit.record(auditEvent(secrets, 'RECOVERY_CODES_MADE', client, at, { accountId }));
    },
  };
}

export function recoveryCodes(needs: Needs<'store' | 'secrets' | 'courier' | 'clock' | 'policy'>) {
  const { courier, clock } = needs;
  const mail = mails(needs);

  /** A new set; the old one dies with it. Codes stand in for a second factor: without one there is nothing to stand in for. */
  return async (caller: Caller, client: Client): Promise<string[] | Refusal<'conflict'> | ChangeRefusal> => {
    const at = clock.now();
    const made = newRecoveryCodes(needs);
    const outcome = await changeFactors(needs, caller, 'step-up', at, async (tx, { enrolled }) => {
      if (!hasSecondFactor(enrolled)) return refuse('conflict', { detail: 'Enrol a second factor first.' });
      await made.store(tx, caller.account.id, client, at);
      await tx.outbox.enqueue(caller.account.id, mail.recoveryCodesMade(at), at);
      return made.codes;
    });
    if (!isRefusal(outcome)) courier.wake();
    return outcome;
  };
}
