import { hasSecondFactor, type SecondFactor } from '#domain/assurance.ts';
import type { Client } from '#domain/client.ts';
import { type Refusal, refuse } from '#domain/problems.ts';
import { type About, auditEvent } from './audit.ts';
import { mails } from './mails.ts';
import type { Needs } from './ports/services.ts';
import type { Writes } from './ports/store.ts';

type Change = About & { accountId: string; details: { method: string } };

/** Every enrolment is audited, and its owner is told (ASVS 6.3.7); sign-ins that wait for a second factor begin again. */
export async function factorEnrolled(
  needs: Needs<'secrets' | 'courier' | 'policy'>,
  tx: Writes,
  change: Change,
  client: Client,
  at: Date,
): Promise<void> {
  const { accountId, details } = change;
  await tx.audit.record(auditEvent(needs.secrets, 'FACTOR_ENROLLED', client, at, change));
  await tx.tickets.cancelAll(accountId, 'pre-auth', at);
  await tx.outbox.enqueue(accountId, mails(needs).factorEnrolled(details.method, at), at);
}

/** Likewise for a removal; recovery codes go with the last factor that they stand in for. */
export async function factorRemoved(
  needs: Needs<'secrets' | 'courier' | 'policy'>,
  tx: Writes,
  change: Change,
  client: Client,
  at: Date,
): Promise<void> {
  const { accountId, details } = change;
  const left = await tx.authenticators.secondFactors(accountId);
  if (!hasSecondFactor(left)) await tx.authenticators.replaceRecoveryCodes(accountId, [], at);
  await tx.audit.record(auditEvent(needs.secrets, 'FACTOR_REMOVED', client, at, change));
  await tx.tickets.cancelAll(accountId, 'pre-auth', at);
  await tx.outbox.enqueue(accountId, mails(needs).factorRemoved(details.method, at), at);
}

/** Whether what would be left is too little for the policy. */
export function lastFactor(isRequired: boolean, left: readonly SecondFactor[]): Refusal<'conflict'> | null {
  if (!isRequired || hasSecondFactor(left)) return null;
  return refuse('conflict', { detail: 'A second factor is required here: enrol another one before you remove the last.' });
}
