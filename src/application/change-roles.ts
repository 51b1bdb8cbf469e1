import type { Client } from '#domain/client.ts';
import { isRefusal, type Refusal } from '#domain/problems.ts';
import { covers, type Role } from '#domain/roles.ts';
import { type ActingRefusal, actUpon, administrativeEvent, deny, lastAdmin } from './administration.ts';
import { endAccess } from './end-access.ts';
import { mails } from './mails.ts';
import type { Account } from './ports/accounts.ts';
import type { Needs } from './ports/services.ts';
import type { Caller } from './ports/sessions.ts';

export function changeRoles(needs: Needs<'store' | 'secrets' | 'courier' | 'clock' | 'policy'>) {
  const { courier, clock } = needs;
  const mail = mails(needs);

  /**
   * Sets the roles of a user. Nobody gives or takes a role that permits more than their own. A role that is taken ends the
   * user's sessions, so that no token with it is accepted here any more; a new one holds at once, and other services see it in the
   * next access token. The same roles again change nothing.
   */
  return async (
    caller: Caller,
    targetId: string,
    roles: readonly Role[],
    client: Client,
  ): Promise<Account | ActingRefusal | Refusal<'conflict'>> => {
    const at = clock.now();
    const wanted = [...new Set(roles)].sort();
    const outcome = await actUpon(needs, caller, targetId, 'roles:write', client, at, async (tx, { actor, target }) => {
      const taken = target.roles.filter((role) => !wanted.includes(role));
      const given = wanted.filter((role) => !target.roles.includes(role));
      if (taken.length + given.length === 0) return target;
      if (!covers(actor.roles, [...taken, ...given])) {
        return await deny(needs, tx, caller, { permission: 'roles:write', reason: 'role-not-held', targetId }, client, at);
      }
      const last = taken.includes('admin') ? await lastAdmin(tx, target) : null;
      if (last) return last;
      const changed = await tx.accounts.change(targetId, { roles: wanted }, at);
      if (changed === null || changed === 'username-taken') throw new Error('an account that is locked was not there to be changed');
      const sessions = taken.length > 0 ? await endAccess(tx, targetId, 'role-removed', at) : 0;
      const change = { before: { roles: target.roles }, after: { roles: wanted, sessions_ended: sessions } };
      await tx.audit.record(administrativeEvent(needs, 'USER_ROLES_CHANGED', caller, targetId, change, client, at));
      await tx.outbox.enqueue(targetId, mail.rolesChanged(wanted, at), at);
      return changed;
    });
    if (!isRefusal(outcome)) courier.wake();
    return outcome;
  };
}
