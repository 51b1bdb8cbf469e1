import type { SecondFactor } from '#domain/assurance.ts';
import type { Client } from '#domain/client.ts';
import { after } from '#domain/lifetimes.ts';
import { networkOf } from '#domain/network.ts';
import { refuse } from '#domain/problems.ts';
import type { RiskRule } from '#domain/risk.ts';
import { type PendingLink, PRE_AUTH_TTL_SECONDS, type PreAuth } from '#domain/tickets.ts';
import type { Needs } from './ports/services.ts';
import type { NewTicket } from './ports/tickets.ts';
import type { Begun } from './start-session.ts';

/** A sign-in that waits for its second factor. The token is opaque: no verifier can take it for an access token (docs/adr/0010). */
export type MfaRequired = { preAuthToken: string; expiresInSeconds: number; methods: (SecondFactor | 'new_password')[] };

export const NO_USABLE_FACTOR = refuse('forbidden', {
  detail: 'No second factor of this account may be used here any more; ask who runs this service.',
});

/** @returns the ticket to be stored, and what the client gets */
export function waitForSecondFactor(
  { secrets }: Needs<'secrets'>,
  given: Begun & { client: Client; methods: SecondFactor[]; rules: RiskRule[]; federated?: PendingLink },
  at: Date,
): { ticket: NewTicket & { context: PreAuth }; waiting: MfaRequired } {
  const { client, ...begun } = given;
  const { token, hash } = secrets.ticket();
  const context: PreAuth = { ...begun, network: networkOf(client.ip), userAgent: client.userAgent };
  return {
    ticket: { id: secrets.id(), purpose: 'pre-auth', secretHash: hash, context, expiresAt: after(at, PRE_AUTH_TTL_SECONDS) },
    waiting: { preAuthToken: token, expiresInSeconds: PRE_AUTH_TTL_SECONDS, methods: given.methods },
  };
}
