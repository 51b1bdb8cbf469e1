import type { Client } from '#domain/client.ts';
import { type Refusal, refuse } from '#domain/problems.ts';
import { auditEvent } from './audit.ts';
import { type FederatedRefusal, type FederationNeeds, federatedSignIn } from './federated-sign-in.ts';
import type { MfaRequired } from './mfa-required.ts';
import type { FederatedIdentity } from './ports/federated-identity.ts';
import type { Begun, SignedIn } from './start-session.ts';

export type ExchangeInput = Omit<Begun, 'proofs'> & { token: string };

export function exchangeToken(needs: FederationNeeds, federation: FederatedIdentity) {
  const { store, secrets, clock } = needs;
  const finish = federatedSignIn(needs);

  /**
   * Trades a token of another provider for a session of ours. It proves that its user signed in there at its `auth_time`, which
   * becomes that of the session, and not by what: `amr` stays empty until a factor is proved here. A kind of token that carries no
   * address is enough for whoever is linked; for others the provider is asked.
   */
  return async (
    { token, transport, device }: ExchangeInput,
    client: Client,
  ): Promise<SignedIn | MfaRequired | FederatedRefusal | Refusal<'invalid-token'>> => {
    const at = clock.now();
    const refuseBecause = async (reason: string, detail: string) => {
      const details = { provider: federation.name, reason };
      await store.transaction((tx) => tx.audit.record(auditEvent(secrets, 'TOKEN_EXCHANGE_REFUSED', client, at, { details })));
      return refuse('invalid-token', { detail });
    };
    const verified = await federation.verify(token);
    if (verified === null)
      return await refuseBecause('not-valid', 'The token is none that this provider gave to this service, or it is over.');
    let { identity } = verified;
    if (identity.verifiedEmail === null && verified.askEmail !== null && !(await isLinked(identity))) {
      const asked = await verified.askEmail();
      if (asked === null) return await refuseBecause('no-address', 'The provider does not tell whose this token is: send the ID token.');
      identity = { ...identity, verifiedEmail: asked.verifiedEmail };
    }
    const { authenticatedAt } = identity;
    const proofs = [{ factor: 'federated' as const, at: authenticatedAt < at ? authenticatedAt : at }];
    return await finish(
      { identity, begun: { transport, device, proofs }, method: 'token', password: null, heldBack: null, authenticatedAt },
      { tried: null, rules: [], knowsPassword: false },
      client,
      at,
    );
  };

  async function isLinked({ issuer, subject }: { issuer: string; subject: string }): Promise<boolean> {
    return await store.read((records) => records.identities.isLinked(issuer, subject));
  }
}
