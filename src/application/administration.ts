import { refuseAal1 } from '#domain/assurance.ts';
import type { AuditEvent, AuditEventType, Detail } from '#domain/audit-event.ts';
import type { Client } from '#domain/client.ts';
import { type Refusal, refuse } from '#domain/problems.ts';
import { covers, type Permission, permissionsOf } from '#domain/roles.ts';
import { auditEvent } from './audit.ts';
import type { Account } from './ports/accounts.ts';
import type { Needs } from './ports/services.ts';
import type { Caller } from './ports/sessions.ts';
import type { Writes } from './ports/store.ts';

export type ActingRefusal = Refusal<
  'unauthenticated' | 'account-suspended' | 'insufficient-user-authentication' | 'forbidden' | 'not-found'
>;
/** Who changes an account and whose it is, as they are under their locks. */
export type Acting = { actor: Account; target: Account };
type Values = Readonly<Record<string, Detail>>;
/** What it was and is; of names only which of them changed, because the trail keeps nothing of a person who is erased. */
type Change = { before: Values | null; after: Values | null } | Readonly<Record<'username' | 'display_name', boolean>>;

/** The event of a change by somebody who administers: about its target, with who did it from which session. */
export function administrativeEvent(
  { secrets }: Needs<'secrets'>,
  type: AuditEventType,
  { account, session }: Caller,
  targetId: string | null,
  change: Change,
  client: Client,
  at: Date,
): AuditEvent {
  const details = { actor_id: account.id, actor_session_id: session.id, ...change };
  return auditEvent(secrets, type, client, at, { accountId: targetId, details });
}

/** Notes that a signed-in user asked for what is not theirs to do. @returns the refusal */
export async function deny(
  { secrets }: Needs<'secrets'>,
  tx: Pick<Writes, 'audit'>,
  { account, session }: Caller,
  about: { permission: Permission; reason: 'no-permission' | 'target-outranks' | 'role-not-held'; targetId?: string },
  client: Client,
  at: Date,
): Promise<Refusal<'forbidden'>> {
  const { permission, reason, targetId } = about;
  const details = { reason, permission, ...(targetId === undefined ? {} : { target_id: targetId }) };
  await tx.audit.record(auditEvent(secrets, 'ACCESS_DENIED', client, at, { accountId: account.id, sessionId: session.id, details }));
  return refuse('forbidden', { detail: DETAILS[reason] });
}

const DETAILS = {
  'no-permission': 'Your roles do not permit this.',
  'target-outranks': 'This user may do what you may not; ask somebody who may.',
  'role-not-held': 'You can neither give nor take a role that permits more than yours.',
};

/**
 * Does something that its caller needs a permission for. The caller's account and session are locked and looked at again: what
 * decided when the request came in may have changed while it waited.
 */
export async function act<T>(
  needs: Needs<'store' | 'secrets'>,
  caller: Caller,
  permission: Permission,
  client: Client,
  at: Date,
  change: (tx: Writes) => Promise<T>,
): Promise<T | ActingRefusal> {
  return await needs.store.transaction(async (tx) => {
    const [actor] = await tx.accounts.lockAll([caller.account.id]);
    return (await refuseActor(needs, tx, caller, actor, { permission }, client, at)) ?? (await change(tx));
  });
}

/**
 * Likewise, upon an account. Such changes happen one after the other, and both accounts are locked, so that of two who act on each
 * other one is too late. Nobody acts upon who may do more than themselves (ASVS 8.2.1).
 * @param takesName a user name in canonical form that the change gives: its queue comes before any account's lock
 */
export async function actUpon<T>(
  needs: Needs<'store' | 'secrets'>,
  caller: Caller,
  targetId: string,
  permission: Permission,
  client: Client,
  at: Date,
  change: (tx: Writes, acting: Acting) => Promise<T>,
  { takesName = null }: { takesName?: string | null } = {},
): Promise<T | ActingRefusal> {
  return await needs.store.transaction(async (tx) => {
    await tx.accounts.queueAdministration();
    if (takesName !== null) await tx.accounts.queueForName(takesName);
    const locked = await tx.accounts.lockAll([caller.account.id, targetId]);
    const actor = locked.find(({ id }) => id === caller.account.id);
    const about = { permission, targetId };
    const refusal = await refuseActor(needs, tx, caller, actor, about, client, at);
    if (refusal || !actor) return refusal ?? refuse('unauthenticated');
    const target = locked.find(({ id }) => id === targetId);
    if (!target) return refuse('not-found');
    if (!covers(actor.roles, target.roles)) return await deny(needs, tx, caller, { ...about, reason: 'target-outranks' }, client, at);
    return await change(tx, { actor, target });
  });
}

async function refuseActor(
  needs: Needs<'secrets'>,
  tx: Writes,
  caller: Caller,
  actor: Account | undefined,
  about: { permission: Permission; targetId?: string },
  client: Client,
  at: Date,
): Promise<ActingRefusal | null> {
  const session = actor && (await tx.sessions.lockWithProofs(caller.session, at));
  if (!session) return refuse('unauthenticated');
  if (actor.status === 'suspended') return refuse('account-suspended');
  if (session.acr !== 'aal2') return refuseAal1('A second factor is needed here.');
  if (permissionsOf(actor.roles).includes(about.permission)) return null;
  return await deny(needs, tx, caller, { ...about, reason: 'no-permission' }, client, at);
}

/** Without an active admin nobody could make another. @returns a refusal when this account is the last; null otherwise */
export async function lastAdmin(tx: Writes, target: Account): Promise<Refusal<'conflict'> | null> {
  if (target.status !== 'active' || !target.roles.includes('admin') || (await tx.accounts.hasOtherAdmin(target.id))) return null;
  return refuse('conflict', { detail: 'This is the last active admin: make another one first.' });
}
