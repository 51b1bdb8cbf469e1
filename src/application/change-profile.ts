import type { Client } from '#domain/client.ts';
import { type Refusal, refuse } from '#domain/problems.ts';
import { parseUsername, type Username } from '#domain/username.ts';
import { auditEvent } from './audit.ts';
import { mails } from './mails.ts';
import type { Account } from './ports/accounts.ts';
import type { Needs } from './ports/services.ts';
import type { Caller } from './ports/sessions.ts';

/** What is left out stays; null takes it away. */
export type ProfileInput = { username?: string | null | undefined; displayName?: string | null | undefined };

export function changeProfile(needs: Needs<'store' | 'secrets' | 'courier' | 'clock' | 'policy'>) {
  const { store, secrets, courier, clock } = needs;
  const mail = mails(needs);

  /**
   * Changes the names of an account. The user name signs in, so its change is told by mail (ASVS 6.3.7); one that somebody holds, or
   * asked for in a registration that waits, is taken. The audit event says which of them changed, never to what.
   * @returns the account as it is now
   */
  return async (
    input: ProfileInput,
    { account, session }: Caller,
    client: Client,
  ): Promise<Account | Refusal<'invalid-request' | 'username-taken' | 'unauthenticated'>> => {
    const at = clock.now();
    const username = typeof input.username === 'string' ? parseUsername(input.username) : input.username;
    if (username === undefined && input.username !== undefined) {
      return refuse('invalid-request', { errors: [{ pointer: '/username', detail: 'It is not a user name.' }] });
    }
    const wanted: { username?: Username | null; displayName?: string | null } = {
      ...(username === undefined ? {} : { username }),
      ...(input.displayName === undefined ? {} : { displayName: input.displayName }),
    };
    if (Object.keys(wanted).length === 0) return account;

    const outcome = await store.transaction(async (tx) => {
      const changed = await tx.accounts.changeProfile(account.id, wanted, at);
      if (changed === 'username-taken') return refuse('username-taken');
      if (changed === null) return refuse('unauthenticated'); // suspended or gone since the request began
      const isUsername = changed.account.username !== changed.before.username;
      const isDisplayName = changed.account.displayName !== changed.before.displayName;
      if (isUsername || isDisplayName) {
        const details = { username: isUsername, display_name: isDisplayName };
        const about = { accountId: account.id, sessionId: session.id, details };
        await tx.audit.record(auditEvent(secrets, 'PROFILE_CHANGED', client, at, about));
      }
      if (isUsername) await tx.outbox.enqueue(account.id, mail.usernameChanged(at), at);
      return changed.account;
    });
    courier.wake();
    return outcome;
  };
}
