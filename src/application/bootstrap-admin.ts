import { localClient } from '#domain/client.ts';
import { type Email, parseEmail } from '#domain/email.ts';
import { after, BOOTSTRAP_TTL_SECONDS } from '#domain/lifetimes.ts';
import { auditEvent } from './audit.ts';
import { endAccess } from './end-access.ts';
import { mails } from './mails.ts';
import type { AccountWithPassword } from './ports/accounts.ts';
import type { Needs } from './ports/services.ts';
import type { Writes } from './ports/store.ts';

/** Nobody asked for it: the process itself did, at its start. */
const STARTING = localClient('start', { ip: '127.0.0.1' });

/**
 * `made`, `promoted`: it is the admin now; `reminded`: a new link, for the old one was over; the others: nothing was done.
 * `deleted`: by its owner, and not erased yet.
 */
export type Bootstrapped = 'made' | 'promoted' | 'reminded' | 'waiting' | 'not-needed' | 'suspended' | 'deleted';

export function bootstrapAdmin(needs: Needs<'store' | 'secrets' | 'courier' | 'clock' | 'policy'>) {
  const { store, secrets, courier, clock } = needs;
  const mail = mails(needs);

  /**
   * While no active admin exists, makes the account of this address one, without a password, and mails a link to set it (ASVS 6.3.2:
   * no default account). The operator vouches for the address, so it counts as verified: nobody's registration of it can still
   * be confirmed, and what an unverified one had set (a password above all) is gone. An account that its owner had verified keeps
   * its password. Any number of processes at once do it once; a start before the link is used sends another only after its end.
   */
  return async (address: string): Promise<Bootstrapped> => {
    const at = clock.now();
    const email = parseEmail(address);
    if (email === undefined) throw new TypeError('the address of the first admin is none');
    const outcome = await store.transaction(async (tx): Promise<Bootstrapped> => {
      await tx.accounts.queueAdministration();
      const before = await tx.accounts.lockByEmail(email.canonical);
      if (await tx.accounts.hasOtherAdmin(before?.id ?? null)) return 'not-needed';
      // Nobody can sign in to either: the role would make no admin, and it is not for a setting to take back what was decided.
      if (before !== null && before.status !== 'active') return before.status;
      if (before?.roles.includes('admin')) return await remind(tx, before, at);

      const account = before ?? (await created(tx, email, at));
      if (account.emailVerifiedAt === null) {
        await tx.accounts.reclaim(account.id, at);
        await endAccess(tx, account.id, 'role-removed', at);
        await tx.tickets.cancelAll(account.id, 'verify-email', at);
      }
      const roles = [...new Set([...account.roles, 'admin' as const])].sort();
      await tx.accounts.change(account.id, { roles }, at);
      const details = {
        before: before && { roles: before.roles, verified: before.emailVerifiedAt !== null },
        after: { roles, verified: true },
      };
      await tx.audit.record(auditEvent(secrets, 'ADMIN_BOOTSTRAPPED', STARTING, at, { accountId: account.id, details }));
      if (account.emailVerifiedAt !== null && account.passwordHash !== null) {
        await tx.outbox.enqueue(account.id, mail.rolesChanged(roles, at), at);
        return 'promoted';
      }
      await sendLink(tx, account.id, at);
      return 'made';
    });
    courier.wake();
    return outcome;
  };

  /** It is the admin already: has it been used? */
  async function remind(tx: Writes, { id, passwordHash }: AccountWithPassword, at: Date): Promise<Bootstrapped> {
    if (passwordHash !== null || (await tx.authenticators.secondFactors(id)).length > 0) return 'not-needed';
    if (await tx.tickets.hasOpen(id, 'reset-password', at)) return 'waiting';
    await sendLink(tx, id, at);
    return 'reminded';
  }

  async function sendLink(tx: Writes, accountId: string, at: Date): Promise<void> {
    const { token, hash } = secrets.ticket();
    const expiresAt = after(at, BOOTSTRAP_TTL_SECONDS);
    await tx.tickets.cancelAll(accountId, 'reset-password', at);
    await tx.tickets.issue({ id: secrets.id(), purpose: 'reset-password', accountId, secretHash: hash, context: {}, expiresAt }, at);
    await tx.audit.record(auditEvent(secrets, 'PASSWORD_RESET_REQUESTED', STARTING, at, { accountId, details: { known: true } }));
    await tx.outbox.enqueue(accountId, mail.bootstrapAdmin(token, at), at);
  }

  /** @returns the account, or the one that somebody registered in between: a registration does not wait in our queue */
  async function created(tx: Writes, email: Email, at: Date): Promise<AccountWithPassword> {
    const id = secrets.id();
    await tx.accounts.create({ id, email, emailVerifiedAt: null, username: null, passwordHash: null, roles: ['user'] }, at);
    const account = await tx.accounts.lockByEmail(email.canonical);
    if (account === null) throw new Error('an account that exists is not there');
    return account;
  }
}
