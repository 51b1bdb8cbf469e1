import { usableFactors } from '#domain/assurance.ts';
import type { Client } from '#domain/client.ts';
import { secondsUntil } from '#domain/lifetimes.ts';
import { isRefusal, type Refusal, refuse } from '#domain/problems.ts';
import { auditEvent } from './audit.ts';
import { accountLane } from './login-identifier.ts';
import { failureEvents, judged } from './password-tries.ts';
import type { Needs } from './ports/services.ts';
import type { Caller, Session } from './ports/sessions.ts';
import { type Claim, type GivenFactor, type ProofNeeds, proveSecondFactor } from './prove-second-factor.ts';
import { raiseSession } from './raise-session.ts';
import { secondFactorThrottle, type Try } from './second-factor-throttle.ts';
import type { SessionCookie } from './session-cookie.ts';
import { accessTokenOf } from './start-session.ts';

/** The session as it is now, with what its client needs to go on: a new access token, or a new cookie. */
export type Reauthenticated = { session: Session } & ({ accessToken: string; expiresInSeconds: number } | { cookie: SessionCookie });

type ReauthenticationRefusal = Refusal<'invalid-credentials' | 'invalid-code' | 'account-locked' | 'account-suspended' | 'unauthenticated'>;

export function reauthenticate(needs: ProofNeeds & Needs<'passwords' | 'accessTokens' | 'csrfTokens' | 'clock'>) {
  const { store, passwords, secrets, courier, clock, policy } = needs;
  const prove = proveSecondFactor(needs);
  const throttle = secondFactorThrottle(needs);
  const wrong = (method: string, { account, session }: Caller) => ({ accountId: account.id, sessionId: session.id, details: { method } });

  /** The password once more, counted like those of a password change: a borrowed session cannot guess on. */
  async function provePassword(password: string, caller: Caller, client: Client, at: Date): Promise<Claim | ReauthenticationRefusal> {
    const { account } = caller;
    const key = accountLane(secrets, account.id);
    const { current, tried } = await store.transaction(async (tx) => ({
      current: await tx.accounts.findWithPassword(account.id),
      tried: await tx.throttles.tryPassword(key, policy.lockout, at),
    }));
    if (tried.lockedUntil) return refuse('account-locked', { retryAfterSeconds: secondsUntil(tried.lockedUntil, at) });
    if ((await judged(needs, tried, () => passwords.verify(current?.passwordHash ?? null, password))) === 'wrong') {
      const events = failureEvents(needs, 'REAUTHENTICATION_FAILED', tried, client, at, wrong('password', caller));
      await store.hot.recordFailure(events, null);
      return refuse('invalid-credentials', { detail: 'The password is wrong.' });
    }
    return async (tx) => {
      await tx.accounts.clearFailures([key.identifierHash]);
      return 'password';
    };
  }

  async function proveOther(given: GivenFactor, { account, session }: Caller, client: Client, at: Date): Promise<Claim | null> {
    const enrolled = await store.read((records) => records.authenticators.secondFactors(account.id));
    if (!usableFactors(enrolled, policy.secondFactors.allowsSms).includes(given.method)) return null;
    const claim = await prove(account.id, given, { sessionId: session.id }, client, at);
    if (claim === null) return null;
    return async (tx) => {
      const factor = await claim(tx);
      if (factor !== null) await tx.accounts.clearFailures([throttle.keyOf(account.id).identifierHash]);
      return factor;
    };
  }

  /** @returns the session as it is now; null when somebody else used the factor first */
  function raise(claim: Claim, method: string, caller: Caller, client: Client, at: Date) {
    return store.transaction(async (tx) => {
      const current = await tx.accounts.lock(caller.account.id);
      const session = current && (await tx.sessions.lockWithProofs(caller.session, at));
      if (!session) return refuse('unauthenticated');
      if (current.status === 'suspended') return refuse('account-suspended');
      const factor = await claim(tx);
      if (factor === null) return null;
      const raised = await raiseSession(needs, tx, session, factor, at, { renews: true });
      const about = { accountId: current.id, sessionId: session.id, details: { method, acr: raised.session.acr } };
      await tx.audit.record(auditEvent(secrets, 'REAUTHENTICATED', client, at, about));
      return raised;
    });
  }

  /**
   * Step-up (RFC 9470): the session's `auth_time` becomes now, and its `acr` what has been proved in it so far. A session that
   * held both factors keeps them (63B-4 2.2.3: one factor reauthenticates it); a password alone never makes `aal2`.
   */
  return async (
    given: { password: string } | GivenFactor,
    caller: Caller,
    client: Client,
  ): Promise<Reauthenticated | ReauthenticationRefusal> => {
    const at = clock.now();
    const method = 'password' in given ? 'password' : given.method;
    let tried: Try | null = null;
    if (!('password' in given)) {
      const begun = await throttle.begin(caller.account.id, given.method, at);
      if (isRefusal(begun)) return begun;
      tried = begun;
    }
    const proved = async () => {
      const claim =
        'password' in given ? await provePassword(given.password, caller, client, at) : await proveOther(given, caller, client, at);
      return claim === null || isRefusal(claim) ? claim : await raise(claim, method, caller, client, at);
    };
    const outcome = await (tried ? throttle.judged(caller.account.id, tried, proved) : proved());
    if (outcome === null) {
      if (tried) await throttle.fail(tried, auditEvent(secrets, 'REAUTHENTICATION_FAILED', client, at, wrong(method, caller)));
      return refuse('invalid-code');
    }
    if (isRefusal(outcome)) return outcome;
    courier.wake();
    const { session, cookie } = outcome;
    return cookie === null ? { ...(await accessTokenOf(needs, caller.account, session, at)), session } : { cookie, session };
  };
}
