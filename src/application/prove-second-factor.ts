import type { Factor } from '#domain/assurance.ts';
import type { Client } from '#domain/client.ts';
import { type CeremonyBinding, SMS_CODE_TRIES } from '#domain/tickets.ts';
import { assertion } from './assertion.ts';
import { auditEvent } from './audit.ts';
import { mails } from './mails.ts';
import type { Needs } from './ports/services.ts';
import type { Writes } from './ports/store.ts';

export type ProofNeeds = Needs<'store' | 'secrets' | 'secretBox' | 'oneTimePasswords' | 'passkeys' | 'courier' | 'policy'>;

/** What a user gives as a second factor. */
export type GivenFactor = { method: 'totp' | 'sms' | 'recovery_code'; code: string } | { method: 'webauthn'; credential: unknown };

/**
 * Uses the factor up, inside the transaction that grants something for it.
 * @returns what was proved; null when somebody else used it first
 */
export type Claim = (tx: Writes) => Promise<Factor | null>;

/**
 * Checks a second factor of an account as far as nothing is written.
 * @param binding the sign-in or session that it is for; an SMS code or challenge of another one is wrong
 * @returns its claim, null when it is wrong
 */
export function proveSecondFactor(needs: ProofNeeds) {
  const { store, secrets, secretBox, oneTimePasswords, policy } = needs;
  const verifyAssertion = assertion(needs);
  const mail = mails(needs);

  return async (accountId: string, given: GivenFactor, binding: CeremonyBinding, client: Client, at: Date): Promise<Claim | null> => {
    switch (given.method) {
      case 'totp': {
        const totp = await store.read((records) => records.authenticators.findTotp(accountId, 'active'));
        const step = totp && (await oneTimePasswords.stepOf(secretBox.open(totp.secret), given.code, at));
        if (!totp || step === null) return null;
        return async (tx) => ((await tx.authenticators.claimTotpStep(totp.id, step, at)) ? 'totp' : null);
      }
      case 'recovery_code': {
        const hash = secrets.recoveryCodeHash(given.code);
        return async (tx) => {
          const left = await tx.authenticators.useRecoveryCode(accountId, hash, at);
          if (left === null) return null;
          await tx.audit.record(auditEvent(secrets, 'RECOVERY_CODE_USED', client, at, { accountId, details: { left } }));
          await tx.outbox.enqueue(accountId, mail.recoveryCodeUsed(left, at), at);
          return 'recovery_code';
        };
      }
      case 'sms': {
        const boundTo = binding.preAuthId ?? binding.sessionId;
        if (boundTo === undefined || !policy.secondFactors.allowsSms) return null;
        const hash = secrets.smsCodeHash(boundTo, given.code);
        const sent = await store.transaction((tx) => tx.tickets.tryNewest('sms-code', accountId, SMS_CODE_TRIES, at));
        if (!sent?.secretHash.equals(hash)) return null;
        return async (tx) => {
          if ((await tx.tickets.redeemContext('sms-code', hash, at)) === null) return null;
          await tx.authenticators.touchPhone(accountId, at);
          return 'sms';
        };
      }
      case 'webauthn': {
        const answer = await verifyAssertion(given.credential, client, at);
        if (answer?.passkey.accountId !== accountId || !isFor(answer.binding, binding)) return null;
        return answer.claim;
      }
    }
  };
}

/** A challenge that was asked for by a sign-in or a session is good for that one; one that was asked for by nobody, for sessions. */
function isFor(asked: CeremonyBinding, wanted: CeremonyBinding): boolean {
  return asked.preAuthId === wanted.preAuthId && (asked.sessionId === undefined || asked.sessionId === wanted.sessionId);
}
