import type { Client } from '#domain/client.ts';
import { type Email, parseEmail } from '#domain/email.ts';
import { type Refusal, refuse } from '#domain/problems.ts';
import type { PendingLink } from '#domain/tickets.ts';
import { parseUsername } from '#domain/username.ts';
import { auditEvent } from './audit.ts';
import { endAccess } from './end-access.ts';
import { mails } from './mails.ts';
import type { Account, AccountWithPassword } from './ports/accounts.ts';
import type { Identity } from './ports/federated-identity.ts';
import type { Needs } from './ports/services.ts';
import type { Writes } from './ports/store.ts';

/** How the account of an identity came: linked before, made now, found by its address, or taken from who never verified it. */
export type Came = 'linked' | 'made' | 'found' | 'taken';

export const OTHER_IDENTITY = refuse('forbidden', {
  detail: 'The account belongs to another user of the provider; ask who runs this service.',
});

/**
 * The account of another provider's user, locked. Known by issuer and subject alone once it is linked; before that by an address that
 * the provider itself has verified, and by nothing else (OpenID Connect Core 5.7). An account here whose address nobody has
 * verified may be anybody's registration: what was set in it, its password above all, is gone before its owner gets it. Any number of
 * first sign-ins at once make one account.
 */
export async function accountOfIdentity(
  { secrets }: Needs<'secrets'>,
  tx: Writes,
  identity: Identity,
  at: Date,
): Promise<{ account: AccountWithPassword; came: Came } | Refusal<'forbidden' | 'email-not-verified' | 'account-suspended'>> {
  const linkedId = await tx.identities.claim(identity);
  if (linkedId !== null) {
    const account = await tx.accounts.lock(linkedId);
    return account ? { account, came: 'linked' } : refuse('forbidden', { detail: 'The account of this user was deleted.' });
  }
  const email = identity.verifiedEmail === null ? undefined : parseEmail(identity.verifiedEmail);
  if (email === undefined) return refuse('email-not-verified', { detail: 'The provider has not verified an address of this user.' });
  const before = await tx.accounts.lockByEmail(email.canonical);
  const isMade = before === null && (await makeAccount(secrets.id(), tx, email, identity, at));
  const account = before ?? (await tx.accounts.lockByEmail(email.canonical));
  if (account === null) throw new Error('an account that exists is not there');
  if (isMade) return { account, came: 'made' };
  if (account.status === 'deleted') return refuse('forbidden', { detail: 'The account of this user was deleted.' });
  if (account.status === 'suspended') return refuse('account-suspended');
  if (account.emailVerifiedAt !== null) return { account, came: 'found' };

  await tx.accounts.reclaim(account.id, at);
  await endAccess(tx, account.id, 'password-reset', at);
  await tx.tickets.cancelAll(account.id, 'verify-email', at);
  const owned = await tx.accounts.lock(account.id);
  if (owned === null) throw new Error('an account that is locked is not there');
  return { account: owned, came: 'taken' };
}

/** With the provider's user name where it is one here and nobody has it. @returns false when somebody has the address by now */
async function makeAccount(id: string, tx: Writes, email: Email, { username }: Identity, at: Date): Promise<boolean> {
  const name = username === null ? null : (parseUsername(username) ?? null);
  const isFree = name !== null && !(await tx.accounts.findTaken(email, name, at)).username;
  const made = { id, email, emailVerifiedAt: at, passwordHash: null, roles: ['user' as const] };
  if (isFree && (await tx.accounts.create({ ...made, username: name }, at))) return true;
  return await tx.accounts.create({ ...made, username: null }, at);
}

/**
 * Links the user to the account, and sets the password that moves here while the account has none. The owner of an account that was
 * there before is told.
 * @returns false, with nothing done, when the account has another user of this provider
 */
export async function linkIdentity(
  needs: Needs<'secrets' | 'courier' | 'policy'>,
  tx: Writes,
  account: Account,
  { passwordHash, ...link }: PendingLink,
  came: Came,
  client: Client,
  at: Date,
): Promise<boolean> {
  const { secrets } = needs;
  const linked = await tx.identities.link(account.id, { ...link, passwordHash }, at);
  if (linked === 'taken') return false;
  if (linked === 'linked') {
    const about = { accountId: account.id, details: { issuer: link.issuer, account: came } };
    await tx.audit.record(auditEvent(secrets, 'IDENTITY_LINKED', client, at, about));
    if (came === 'found') await tx.outbox.enqueue(account.id, mails(needs).factorEnrolled('federated', at), at);
  }
  if (passwordHash !== null && (await tx.identities.drain(account.id, { ...link, passwordHash }, at))) {
    await tx.audit.record(
      auditEvent(secrets, 'PASSWORD_MIGRATED', client, at, { accountId: account.id, details: { issuer: link.issuer } }),
    );
  }
  return true;
}
