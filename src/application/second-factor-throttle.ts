import { AUDIT_EVENTS, type AuditEvent } from '#domain/audit-event.ts';
import { secondsUntil } from '#domain/lifetimes.ts';
import { SECOND_FACTOR_TRIES, type ThrottleKey } from '#domain/lockout.ts';
import { type Refusal, refuse } from '#domain/problems.ts';
import { mails } from './mails.ts';
import type { Needs } from './ports/services.ts';
import type { GivenFactor } from './prove-second-factor.ts';

/** One try that was counted; `isLocking` when no other may follow for a while unless this one is right. */
export type Try = { isLocking: boolean; failuresBefore: number };

/**
 * Second factors tried on one account, counted over all its sign-ins, tickets, factors and networks: neither a new sign-in nor a
 * resent code nor another address begins the count anew (ASVS 6.6.3). A try is counted before it is judged, so that any number of
 * guesses at once are judged as often as one after the other. Only a right one clears the count.
 */
export function secondFactorThrottle(needs: Needs<'store' | 'secrets' | 'courier' | 'policy'>) {
  const { store, secrets, courier } = needs;
  const mail = mails(needs);
  const keyOf = (accountId: string): ThrottleKey => secondFactorLane(secrets, accountId);
  return {
    keyOf,

    /** @returns a refusal while the account's second factors wait; nothing is counted */
    async check(accountId: string, at: Date): Promise<null | Refusal<'account-locked'>> {
      const lockedUntil = await store.read((records) => records.accounts.findLock(keyOf(accountId), at));
      return lockedUntil && locked(secondsUntil(lockedUntil, at));
    },

    async begin(accountId: string, method: GivenFactor['method'], at: Date): Promise<Try | Refusal<'account-locked'>> {
      const { perLock, lockSeconds, most } = SECOND_FACTOR_TRIES;
      const tried = await store.transaction((tx) => tx.throttles.tryOnce(keyOf(accountId), perLock, lockSeconds, at));
      if ('lockedUntil' in tried) return locked(secondsUntil(tried.lockedUntil, at));
      if (tried.count > most && (method === 'totp' || method === 'sms')) {
        return refuse('account-locked', {
          detail: 'Too many wrong codes in a row: use a passkey or a recovery code.',
          retryAfterSeconds: lockSeconds,
        });
      }
      return { isLocking: tried.count % perLock === 0, failuresBefore: tried.count - 1 };
    },

    /** Judges a try that was counted. One that nobody could judge is taken back, as long as the counts themselves can be reached. */
    async judged<T>(accountId: string, { isLocking, failuresBefore }: Try, judge: () => Promise<T>): Promise<T> {
      try {
        return await judge();
      } catch (error) {
        const lane = { ...keyOf(accountId), failures: failuresBefore + 1, lockedUntil: null, isRefused: false, isLocking };
        await store.transaction((tx) => tx.throttles.takeBack({ lanes: [lane], lockedUntil: null, isWithheld: false })).catch(() => {});
        throw error;
      }
    },

    /** The try was wrong. Its owner gets a mail when it locks: somebody has the first factor. */
    async fail(tried: Try, event: AuditEvent & { accountId: string }): Promise<void> {
      const { occurredAt: at } = event;
      await store.transaction(async (tx) => {
        await tx.audit.record(event);
        if (!tried.isLocking) return;
        const details = { lock_seconds: SECOND_FACTOR_TRIES.lockSeconds };
        await tx.audit.record({ ...event, id: secrets.id(), type: 'MFA_LOCKED', risk: AUDIT_EVENTS.MFA_LOCKED.risk, details });
        await tx.outbox.enqueue(event.accountId, mail.secondFactorLocked(at), at);
      });
      if (tried.isLocking) courier.wake();
    },
  };
}

/** Where they are counted. */
export function secondFactorLane(secrets: Needs<'secrets'>['secrets'], accountId: string): ThrottleKey {
  return { identifierHash: secrets.identifierHash(`second-factor:${accountId}`), network: 'any' };
}

function locked(retryAfterSeconds: number): Refusal<'account-locked'> {
  return refuse('account-locked', { detail: 'Too many wrong codes for this account; try again later.', retryAfterSeconds });
}
