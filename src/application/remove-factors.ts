import type { SecondFactor } from '#domain/assurance.ts';
import type { Client } from '#domain/client.ts';
import type { Email } from '#domain/email.ts';
import { type Refusal, refuse } from '#domain/problems.ts';
import type { TicketPurpose } from '#domain/tickets.ts';
import { auditEvent } from './audit.ts';
import { endAccess } from './end-access.ts';
import { mails } from './mails.ts';
import type { RemovedAuthenticators } from './ports/authenticators.ts';
import type { Needs } from './ports/services.ts';
import { secondFactorLane } from './second-factor-throttle.ts';

/** Enrolments and step-ups under way: what they would end in is taken away. `endAccess` ends the sign-ins. */
const BEGUN = ['sms-enrolment', 'webauthn-registration', 'webauthn-authentication'] as const satisfies TicketPurpose[];

/** `removed`: null when nothing was enrolled; then nothing but what was begun has ended. */
export type FactorsRemoved = { accountId: string; email: string; removed: RemovedAuthenticators | null; ended: number };

/**
 * Takes every authenticator but the password away, by decision of the operator: the owner has lost them, or a thief enrolled them. Which of
 * them are whose nobody here can tell, so none stays. In one transaction: sessions and whatever is half done end, wrong codes of factors
 * that are gone are forgotten, it stands in the audit trail, and the owner is told (ASVS 6.3.7). The password stays, though a thief may
 * know it: that is another decision (force-password-reset.ts). So does a link to another provider.
 */
export function removeFactors(needs: Needs<'store' | 'secrets' | 'courier' | 'clock' | 'policy'>) {
  const { store, secrets, clock } = needs;
  const mail = mails(needs);

  return (email: Email, client: Client): Promise<FactorsRemoved | Refusal<'not-found'>> =>
    store.transaction(async (tx) => {
      const at = clock.now();
      const account = await tx.accounts.lockByEmail(email.canonical);
      if (account === null || account.status === 'deleted')
        return refuse('not-found', { detail: `Nobody has the address ${email.given}.` });
      const about = { accountId: account.id, email: account.email };
      const removed = await tx.authenticators.removeAll(account.id);
      for (const purpose of BEGUN) await tx.tickets.cancelAll(account.id, purpose, at);
      const methods = methodsOf(removed);
      if (methods.length === 0) return { ...about, removed: null, ended: 0 };

      const ended = await endAccess(tx, account.id, 'factor-changed', at);
      await tx.accounts.clearFailures([secondFactorLane(secrets, account.id).identifierHash]);
      const details = { methods, passkeys: removed.passkeys, ended };
      await tx.audit.record(auditEvent(secrets, 'ALL_FACTORS_REMOVED', client, at, { accountId: account.id, details }));
      await tx.outbox.enqueue(account.id, mail.allFactorsRemoved(at), at);
      return { ...about, removed, ended };
    });
}

function methodsOf({ totp, phone, passkeys, recoveryCodes }: RemovedAuthenticators): SecondFactor[] {
  const methods: [SecondFactor, boolean][] = [
    ['totp', totp],
    ['webauthn', passkeys > 0],
    ['sms', phone],
    ['recovery_code', recoveryCodes > 0],
  ];
  return methods.flatMap(([method, isRemoved]) => (isRemoved ? [method] : []));
}
