import type { AuditEventType } from '#domain/audit-event.ts';
import type { Client } from '#domain/client.ts';
import { after, secondsUntil } from '#domain/lifetimes.ts';
import { SECOND_FACTOR_LOCKOUT, type ThrottleKey } from '#domain/lockout.ts';
import { type Refusal, refuse } from '#domain/problems.ts';
import { type About, auditEvent } from './audit.ts';
import { mails } from './mails.ts';
import type { Needs } from './ports/services.ts';

/**
 * Wrong second factors of one account, counted over all its sign-ins, tickets, factors and networks: neither a new sign-in nor
 * a resent code nor another address begins the count anew (ASVS 6.6.3). The password has counts of its own.
 */
export function secondFactorThrottle(needs: Needs<'store' | 'secrets' | 'courier' | 'policy'>) {
  const { store, secrets, courier } = needs;
  const mail = mails(needs);
  const keyOf = (accountId: string): ThrottleKey => ({
    identifierHash: secrets.identifierHash(`second-factor:${accountId}`),
    network: 'any',
  });
  return {
    keyOf,

    /** @returns a refusal while the account's second factors wait */
    async check(accountId: string, at: Date): Promise<null | Refusal<'account-locked'>> {
      const lockedUntil = await store.read((records) => records.accounts.findLock(keyOf(accountId), at));
      return lockedUntil && locked(secondsUntil(lockedUntil, at));
    },

    /** Counts one failure; its owner gets a mail when it is the one that locks: somebody knows the password. */
    async fail(type: AuditEventType, client: Client, at: Date, about: About & { accountId: string }): Promise<void> {
      const event = auditEvent(secrets, type, client, at, about);
      const lockedUntil = await store.hot.countFailure(keyOf(about.accountId), SECOND_FACTOR_LOCKOUT, event, 'MFA_LOCKED');
      if (lockedUntil?.getTime() !== after(at, SECOND_FACTOR_LOCKOUT.lockSeconds).getTime()) return;
      await store.transaction((tx) => tx.outbox.enqueue(about.accountId, mail.secondFactorLocked(at), at));
      courier.wake();
    },
  };
}

function locked(retryAfterSeconds: number): Refusal<'account-locked'> {
  return refuse('account-locked', { detail: 'Too many wrong codes for this account; try again later.', retryAfterSeconds });
}
