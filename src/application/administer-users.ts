import type { SecondFactor } from '#domain/assurance.ts';
import type { Client } from '#domain/client.ts';
import { isRefusal, type Refusal, refuse } from '#domain/problems.ts';
import { permissionsOf } from '#domain/roles.ts';
import type { Username } from '#domain/username.ts';
import { type Acting, type ActingRefusal, actUpon, administrativeEvent, deny, lastAdmin } from './administration.ts';
import { endAccess } from './end-access.ts';
import { eraseAccount } from './erase-account.ts';
import { failureLanes } from './login-identifier.ts';
import { mails } from './mails.ts';
import type { Account, AccountFilter, AdministeredStatus, FoundAccount } from './ports/accounts.ts';
import type { Needs } from './ports/services.ts';
import type { Caller } from './ports/sessions.ts';
import type { Writes } from './ports/store.ts';
import { secondFactorThrottle } from './second-factor-throttle.ts';
import { MOST_LISTED } from './sessions.ts';

export type UserChanges = { status?: AdministeredStatus; displayName?: string | null; username?: Username | null };
/** Their owners were told when it ends, and hold the only link that keeps it. */
const DELETED = 'The owner of this account deleted it. It is erased when its time is up, unless they keep it by the link in their mail.';

/** A user as support sees them. */
export type UserInDetail = { account: Account; methods: SecondFactor[]; liveSessions: number };

export function administerUsers(needs: Needs<'store' | 'secrets' | 'courier' | 'clock' | 'policy'>) {
  const { store, secrets, courier, clock } = needs;
  const mail = mails(needs);
  const throttle = secondFactorThrottle(needs);

  return {
    /** Newest first, or by what begins with the prefix. @returns one more than `limit` when there are more */
    list: (filter: AccountFilter, after: string | null, limit: number): Promise<FoundAccount[]> =>
      store.read((records) => records.accounts.search(filter, after, limit + 1)),

    find: (id: string): Promise<UserInDetail | Refusal<'not-found'>> =>
      store.read(async ({ accounts, authenticators, sessions }) => {
        const account = await accounts.findWithPassword(id);
        if (account === null) return refuse('not-found');
        const methods = await authenticators.secondFactors(id);
        return { account, methods, liveSessions: (await sessions.listLive(id, clock.now(), MOST_LISTED)).length };
      }),

    /**
     * Changes the profile, or suspends and restores. A suspended user has no session and no way to one, at once (ASVS 7.4.2), and is
     * told by mail. The address is not changed here, nor called verified: only the link in a mail shows whose it is.
     */
    async change(
      caller: Caller,
      id: string,
      changes: UserChanges,
      client: Client,
    ): Promise<Account | ActingRefusal | Refusal<'conflict' | 'username-taken'>> {
      const at = clock.now();
      const wanted = changes.username?.canonical ?? null;
      const change = async (tx: Writes, { actor, target }: Acting) => {
        const { status = target.status, displayName = target.displayName } = changes;
        const username = changes.username === undefined ? target.username : (changes.username?.given ?? null);
        // Which of the names, never to what or from what: an event outlives the account, and nobody may change it then (docs/adr/0012).
        const names = { username: username !== target.username, display_name: displayName !== target.displayName };
        const isProfile = names.username || names.display_name;
        if (isProfile && !permissionsOf(actor.roles).includes('users:write')) {
          return await deny(needs, tx, caller, { permission: 'users:write', reason: 'no-permission', targetId: id }, client, at);
        }
        const isStatus = status !== target.status;
        if (isStatus && target.status === 'deleted') return refuse('conflict', { detail: DELETED });
        const last = isStatus && status === 'suspended' ? await lastAdmin(tx, target) : null;
        if (last) return last;
        if (!isStatus && !isProfile) return target;
        const changed = await tx.accounts.change(id, changes, at);
        if (changed === 'username-taken') return refuse('username-taken');
        if (changed === null) return refuse('not-found');
        if (isProfile) await tx.audit.record(administrativeEvent(needs, 'USER_CHANGED', caller, id, names, client, at));
        if (isStatus) {
          const sessions = status === 'suspended' ? await endAccess(tx, id, 'suspended', at) : 0;
          const states = { before: { status: target.status }, after: { status, sessions_ended: sessions } };
          const type = status === 'suspended' ? 'USER_SUSPENDED' : 'USER_RESTORED';
          await tx.audit.record(administrativeEvent(needs, type, caller, id, states, client, at));
          await tx.outbox.enqueue(id, status === 'suspended' ? mail.accountSuspended(at) : mail.accountRestored(at), at);
        }
        return changed;
      };
      const outcome = await actUpon(needs, caller, id, 'users:lock', client, at, change, { takesName: wanted });
      if (!isRefusal(outcome)) courier.wake();
      return outcome;
    },

    /** Forgets the wrong passwords and second factors counted against a user, from everywhere. */
    unlock(caller: Caller, id: string, client: Client): Promise<null | ActingRefusal> {
      const at = clock.now();
      return actUpon(needs, caller, id, 'users:lock', client, at, async (tx, { target }) => {
        const lanes = [...failureLanes(secrets, target), throttle.keyOf(id).identifierHash];
        const change = { before: { lanes_with_failures: await tx.accounts.clearFailures(lanes) }, after: { lanes_with_failures: 0 } };
        await tx.audit.record(administrativeEvent(needs, 'USER_UNLOCKED', caller, id, change, client, at));
        return null;
      });
    },

    /** Ends every session of a user, and the sign-ins that wait. */
    endSessions(caller: Caller, id: string, client: Client): Promise<null | ActingRefusal> {
      const at = clock.now();
      return actUpon(needs, caller, id, 'sessions:revoke', client, at, async (tx) => {
        const change = { before: { sessions: await endAccess(tx, id, 'ended-by-admin', at) }, after: { sessions: 0 } };
        await tx.audit.record(administrativeEvent(needs, 'USER_SESSIONS_ENDED', caller, id, change, client, at));
        return null;
      });
    },

    /** Deletes a user for good. */
    delete(caller: Caller, id: string, client: Client): Promise<null | ActingRefusal | Refusal<'conflict'>> {
      const at = clock.now();
      return actUpon(needs, caller, id, 'users:write', client, at, async (tx, { target }) => {
        const last = await lastAdmin(tx, target);
        if (last) return last;
        await eraseAccount(needs, tx, target);
        const before = { status: target.status, roles: target.roles, verified: target.emailVerifiedAt !== null };
        await tx.audit.record(administrativeEvent(needs, 'USER_DELETED', caller, id, { before, after: null }, client, at));
        return null;
      });
    },
  };
}
