import type { Client } from '#domain/client.ts';
import { parseEmail } from '#domain/email.ts';
import { type Refusal, refuse } from '#domain/problems.ts';
import type { Role } from '#domain/roles.ts';
import { auditEvent } from './audit.ts';
import { weakPassword } from './choose-password.ts';
import type { Needs } from './ports/services.ts';

export type NewUser = { email: string; roles: readonly Role[]; isVerified: boolean; password: string | null };

export function createUser(needs: Needs<'store' | 'passwords' | 'commonPasswords' | 'secrets' | 'clock' | 'policy'>) {
  const { store, passwords, secrets, clock } = needs;

  /**
   * Makes an account by decision of the operator, who vouches for the address if it is to count as verified. Without a password its
   * owner sets one by mail. Mails nobody. @returns its id
   */
  return async (
    { email: typed, roles, isVerified, password }: NewUser,
    client: Client,
  ): Promise<{ id: string } | Refusal<'invalid-request' | 'password-policy' | 'conflict'>> => {
    const at = clock.now();
    const email = parseEmail(typed);
    if (email === undefined) return refuse('invalid-request', { detail: 'It is not an e-mail address.' });
    const chooser = { email: email.canonical, username: null, displayName: null };
    const weak = password === null ? null : weakPassword(needs, password, chooser, '/password');
    if (weak) return weak;
    const passwordHash = password === null ? null : await passwords.hash(password);
    const id = secrets.id();
    const wanted = [...new Set(roles)].sort();
    const account = { id, email, emailVerifiedAt: isVerified ? at : null, username: null, passwordHash, roles: wanted };
    return await store.transaction(async (tx) => {
      if (!(await tx.accounts.create(account, at))) return refuse('conflict', { detail: 'The address has an account already.' });
      const details = { before: null, after: { roles: wanted, verified: isVerified } };
      await tx.audit.record(auditEvent(secrets, 'USER_MADE', client, at, { accountId: id, details }));
      return { id };
    });
  };
}
