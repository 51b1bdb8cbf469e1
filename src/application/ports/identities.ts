import type { PendingLink } from '#domain/tickets.ts';

/** Users of other providers, linked to accounts. */
export interface Identities {
  /** Where it is not linked yet, whoever else signs in by it waits until the transaction ends. @returns the account that it is linked to */
  claim(identity: Pick<PendingLink, 'issuer' | 'subject'>): Promise<string | null>;
  /** @returns `taken` when the account has another user of this provider, or the user another account */
  link(accountId: string, identity: PendingLink, at: Date): Promise<'linked' | 'known' | 'taken'>;
  /** Sets the password of an account that has none. @returns whether it had none */
  drain(accountId: string, identity: PendingLink & { passwordHash: string }, at: Date): Promise<boolean>;
}
