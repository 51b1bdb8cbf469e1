import { passwordFaults } from '#domain/password-policy.ts';
import { type Refusal, refuse } from '#domain/problems.ts';
import type { Needs } from './ports/services.ts';

export type Chooser = { email: string; username: string | null; displayName: string | null };

/**
 * Whether this person may choose this password; the refusal names every reason (63B 3.1.1.2: the reason SHALL be given).
 * @param pointer the field that it came in, as a JSON Pointer
 */
export function weakPassword(
  { commonPasswords, policy }: Needs<'commonPasswords' | 'policy'>,
  password: string,
  chooser: Chooser,
  pointer: '/password' | '/new_password',
): Refusal<'password-policy'> | null {
  const words = [policy.productName, 'latchkey', chooser.email, chooser.username, chooser.displayName];
  const context = words.filter((word) => word !== null);
  const faults = passwordFaults(password, policy.passwords, (lowerCased) => commonPasswords.has(lowerCased), context);
  if (faults.length === 0) return null;
  return refuse('password-policy', { detail: faults.join(' '), errors: faults.map((detail) => ({ pointer, detail })) });
}
