import type { ProviderChallenge } from '#domain/tickets.ts';
import type { Challenge, ChallengeAnswer, ChallengeMethod, FederatedIdentity } from './ports/federated-identity.ts';
import type { Needs } from './ports/services.ts';
import { sealChallenge } from './provider-challenge.ts';

/**
 * Tells another provider which of its methods the user takes, and keeps what it asks then in the ticket of the sign-in: a choice is good
 * once there, so that a wrong code after it must find it made.
 */
export function chooseMethod(needs: Needs<'store' | 'secretBox' | 'clock'>, federation: FederatedIdentity) {
  return async (
    ticketHash: Buffer,
    context: ProviderChallenge,
    challenge: Challenge,
    method: ChallengeMethod,
  ): Promise<ChallengeAnswer> => {
    const answer = await federation.choose(challenge, method);
    if (answer.kind !== 'challenge') return answer;
    const chosen = { ...context, sealed: sealChallenge(needs, answer.challenge) };
    const isOpen = await needs.store.transaction((tx) => tx.tickets.rewrite('provider-challenge', ticketHash, chosen, needs.clock.now()));
    return isOpen ? answer : { kind: 'over' };
  };
}
