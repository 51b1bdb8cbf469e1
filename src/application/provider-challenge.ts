import type { AuditEvent } from '#domain/audit-event.ts';
import type { Client } from '#domain/client.ts';
import { after } from '#domain/lifetimes.ts';
import { networkOf } from '#domain/network.ts';
import { type Refusal, refuse } from '#domain/problems.ts';
import type { Risk } from '#domain/risk.ts';
import { PROVIDER_CHALLENGE_TTL_SECONDS, type ProviderChallenge } from '#domain/tickets.ts';
import { auditEvent } from './audit.ts';
import type { MfaRequired } from './mfa-required.ts';
import type { Challenge, ProviderAnswer } from './ports/federated-identity.ts';
import type { Needs } from './ports/services.ts';
import type { IssuedTicket } from './ports/tickets.ts';
import { weighed } from './respond-to-risk.ts';
import type { Begun } from './start-session.ts';

/** A sign-in that waits for what another provider asks. To the client it looks like any that waits for a second factor. */
export function waitForProvider(
  { secrets, secretBox }: Needs<'secrets' | 'secretBox'>,
  challenge: Challenge,
  begun: Begun,
  risk: Risk,
  client: Client,
  at: Date,
): { ticket: IssuedTicket; waiting: MfaRequired; event: AuditEvent } {
  const { token, hash } = secrets.ticket();
  const context: ProviderChallenge = {
    ...begun,
    rules: risk.rules,
    network: networkOf(client.ip),
    userAgent: client.userAgent,
    sealed: sealChallenge({ secretBox }, challenge),
  };
  const details = { method: 'pwd', provider: 'cognito', asks: challenge.asks };
  const expiresAt = after(at, PROVIDER_CHALLENGE_TTL_SECONDS);
  return {
    ticket: { id: secrets.id(), purpose: 'provider-challenge', accountId: null, secretHash: hash, context, expiresAt },
    waiting: { preAuthToken: token, expiresInSeconds: PROVIDER_CHALLENGE_TTL_SECONDS, methods: challenge.methods },
    event: weighed(auditEvent(secrets, 'MFA_REQUIRED', client, at, { details }), risk),
  };
}

export function sealChallenge({ secretBox }: Needs<'secretBox'>, challenge: Challenge): string {
  return secretBox.seal(JSON.stringify(challenge));
}

/** What a ticket of `waitForProvider` holds. @throws when no key of ours sealed it */
export function challengeOf({ secretBox }: Needs<'secretBox'>, { sealed }: ProviderChallenge): Challenge {
  return JSON.parse(secretBox.open(sealed)) as Challenge;
}

/** A sign-in that ends because nobody can answer here what the provider asks: who signs in is told who can help. */
export function unanswerable(
  provider: string,
  { asks, lacks }: Extract<ProviderAnswer, { kind: 'unsupported' }>,
): { refusal: Refusal<'forbidden'>; reason: string } {
  if (lacks.length === 0) {
    const detail = `${provider} asks for ${asks}, which cannot be answered here.`;
    return { refusal: refuse('forbidden', { detail }), reason: `provider-asks-${asks}` };
  }
  const detail =
    `${provider} requires attributes that this user has not: ${lacks.join(', ')}. They cannot be given here: ` +
    'whoever runs the user pool sets them there (admin-update-user-attributes), then sign in again.';
  return { refusal: refuse('forbidden', { detail }), reason: 'provider-asks-attributes' };
}
