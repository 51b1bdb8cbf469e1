import type { AuditEvent } from '#domain/audit-event.ts';
import type { Client } from '#domain/client.ts';
import { secondsUntil } from '#domain/lifetimes.ts';
import { type Refusal, refuse } from '#domain/problems.ts';
import type { Risk } from '#domain/risk.ts';
import { auditEvent } from './audit.ts';
import { sightingOf } from './devices.ts';
import { type LoginIdentifier, loginLane, throttleKey } from './login-identifier.ts';
import { mails } from './mails.ts';
import { failureEvents } from './password-tries.ts';
import type { SignInLookup } from './ports/hot-paths.ts';
import type { Needs } from './ports/services.ts';
import { blockIfRisky, riskOfSignIn, weighed } from './respond-to-risk.ts';

/** A sign-in by password whose try is counted and not yet judged. */
export type CountedSignIn = SignInLookup & {
  at: Date;
  risk: Risk;
  /** How it is asked for, for its events. */
  how: AuditEvent['details'];
  /** Whether a right password would be told from a wrong one. */
  isJudged: boolean;
  /** Records that it failed, tells the owner when a lock begins, and blocks who guesses. */
  fail(reason: string): Promise<void>;
};

export function countedSignIn(needs: Needs<'store' | 'secrets' | 'courier' | 'policy'>) {
  const { store, secrets, courier, policy } = needs;
  const mail = mails(needs);

  /** The look-up of a sign-in by password, whoever judges the password. @returns a refusal when its lane is locked, and shows it */
  return async (
    { identifier, isHoneypotFilled, how }: { identifier: LoginIdentifier; isHoneypotFilled: boolean; how: AuditEvent['details'] },
    client: Client,
    at: Date,
  ): Promise<CountedSignIn | Refusal<'account-locked'>> => {
    const key = throttleKey(secrets, identifier, client.ip);
    const found = await store.hot.findForSignIn(identifier, key, policy.lockout, sightingOf(needs, client), at);
    const { account, tried } = found;
    const risk = riskOfSignIn(found, client, { failuresBefore: tried.lanes[0].failures - 1, isHoneypotFilled });
    const fail = async (reason: string) => {
      const about = { accountId: account?.id ?? null, details: { reason, ...how } };
      const [event, ...locks] = failureEvents(needs, 'LOGIN_FAILED', tried, client, at, about);
      const failed = weighed(event, risk);
      const isLocking = locks.length > 0;
      // Sealed for names that nobody has too: whether there is an owner to be told does not show in the time that it takes.
      const told = {
        accountId: about.accountId,
        laneHash: account ? loginLane(account.id) : key.strangerHash,
        mail: mail.passwordsGuessed(at),
      };
      await store.hot.recordFailure([failed, ...locks], isLocking ? told : null, tried.lanes[1]);
      if (isLocking) courier.wake();
      await blockIfRisky(needs, failed, client, at);
    };
    if (tried.lockedUntil) {
      await fail('locked');
      return refuse('account-locked', { retryAfterSeconds: secondsUntil(tried.lockedUntil, at) });
    }
    return { ...found, at, risk, how, isJudged: !isHoneypotFilled && !tried.isWithheld, fail };
  };
}

/** Records that the password was right and yet signs nobody in; its try is taken back. */
export async function recordRefused(
  { store, secrets }: Needs<'store' | 'secrets'>,
  { tried, at, how }: Pick<CountedSignIn, 'tried' | 'at' | 'how'>,
  { accountId, reason }: { accountId: string | null; reason: string },
  client: Client,
): Promise<void> {
  const event = auditEvent(secrets, 'LOGIN_REFUSED', client, at, { accountId, details: { reason, ...how } });
  await store.transaction(async (tx) => {
    await tx.throttles.takeBack(tried);
    await tx.audit.record(event);
  });
}
