import type { Client } from '#domain/client.ts';
import { type CountedSignIn, recordRefused } from './counted-sign-in.ts';
import { type FederatedRefusal, type FederationNeeds, federatedSignIn } from './federated-sign-in.ts';
import type { LoginInput } from './login.ts';
import type { MfaRequired } from './mfa-required.ts';
import { judged } from './password-tries.ts';
import type { FederatedIdentity } from './ports/federated-identity.ts';
import type { Writes } from './ports/store.ts';
import { unanswerable, waitForProvider } from './provider-challenge.ts';
import type { SignedIn } from './start-session.ts';

/** Why it is wrong, for the audit trail; the client hears the same of all. */
type Wrong = { wrong: string };

/**
 * The password of a sign-in, judged by another provider, behind the counts of our own. What the provider cannot judge now is taken back:
 * its throttling, or its death, is nobody's wrong password.
 */
export function providerSignIn(needs: FederationNeeds, federation: FederatedIdentity) {
  const { store } = needs;
  const finish = federatedSignIn(needs);

  async function ask(
    input: LoginInput,
    counted: CountedSignIn,
    client: Client,
  ): Promise<SignedIn | MfaRequired | FederatedRefusal | Wrong> {
    const { tried, at } = counted;
    const { transport, device, password } = input;
    const answer = await judged(needs, tried, () => federation.signIn(input.identifier, password));
    const proofs = [{ factor: 'password' as const, at }];
    switch (answer.kind) {
      case 'wrong':
        return { wrong: answer.reason };
      case 'unsupported': {
        const { refusal, reason } = unanswerable(federation.name, answer);
        await recordRefused(needs, counted, { accountId: null, reason }, client);
        return refusal;
      }
      case 'challenge': {
        const { ticket, waiting, event } = waitForProvider(
          needs,
          answer.challenge,
          { transport, device, proofs },
          counted.risk,
          client,
          at,
        );
        const wait = async (tx: Writes) => {
          await tx.throttles.takeBack(tried);
          await tx.tickets.issue(ticket, at);
          await tx.audit.record(event);
        };
        await judged(needs, tried, () => store.transaction(wait));
        return waiting;
      }
      case 'proven':
        return await finish(
          { identity: answer.identity, begun: { transport, device, proofs }, method: 'pwd', password, heldBack: null, authenticatedAt: at },
          { tried, rules: counted.risk.rules, knowsPassword: counted.account?.passwordHash != null },
          client,
          at,
        );
    }
  }

  /** Takes as long as asking would, and knows nothing: for what is wrong anyway. */
  async function pretend({ identifier }: Pick<LoginInput, 'identifier'>, { tried }: CountedSignIn): Promise<Wrong> {
    await federation.decoy(identifier);
    return { wrong: tried.isWithheld ? 'withheld' : 'honeypot' };
  }

  return {
    ask,
    pretend,

    /**
     * For a sign-in whose password is not right here: asks for whoever has no password here yet, and for accounts whose address
     * nobody has verified, or a stranger's registration would keep its owner out. Anybody else has a password here, and no other
     * counts; the provider is asked for nothing then, so that what has moved looks like what has not. Nor is it asked once the password was
     * taken away here: there it may still be the one that a thief knows.
     * @returns null: it is wrong
     */
    async unlessHere(input: LoginInput, counted: CountedSignIn, client: Client): Promise<SignedIn | MfaRequired | FederatedRefusal | null> {
      const { account, isJudged } = counted;
      const isWaiting =
        account === null || account.emailVerifiedAt === null || (account.passwordHash === null && !account.isPasswordWithdrawn);
      if (isJudged && isWaiting) {
        const outcome = await ask(input, counted, client);
        return 'wrong' in outcome ? null : outcome;
      }
      try {
        await pretend(input, counted);
      } catch (error) {
        await counted.fail('wrong-password'); // it was judged, here: an outage there is no time to guess in
        throw error;
      }
      return null;
    },
  };
}
