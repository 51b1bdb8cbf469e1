import { hasSecondFactor } from '#domain/assurance.ts';
import type { Client } from '#domain/client.ts';
import { type Email, parseEmail } from '#domain/email.ts';
import { after, RESET_PASSWORD_TTL_SECONDS } from '#domain/lifetimes.ts';
import type { TicketPurpose } from '#domain/tickets.ts';
import { recordDisplaced } from './erase-account.ts';
import { mails } from './mails.ts';
import type { Account } from './ports/accounts.ts';
import type { Needs } from './ports/services.ts';
import type { SessionEnd } from './ports/sessions.ts';
import type { Writes } from './ports/store.ts';
import type { TicketContext } from './ports/tickets.ts';

/** What a session, or whoever reads the mail of an account for a while, can have begun or asked for. */
const BEGUN = [
  'change-email',
  'reset-password',
  'verify-email',
  'keep-account',
  'pre-auth',
  'sms-code',
  'sms-enrolment',
  'webauthn-registration',
  'webauthn-authentication',
] as const satisfies TicketPurpose[];

/** These lead whoever read the mail of their day back in: those from before a theft are the owner's. */
const WAYS_BACK = ['revert-email', 'report-sign-in'] as const satisfies TicketPurpose[];

export type Theft = {
  /** The address that is to hold from now on; null: the present one. */
  email: Email | null;
  /** From then on ways back may have gone to the thief; the one that was used is from then or later, and dies with them. */
  since: Date;
  /** From then on what was enrolled may be the thief's. */
  enrolledSince: Date;
  reason: Extract<SessionEnd, 'reported' | 'email-reverted'>;
};

/**
 * An open ticket, and its account, locked, though it be deleted. Nothing is used up yet: where a flow finds that it cannot keep what
 * the link promises, the link stays good. Whoever else comes with it waits, and finds it used.
 */
export async function findForTakingBack<Context extends TicketContext>(
  tx: Writes,
  purpose: (typeof WAYS_BACK)[number],
  secretHash: Buffer,
  at: Date,
): Promise<{ account: Account; ticket: { context: Context; createdAt: Date } } | null> {
  const seen = await tx.tickets.find<Context>(purpose, secretHash, 1, at);
  const [account] = seen === null ? [] : await tx.accounts.lockAll([seen.accountId]);
  const ticket = account && (await tx.tickets.find<Context>(purpose, secretHash, 1, at));
  return ticket ? { account, ticket } : null;
}

/**
 * Gives an account back to whoever it was stolen from. Everything that could open it since then is gone: sessions, links, the
 * password, new authenticators, recovery codes that stand in for nothing; a deletion by the thief too. The owner chooses a password with
 * a link that goes to the address that holds from now on.
 * @returns how many sessions lived; null, with nothing done, when another account has the address now
 */
export async function takeBack(
  needs: Needs<'secrets' | 'courier' | 'policy'>,
  tx: Writes,
  account: Account,
  { email, since, enrolledSince, reason }: Theft,
  client: Client,
  at: Date,
): Promise<{ ended: number } | null> {
  const { secrets } = needs;
  const mail = mails(needs);
  const isElsewhere = email !== null && parseEmail(account.email)?.canonical !== email.canonical;
  const moved = isElsewhere ? await tx.accounts.changeEmail(account.id, email, at) : { displaced: [] };
  if (moved === null) return null;
  await recordDisplaced(needs, tx, moved.displaced, client, at);

  await tx.accounts.restore(account.id, at);
  const ended = await tx.sessions.endAll(account.id, reason, at);
  await tx.accounts.removePassword(account.id, at);
  await tx.authenticators.removeSince(account.id, enrolledSince);
  const left = await tx.authenticators.secondFactors(account.id);
  if (!hasSecondFactor(left)) await tx.authenticators.replaceRecoveryCodes(account.id, [], at);
  for (const purpose of BEGUN) await tx.tickets.cancelAll(account.id, purpose, at);
  for (const purpose of WAYS_BACK) await tx.tickets.cancelAll(account.id, purpose, at, since);

  const reset = secrets.ticket();
  const issued = { id: secrets.id(), purpose: 'reset-password' as const, accountId: account.id, secretHash: reset.hash, context: {} };
  await tx.tickets.issue({ ...issued, expiresAt: after(at, RESET_PASSWORD_TTL_SECONDS) }, at);
  const way = email === null ? mail.resetPassword(reset.token, at) : mail.emailReverted(reset.token, at);
  await tx.outbox.enqueue(account.id, way, at);
  if (isElsewhere) await tx.outbox.enqueue(account.id, mail.emailTakenBack(at), at, { recipient: account.email });
  return { ended };
}
