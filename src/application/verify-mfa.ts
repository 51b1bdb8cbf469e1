import type { Client } from '#domain/client.ts';
import { isRefusal, type Refusal, refuse } from '#domain/problems.ts';
import { isSameClient, PRE_AUTH_TRIES, type PreAuth } from '#domain/tickets.ts';
import { auditEvent } from './audit.ts';
import type { Needs } from './ports/services.ts';
import { type GivenFactor, type ProofNeeds, proveSecondFactor } from './prove-second-factor.ts';
import { secondFactorThrottle } from './second-factor-throttle.ts';
import { grant, openSession, type SignedIn } from './start-session.ts';

export type MfaRefusal = Refusal<'invalid-token' | 'invalid-code' | 'account-locked' | 'account-suspended'>;

export function verifyMfa(needs: ProofNeeds & Needs<'accessTokens' | 'refreshTokens' | 'csrfTokens' | 'clock'>) {
  const { store, secrets, courier, clock } = needs;
  const prove = proveSecondFactor(needs);
  const throttle = secondFactorThrottle(needs);

  /**
   * The second half of a sign-in. The ticket takes five tries of whatever method, is good once, and only for the client that
   * began (ASVS 6.6.2, 6.6.3). Each try is counted before anything is looked at, so that parallel guesses count too. A new
   * password, a suspension or five minutes end it.
   */
  return async (preAuthToken: string, given: GivenFactor, client: Client): Promise<SignedIn | MfaRefusal> => {
    const at = clock.now();
    const ticketHash = secrets.ticketHash(preAuthToken);
    const ticket = await store.transaction((tx) => tx.tickets.tryOnce<PreAuth>('pre-auth', ticketHash, PRE_AUTH_TRIES, at));
    if (ticket === null || !isSameClient(ticket.context, client)) return refuse('invalid-token');
    const { accountId, context } = ticket;
    const failed = { accountId, details: { method: given.method, tries: ticket.tries } };
    const tried = await throttle.begin(accountId, given.method, at);
    if (isRefusal(tried)) {
      const about = { ...failed, details: { ...failed.details, reason: 'locked' } };
      await store.transaction((tx) => tx.audit.record(auditEvent(secrets, 'MFA_FAILED', client, at, about)));
      return tried;
    }

    const isOffered = context.methods.includes(given.method);
    const claim = isOffered ? await prove(accountId, given, { preAuthId: ticket.id }, client, at) : null;
    const outcome =
      claim &&
      (await store.transaction(async (tx) => {
        const account = await tx.accounts.lock(accountId);
        // Looked at under the lock that whoever redeems it holds: nothing is used up for a sign-in that cannot be.
        const isOpen = account !== null && (await tx.tickets.find('pre-auth', ticketHash, PRE_AUTH_TRIES + 1, at)) !== null;
        if (!isOpen) return refuse('invalid-token');
        if (account.status === 'suspended') {
          const about = { accountId, details: { reason: 'account-suspended' } };
          await tx.audit.record(auditEvent(secrets, 'LOGIN_REFUSED', client, at, about));
          return refuse('account-suspended');
        }
        const factor = await claim(tx);
        if (factor === null) return null;
        await tx.tickets.redeem('pre-auth', ticketHash, at);
        await tx.accounts.clearFailures([throttle.keyOf(accountId).identifierHash]);
        return await openSession(needs, tx, account, client, { ...context, proofs: [...context.proofs, { factor, at }] }, at);
      }));
    if (outcome === null) {
      const about = { ...failed, details: { ...failed.details, reason: isOffered ? 'wrong' : 'not-offered' } };
      await throttle.fail(tried, 'MFA_FAILED', client, at, about);
      return refuse('invalid-code');
    }
    if (isRefusal(outcome)) return outcome;
    courier.wake();
    return await grant(needs, outcome, at);
  };
}
