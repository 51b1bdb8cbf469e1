import { parseEmail } from '#domain/email.ts';
import type { ThrottleKey } from '#domain/lockout.ts';
import { networkOf } from '#domain/network.ts';
import type { Needs } from './ports/services.ts';
import type { Account } from './ports/store.ts';

export type LoginIdentifier = { kind: 'email' | 'username'; canonical: string };

/** What was typed to sign in, in the one form that accounts and failure counts are kept by. */
export function loginIdentifier(typed: string): LoginIdentifier {
  if (!typed.includes('@')) return { kind: 'username', canonical: typed.toLowerCase() };
  return { kind: 'email', canonical: parseEmail(typed)?.canonical ?? typed.toLowerCase() };
}

/** Where the failures of this identifier from this network are counted; the same for names that nobody has. */
export function throttleKey(secrets: Needs<'secrets'>['secrets'], identifier: LoginIdentifier, ip: string): ThrottleKey {
  return { identifierHash: identifierHash(secrets, identifier), network: networkOf(ip) };
}

/**
 * Where wrong passwords of a signed-in caller are counted, whatever network they come from: strangers have no session, so they
 * lock nobody out, and a borrowed one cannot guess on from elsewhere.
 */
export function accountLane(secrets: Needs<'secrets'>['secrets'], accountId: string): ThrottleKey {
  return { identifierHash: secrets.identifierHash(`account:${accountId}`), network: 'any' };
}

export function identifierHash(secrets: Needs<'secrets'>['secrets'], { kind, canonical }: LoginIdentifier): Buffer {
  return secrets.identifierHash(`${kind}:${canonical}`);
}

/** Everything that this account can be signed in to by, in the form that failures are counted by. */
export function identifiersOf({ email, username }: Pick<Account, 'email' | 'username'>): LoginIdentifier[] {
  const byEmail = { kind: 'email' as const, canonical: parseEmail(email)?.canonical ?? email.toLowerCase() };
  return username === null ? [byEmail] : [byEmail, { kind: 'username' as const, canonical: username.toLowerCase() }];
}
