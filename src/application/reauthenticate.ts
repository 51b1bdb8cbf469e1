import { usableFactors } from '#domain/assurance.ts';
import type { Client } from '#domain/client.ts';
import { secondsUntil } from '#domain/lifetimes.ts';
import { networkOf } from '#domain/network.ts';
import { type Refusal, refuse } from '#domain/problems.ts';
import { auditEvent } from './audit.ts';
import type { Needs } from './ports/services.ts';
import type { Account, Session } from './ports/store.ts';
import { type Claim, type GivenFactor, proveSecondFactor } from './prove-second-factor.ts';
import { raiseSession } from './raise-session.ts';
import { secondFactorThrottle } from './second-factor-throttle.ts';
import { accessTokenOf } from './start-session.ts';
import type { MfaNeeds } from './verify-mfa.ts';

export type Reauthenticated = { accessToken: string; expiresInSeconds: number; session: Session };

type Caller = { account: Account; session: Session };
type ReauthenticationRefusal = Refusal<'invalid-credentials' | 'invalid-code' | 'account-locked' | 'account-suspended' | 'unauthenticated'>;

export function reauthenticate(needs: MfaNeeds & Needs<'passwords'>) {
  const { store, passwords, secrets, courier, clock, policy } = needs;
  const prove = proveSecondFactor(needs);
  const throttle = secondFactorThrottle(needs);

  /** The password once more, counted like those of a password change: a borrowed session cannot guess on. */
  async function provePassword(
    password: string,
    { account, session }: Caller,
    client: Client,
    at: Date,
  ): Promise<Claim | ReauthenticationRefusal> {
    const key = { identifierHash: secrets.identifierHash(`account:${account.id}`), network: networkOf(client.ip) };
    const { current, lockedUntil } = await store.read(async (records) => ({
      current: await records.accounts.findWithPassword(account.id),
      lockedUntil: await records.accounts.findLock(key, at),
    }));
    if (lockedUntil) return refuse('account-locked', { retryAfterSeconds: secondsUntil(lockedUntil, at) });
    const seenHash = current?.passwordHash ?? null;
    if ((await passwords.verify(seenHash, password)) === 'wrong') {
      const about = { accountId: account.id, sessionId: session.id, details: { method: 'password' } };
      await store.hot.countFailure(key, policy.lockout, auditEvent(secrets, 'REAUTHENTICATION_FAILED', client, at, about));
      return refuse('invalid-credentials', { detail: 'The password is wrong.' });
    }
    return async (tx) => {
      await tx.accounts.clearFailures([key.identifierHash]);
      return 'password';
    };
  }

  async function proveOther(
    given: GivenFactor,
    { account, session }: Caller,
    client: Client,
    at: Date,
  ): Promise<Claim | ReauthenticationRefusal> {
    const locked = await throttle.check(account.id, at);
    if (locked) return locked;
    const enrolled = await store.read((records) => records.authenticators.secondFactors(account.id));
    const isUsable = usableFactors(enrolled, policy.secondFactors.allowsSms).includes(given.method);
    const claim = isUsable ? await prove(account.id, given, { sessionId: session.id }, client, at) : null;
    return claim ?? refuse('invalid-code');
  }

  /**
   * Step-up (RFC 9470): the session's `auth_time` becomes now, and its `acr` what has been proved in it so far. A session that
   * held both factors keeps them; a password alone never makes `aal2`.
   */
  return async (
    given: { password: string } | GivenFactor,
    caller: Caller,
    client: Client,
  ): Promise<Reauthenticated | ReauthenticationRefusal> => {
    const at = clock.now();
    const { account, session } = caller;
    const method = 'password' in given ? 'password' : given.method;
    const proved = await ('password' in given ? provePassword(given.password, caller, client, at) : proveOther(given, caller, client, at));
    const outcome =
      typeof proved !== 'function'
        ? proved
        : await store.transaction(async (tx) => {
            const current = await tx.accounts.lock(account.id);
            if (current?.status === 'suspended') return refuse('account-suspended');
            const factor = current && (await proved(tx));
            if (!factor) return refuse('invalid-code');
            const raised = await raiseSession(tx, session.id, factor, at, { renews: true });
            if (raised === null) return refuse('unauthenticated');
            if (factor !== 'password') await tx.accounts.clearFailures([throttle.keyOf(account.id).identifierHash]);
            const about = { accountId: account.id, sessionId: session.id, details: { method, acr: raised.acr } };
            await tx.audit.record(auditEvent(secrets, 'REAUTHENTICATED', client, at, about));
            return raised;
          });
    if ('refused' in outcome) {
      const about = { accountId: account.id, sessionId: session.id, details: { method } };
      if (outcome.refused === 'invalid-code') await throttle.fail('REAUTHENTICATION_FAILED', client, at, about);
      return outcome;
    }
    courier.wake();
    return { ...(await accessTokenOf(needs, account, outcome, at)), session: outcome };
  };
}
