import { parseEmail } from '#domain/email.ts';
import type { ThrottleKey } from '#domain/lockout.ts';
import { networkOf } from '#domain/network.ts';
import type { Account } from './ports/accounts.ts';
import type { Needs } from './ports/services.ts';

export type LoginIdentifier = { kind: 'email' | 'username'; canonical: string };

/** What was typed to sign in, in the one form that accounts and failure counts are kept by. */
export function loginIdentifier(typed: string): LoginIdentifier {
  if (!typed.includes('@')) return { kind: 'username', canonical: typed.toLowerCase() };
  return { kind: 'email', canonical: parseEmail(typed)?.canonical ?? typed.toLowerCase() };
}

/** The same for a sign-in at another provider: an address is counted as here, a name of theirs is nobody's here. */
export function providerIdentifier(typed: string): LoginIdentifier {
  return typed.includes('@') ? loginIdentifier(typed) : { kind: 'username', canonical: `provider:${typed.toLowerCase()}` };
}

/**
 * Where the tries at this identifier from this network are counted; the same for names that nobody has, with a hash in the place of
 * the account.
 */
export function throttleKey(
  secrets: Needs<'secrets'>['secrets'],
  identifier: LoginIdentifier,
  ip: string,
): ThrottleKey & { strangerHash: Buffer } {
  const strangerHash = secrets.identifierHash(`nobody:${identifier.kind}:${identifier.canonical}`).subarray(0, 16);
  return { identifierHash: identifierHash(secrets, identifier), network: networkOf(ip), strangerHash };
}

/** Where the tries at an account's password are counted whatever name it was called by. */
export function loginLane(accountId: string): Buffer {
  return Buffer.from(accountId.replaceAll('-', ''), 'hex');
}

/** Everything that failures of an account are counted by: those of its names, of itself and of its sessions. */
export function failureLanes(secrets: Needs<'secrets'>['secrets'], account: Account): Buffer[] {
  const named = identifiersOf(account).map((identifier) => identifierHash(secrets, identifier));
  return [...named, loginLane(account.id), accountLane(secrets, account.id).identifierHash];
}

/**
 * Where wrong passwords of a signed-in caller are counted, whatever network they come from: strangers have no session, so they
 * lock nobody out, and a borrowed one cannot guess on from elsewhere.
 */
export function accountLane(secrets: Needs<'secrets'>['secrets'], accountId: string): ThrottleKey {
  return { identifierHash: secrets.identifierHash(`account:${accountId}`), network: 'any' };
}

function identifierHash(secrets: Needs<'secrets'>['secrets'], { kind, canonical }: LoginIdentifier): Buffer {
  return secrets.identifierHash(`${kind}:${canonical}`);
}

/** Everything that this account can be signed in to by, in the form that failures are counted by. */
function identifiersOf({ email, username }: Pick<Account, 'email' | 'username'>): LoginIdentifier[] {
  const byEmail = { kind: 'email' as const, canonical: parseEmail(email)?.canonical ?? email.toLowerCase() };
  return username === null ? [byEmail] : [byEmail, { kind: 'username' as const, canonical: username.toLowerCase() }];
}
