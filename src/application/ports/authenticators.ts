import type { PhoneNumber } from '#domain/phone.ts';
import type { PasskeyDescriptor } from './passkeys.ts';

export type Totp = { id: string; secret: string; sessionId: string; createdAt: Date; lastUsedAt: Date | null };

export type Phone = { number: PhoneNumber; verifiedAt: Date; lastUsedAt: Date | null };

export type Passkey = PasskeyDescriptor & {
  id: string;
  accountId: string;
  publicKey: Buffer;
  /** Of the account, as the authenticator says it: a passkey from elsewhere keeps the one that it was made with. */
  userHandle: Buffer;
  signCount: number;
  name: string;
  /** null: not known until its first use here. */
  isBackupEligible: boolean | null;
  isBackedUp: boolean;
  createdAt: Date;
  lastUsedAt: Date | null;
  flaggedAt: Date | null;
};

/** What was taken away: passkeys and recovery codes by number, without the codes that were used. */
export type RemovedAuthenticators = { totp: boolean; phone: boolean; passkeys: number; recoveryCodes: number };

/** What is enrolled, as its owner sees it. */
export type Authenticators = { totp: Totp | null; phone: Phone | null; passkeys: Passkey[]; recoveryCodesLeft: number };
