import type { Client } from '#domain/client.ts';
import { isRefusal, type Refusal, refuse } from '#domain/problems.ts';
import { isSameClient, PRE_AUTH_TRIES, type PreAuth } from '#domain/tickets.ts';
import { auditEvent } from './audit.ts';
import { sightingOf } from './devices.ts';
import { linkIdentity, OTHER_IDENTITY } from './federated-accounts.ts';
import type { Needs } from './ports/services.ts';
import type { Reads } from './ports/store.ts';
import { type GivenFactor, type ProofNeeds, proveSecondFactor } from './prove-second-factor.ts';
import { blockIfRisky, riskOfSignIn, weighed } from './respond-to-risk.ts';
import { secondFactorThrottle } from './second-factor-throttle.ts';
import { grant, openSession, type SignedIn, type SignInJudged } from './start-session.ts';

export type MfaRefusal = Refusal<'invalid-token' | 'invalid-code' | 'account-locked' | 'account-suspended' | 'forbidden'>;

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
    const tried = await throttle.begin(accountId, given.method, at);
    const about = (reason: string) => ({ accountId, details: { method: given.method, tries: ticket.tries, reason } });
    if (isRefusal(tried)) {
      // Not weighed: what is not judged any more shall cost little.
      await store.transaction((tx) => tx.audit.record(auditEvent(secrets, 'MFA_FAILED', client, at, about('locked'))));
      return tried;
    }
    const judge = async (records: Reads): Promise<SignInJudged> => {
      const known = await records.signIns.signals(accountId, sightingOf(needs, client), at);
      const before = { failuresBefore: tried.failuresBefore, before: context.rules ?? [] };
      return { device: known.device, risk: riskOfSignIn(known, client, before) };
    };

    const isOffered = context.methods.includes(given.method);
    const outcome = await throttle.judged(accountId, tried, async () => {
      const claim = isOffered ? await prove(accountId, given, { preAuthId: ticket.id }, client, at) : null;
      return (
        claim &&
        (await store.transaction(async (tx) => {
          const account = await tx.accounts.lock(accountId);
          // Looked at under the lock that whoever redeems it holds: nothing is used up for a sign-in that cannot be.
          const isOpen = account !== null && (await tx.tickets.find('pre-auth', ticketHash, PRE_AUTH_TRIES + 1, at)) !== null;
          if (!isOpen) return refuse('invalid-token');
          if (account.status === 'suspended') {
            const why = { accountId, details: { reason: 'account-suspended' } };
            await tx.audit.record(auditEvent(secrets, 'LOGIN_REFUSED', client, at, why));
            return refuse('account-suspended');
          }
          const factor = await claim(tx);
          if (factor === null) return null;
          await tx.tickets.redeem('pre-auth', ticketHash, at);
          await tx.accounts.clearFailures([throttle.keyOf(accountId).identifierHash]);
          if (context.federated && !(await linkIdentity(needs, tx, account, context.federated, 'found', client, at))) {
            const about = { accountId, details: { reason: 'other-identity' } };
            await tx.audit.record(auditEvent(secrets, 'LOGIN_REFUSED', client, at, about));
            return OTHER_IDENTITY;
          }
          const begun = { ...context, proofs: [...context.proofs, { factor, at }] };
          return await openSession(needs, tx, account, client, begun, await judge(tx), at);
        }))
      );
    });
    if (outcome === null) {
      const event = auditEvent(secrets, 'MFA_FAILED', client, at, about(isOffered ? 'wrong' : 'not-offered'));
      const failed = weighed(event, (await store.read(judge)).risk);
      await throttle.fail(tried, failed);
      await blockIfRisky(needs, failed, client, at);
      return refuse('invalid-code');
    }
    if (isRefusal(outcome)) return outcome;
    courier.wake();
    return await grant(needs, outcome, at);
  };
}
