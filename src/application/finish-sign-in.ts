import type { Client } from '#domain/client.ts';
import { type Refusal, refuse } from '#domain/problems.ts';
import { answerChallenge, type ChallengeRefusal, type GivenAnswer } from './answer-challenge.ts';
import type { FederationNeeds } from './federated-sign-in.ts';
import type { MfaRequired } from './mfa-required.ts';
import type { Needs } from './ports/services.ts';
import type { ProofNeeds } from './prove-second-factor.ts';
import type { SignedIn } from './start-session.ts';
import { type MfaRefusal, verifyMfa } from './verify-mfa.ts';

/** The second half of a sign-in, whoever asks for it: this service, or the provider that judged the password. */
export function finishSignIn(needs: ProofNeeds & FederationNeeds & Needs<'commonPasswords'>) {
  const here = verifyMfa(needs);
  const there = needs.federation && answerChallenge(needs, needs.federation);
  const unknown: Refusal<'invalid-token'> = refuse('invalid-token');

  return async (
    preAuthToken: string,
    given: GivenAnswer,
    client: Client,
  ): Promise<SignedIn | MfaRequired | MfaRefusal | ChallengeRefusal> => {
    const outcome = given.method === 'new_password' ? unknown : await here(preAuthToken, given, client);
    const isUnknown = 'refused' in outcome && outcome.refused === 'invalid-token';
    return there && isUnknown ? await there(preAuthToken, given, client) : outcome;
  };
}
