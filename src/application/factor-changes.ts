import { type Factor, hasSecondFactor, refuseWithoutStepUp, type SecondFactor, usableFactors } from '#domain/assurance.ts';
import type { AuditEvent } from '#domain/audit-event.ts';
import type { Client } from '#domain/client.ts';
import { type Refusal, refuse } from '#domain/problems.ts';
import { auditEvent } from './audit.ts';
import { mails } from './mails.ts';
import type { Account } from './ports/accounts.ts';
import type { Needs } from './ports/services.ts';
import type { Caller, SessionWithProofs } from './ports/sessions.ts';
import type { Writes } from './ports/store.ts';
import { lowerSession } from './raise-session.ts';

export type ChangeRefusal = Refusal<'unauthenticated' | 'account-suspended' | 'insufficient-user-authentication'>;
type Method = Exclude<SecondFactor, 'recovery_code'>;
/** What a change is decided by, as it is under its locks. */
export type Held = { account: Account; session: SessionWithProofs; enrolled: SecondFactor[] };
type Change = { accountId: string; sessionId: string; details: AuditEvent['details'] & { method: Method } };

/** What a session held by an authenticator that goes. */
const PROVED_BY: Record<Method, Factor[]> = { totp: ['totp'], sms: ['sms'], webauthn: ['passkey', 'verified-passkey'] };

/**
 * Changes authenticators under the account's lock. Session, status and step-up are looked at once more there, before anything is
 * written: a reset, a logout or an enrolment that came in between decides.
 * @param isAdministration whether it may take the last admin away: such changes wait for each other
 * @param asks `step-up` for what begins or weakens, `strength` for what ends an enrolment that began with step-up
 */
export async function changeFactors<T>(
  { store, policy }: Needs<'store' | 'policy'>,
  { account, session: asking }: Caller,
  asks: 'step-up' | 'strength',
  at: Date,
  change: (tx: Writes, held: Held) => Promise<T>,
  { isAdministration = false } = {},
): Promise<T | ChangeRefusal> {
  return await store.transaction(async (tx) => {
    if (isAdministration) await tx.accounts.queueAdministration();
    const current = await tx.accounts.lock(account.id);
    const session = current && (await tx.sessions.lockWithProofs(asking, at));
    if (!session) return refuse('unauthenticated');
    if (current.status === 'suspended') return refuse('account-suspended');
    const enrolled = await tx.authenticators.secondFactors(account.id);
    const maxAgeSeconds = asks === 'step-up' ? policy.secondFactors.stepUpMaxAgeSeconds : null;
    return refuseWithoutStepUp(session, enrolled, maxAgeSeconds, at) ?? (await change(tx, { account: current, session, enrolled }));
  });
}

/** Every enrolment is audited, and its owner is told (ASVS 6.3.7); sign-ins that wait for a second factor begin again. */
export async function factorEnrolled(
  needs: Needs<'secrets' | 'courier' | 'policy'>,
  tx: Writes,
  change: Change,
  client: Client,
  at: Date,
): Promise<void> {
  await tx.audit.record(auditEvent(needs.secrets, 'FACTOR_ENROLLED', client, at, change));
  await tx.tickets.cancelAll(change.accountId, 'pre-auth', at);
  await tx.outbox.enqueue(change.accountId, mails(needs).factorEnrolled(change.details.method, at), at);
}

/**
 * Likewise for one that was removed or replaced. What sessions held by it is gone: the others end (ASVS 7.4.3), this one is worth
 * what is left. Recovery codes go with the last factor that they stand in for.
 */
export async function factorRemoved(
  needs: Needs<'secrets' | 'courier' | 'policy'>,
  tx: Writes,
  change: Change,
  session: SessionWithProofs,
  client: Client,
  at: Date,
): Promise<SessionWithProofs> {
  const { accountId, details } = change;
  const left = await tx.authenticators.secondFactors(accountId);
  if (!hasSecondFactor(left)) await tx.authenticators.replaceRecoveryCodes(accountId, [], at);
  const ended = await tx.sessions.endAll(accountId, 'factor-changed', at, session.id);
  await tx.audit.record(auditEvent(needs.secrets, 'FACTOR_REMOVED', client, at, { ...change, details: { ...details, ended } }));
  for (const purpose of ['pre-auth', 'sms-code'] as const) await tx.tickets.cancelAll(accountId, purpose, at);
  await tx.outbox.enqueue(accountId, mails(needs).factorRemoved(details.method, at), at);
  return left.includes(details.method) ? session : await lowerSession(tx, session, PROVED_BY[details.method]);
}

/** Whether what would be left is too little for the policy. A phone counts only where SMS is allowed. */
export function lastFactor({ policy }: Needs<'policy'>, left: readonly SecondFactor[]): Refusal<'conflict'> | null {
  const { isRequired, allowsSms } = policy.secondFactors;
  const isEnough = !hasSecondFactor(left) ? !isRequired : hasSecondFactor(usableFactors(left, allowsSms));
  if (isEnough) return null;
  return refuse('conflict', { detail: 'Enrol another second factor before you remove the last one that works.' });
}
