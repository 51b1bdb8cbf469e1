import type { Client } from '#domain/client.ts';
import { idleEnd, secondsUntil } from '#domain/lifetimes.ts';
import { type Refusal, refuse } from '#domain/problems.ts';
import { auditEvent } from './audit.ts';
import { weakPassword } from './choose-password.ts';
import { accountLane } from './login-identifier.ts';
import { mails } from './mails.ts';
import { failureEvents, judged } from './password-tries.ts';
import type { Needs } from './ports/services.ts';
import type { Caller } from './ports/sessions.ts';
import { grant, newSecret, type SignedIn } from './start-session.ts';

export function changePassword(
  needs: Needs<
    'store' | 'passwords' | 'commonPasswords' | 'accessTokens' | 'refreshTokens' | 'csrfTokens' | 'secrets' | 'courier' | 'clock' | 'policy'
  >,
) {
  const { store, passwords, secrets, courier, clock, policy } = needs;
  const mail = mails(needs);

  /**
   * Changes the password of a signed-in user who knows the present one (ASVS 6.2.3). Every other session ends, and the
   * refresh tokens or the cookie of this one are made anew (ASVS 7.4.3). Wrong present passwords are counted by account, so that a borrowed
   * session cannot guess on.
   */
  return async (
    input: { currentPassword: string; newPassword: string },
    caller: Caller,
    client: Client,
  ): Promise<SignedIn | Refusal<'invalid-credentials' | 'password-policy' | 'account-locked' | 'unauthenticated'>> => {
    const at = clock.now();
    const { account, session } = caller;
    const weak = weakPassword(needs, input.newPassword, account, '/new_password');
    if (weak) return weak;

    const key = accountLane(secrets, account.id);
    const { current, tried } = await store.transaction(async (tx) => ({
      current: await tx.accounts.findWithPassword(account.id),
      tried: await tx.throttles.tryPassword(key, policy.lockout, at),
    }));
    if (tried.lockedUntil) return refuse('account-locked', { retryAfterSeconds: secondsUntil(tried.lockedUntil, at) });
    const seenHash = current?.passwordHash ?? null;
    const verdict = await judged(needs, tried, () => passwords.verify(seenHash, input.currentPassword));
    if (seenHash === null || verdict === 'wrong') {
      const about = { accountId: account.id, sessionId: session.id };
      await store.hot.recordFailure(failureEvents(needs, 'PASSWORD_CHANGE_FAILED', tried, client, at, about), null);
      return refuse('invalid-credentials', { detail: 'The current password is wrong.' });
    }

    const passwordHash = await judged(needs, tried, () => passwords.hash(input.newPassword));
    const { held, hashes } = newSecret(needs, session.transport);
    const change = () =>
      store.transaction(async (tx) => {
        if (!(await tx.accounts.replacePassword(account.id, seenHash, passwordHash, at))) return refuse('invalid-credentials');
        const idleEndAt = idleEnd(at, session.absoluteEndAt, policy.lifetimes.sessions[session.transport]);
        const mine = await tx.sessions.renewSecret(session.id, hashes, idleEndAt, at);
        const ended = await tx.sessions.endAll(account.id, 'password-changed', at, session.id);
        await tx.tickets.cancelAll(account.id, 'reset-password', at);
        await tx.tickets.cancelAll(account.id, 'change-email', at);
        await tx.tickets.cancelAll(account.id, 'pre-auth', at);
        await tx.accounts.clearFailures([key.identifierHash]);
        const about = { accountId: account.id, sessionId: session.id, details: { ended } };
        await tx.audit.record(auditEvent(secrets, 'PASSWORD_CHANGED', client, at, about));
        await tx.outbox.enqueue(account.id, mail.passwordChanged(at), at);
        return mine ?? refuse('unauthenticated'); // it was ended meanwhile: the password is changed, the session stays gone
      });
    const renewed = await judged(needs, tried, change);
    courier.wake();
    if ('refused' in renewed) return renewed;
    return await grant(needs, { account, session: renewed, held, deviceCookie: null }, at);
  };
}
