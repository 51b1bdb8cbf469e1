import type { Client } from '#domain/client.ts';
import { parseEmail } from '#domain/email.ts';
import { after, daysInSeconds, VERIFY_EMAIL_TTL_SECONDS } from '#domain/lifetimes.ts';
import { isRefusal, type Refusal, refuse } from '#domain/problems.ts';
import { parseUsername } from '#domain/username.ts';
import { auditEvent } from './audit.ts';
import { weakPassword } from './choose-password.ts';
import { mails } from './mails.ts';
import { mailbox, mayMail } from './may-mail.ts';
import type { Allowance, Needs } from './ports/services.ts';

export type RegisterInput = {
  email: string;
  password: string;
  username: string | null;
  displayName: string | null;
  /** The hidden form field: a person leaves it empty. */
  honeypot: string;
};

type Registered = { status: 'verification_required' };
const REGISTERED: Registered = { status: 'verification_required' };

export function register(needs: Needs<'store' | 'passwords' | 'commonPasswords' | 'secrets' | 'courier' | 'clock' | 'policy'>) {
  const { store, passwords, secrets, courier, clock, policy } = needs;
  const mail = mails(needs);

  /**
   * Makes an account that waits for its address to be verified. Whether the address has an account already shows neither
   * in the answer nor in its time (ASVS 6.3.8): both ways hash once and write once; the owner of an existing one gets a mail.
   * @returns the same for everyone, or a refusal
   */
  return async (
    input: RegisterInput,
    client: Client,
    allowance: Allowance,
  ): Promise<Registered | Refusal<'rate-limited' | 'invalid-request' | 'password-policy' | 'username-taken' | 'conflict'>> => {
    const at = clock.now();
    const email = parseEmail(input.email);
    if (email === undefined) return invalid('/email', 'It is not an e-mail address.');
    const username = input.username === null ? null : parseUsername(input.username);
    if (username === undefined) return invalid('/username', 'It is not a user name.');

    if (input.honeypot !== '') {
      const { refusal } = await allowance.take([]);
      if (refusal) return refusal;
      await passwords.hash(input.password); // as slow as for a person: a program learns nothing from the time either
      const event = auditEvent(secrets, 'SUSPICIOUS_ACTIVITY', client, at, { details: { reason: 'honeypot', route: 'register' } });
      await store.transaction((tx) => tx.audit.record(event));
      return REGISTERED;
    }

    const chooser = { email: email.canonical, username: username?.canonical ?? null, displayName: input.displayName };
    const weak = weakPassword(needs, input.password, chooser, '/password');
    if (weak) return weak;

    if (username !== null || policy.revealRegistrationConflicts) {
      const taken = await store.read((records) => records.accounts.findTaken(email, username, at));
      if (taken.username) return refuse('username-taken');
      if (taken.email && policy.revealRegistrationConflicts) return refuse('conflict', { detail: 'The address has an account already.' });
    }

    const allowed = await mayMail(needs, allowance, email.canonical, 'mail');
    if (isRefusal(allowed)) return allowed;
    const passwordHash = await passwords.hash(input.password).catch(async (error) => {
      // Shed, not refused: whoever tries again later shall get the mail.
      if (allowed) await allowance.giveBack(mailbox(secrets, email.canonical, 'mail'));
      throw error;
    });
    const ticket = secrets.ticket();
    const outcome = await store.hot.register({
      accountId: secrets.id(),
      email,
      username,
      displayName: input.displayName,
      passwordHash,
      verifyBy: policy.unverifiedAccountDays === 0 ? null : after(at, daysInSeconds(policy.unverifiedAccountDays)),
      ticket: { id: secrets.id(), purpose: 'verify-email', secretHash: ticket.hash, expiresAt: after(at, VERIFY_EMAIL_TTL_SECONDS) },
      verifyMail: allowed ? mail.verifyEmail(ticket.token, at) : null,
      existingMail: allowed ? mail.accountExists(at) : null,
      event: auditEvent(secrets, 'ACCOUNT_REGISTERED', client, at),
      at,
    });
    courier.wake();
    if (outcome === 'username-taken') return refuse('username-taken');
    if (outcome === 'email-taken' && policy.revealRegistrationConflicts) return refuse('conflict');
    return REGISTERED;
  };
}

function invalid(pointer: string, detail: string): Refusal<'invalid-request'> {
  return refuse('invalid-request', { detail, errors: [{ pointer, detail }] });
}
