import type { Client } from '#domain/client.ts';
import { auditEvent } from './audit.ts';
import { endAccess } from './end-access.ts';
import { mails } from './mails.ts';
import type { Needs } from './ports/services.ts';
import type { Reads } from './ports/store.ts';

/** `forced-before`: since the instant that was named; `not-there`: deleted, or never made. */
export type ForcedFate = 'forced' | 'forced-before' | 'no-password' | 'not-there';

export type ForcedReset = {
  /** Whom an earlier run reached at this instant or later is left alone, so that a run that was cut off can be repeated. */
  since: Date;
  /** When the mail goes out: an incident ends sessions at once, a mail server takes so many a minute. */
  mailAt: Date;
  /** What the events of one run have in common. */
  run: string;
};

/**
 * Takes a password away that somebody else may know, from whoever is told. Its owner chooses another by mail. Passkeys and second factors
 * stay: they do not leak with passwords.
 */
export function forcePasswordReset(needs: Needs<'store' | 'secrets' | 'courier' | 'clock' | 'policy'>) {
  const { store, secrets, clock } = needs;
  const mail = mails(needs);

  return {
    /** What `force` would do. */
    rehearse: (accountId: string, since: Date): Promise<ForcedFate> =>
      store.read(async (records) => {
        const account = await records.accounts.findWithPassword(accountId);
        if (account === null || account.status === 'deleted') return 'not-there';
        if (account.passwordHash === null) return 'no-password';
        return (await wasForced(records, accountId, since)) ? 'forced-before' : 'forced';
      }),

    /**
     * In one transaction: the password is gone, every session and sign-in under way ends, and so does what could bring the password back
     * (a registration that waits for its link) or was asked for with it (a change of address). The mail carries no token: it is read
     * hours later, and whoever can read mail can ask for a link.
     */
    force: (accountId: string, { since, mailAt, run }: ForcedReset, client: Client): Promise<ForcedFate> =>
      store.transaction(async (tx) => {
        const at = clock.now();
        const account = await tx.accounts.lock(accountId);
        if (account === null) return 'not-there';
        if (account.passwordHash === null) return 'no-password';
        if (await wasForced(tx, accountId, since)) return 'forced-before';
        await tx.accounts.removePassword(accountId, at);
        const ended = await endAccess(tx, accountId, 'password-reset-forced', at);
        for (const purpose of ['verify-email', 'change-email'] as const) await tx.tickets.cancelAll(accountId, purpose, at);
        await tx.audit.record(auditEvent(secrets, 'PASSWORD_RESET_FORCED', client, at, { accountId, details: { ended, run } }));
        const afterSeconds = Math.max(0, (mailAt.getTime() - at.getTime()) / 1000);
        if (account.status === 'active') await tx.outbox.enqueue(accountId, mail.passwordWithdrawn(mailAt), at, { afterSeconds });
        return 'forced';
      }),
  };
}

async function wasForced(records: Pick<Reads, 'audit'>, accountId: string, since: Date): Promise<boolean> {
  const [last] = await records.audit.listOfAccount(accountId, ['PASSWORD_RESET_FORCED'], 1, null);
  return last !== undefined && last.occurredAt >= since;
}
