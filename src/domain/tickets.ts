import type { Proof, SecondFactor } from './assurance.ts';
import type { Client } from './client.ts';
import type { Transport } from './lifetimes.ts';
import { networkOf } from './network.ts';
import type { RiskRule } from './risk.ts';

/** What a single-use secret is for. A ticket of one purpose is nothing to another. */
export type TicketPurpose =
  | 'verify-email'
  | 'reset-password'
  | 'report-sign-in'
  | 'change-email'
  | 'revert-email'
  | 'keep-account'
  | 'pre-auth'
  | 'provider-challenge'
  | 'sms-enrolment'
  | 'sms-code'
  | 'webauthn-registration'
  | 'webauthn-authentication';

/** A secret shown once to whom it is for, and its SHA-256, the only form that is stored (ASVS 11.5.1, 6.5.2). */
export type TicketSecret = { token: string; hash: Buffer };

/** A sign-in that waits for its second factor: what was proved, and what the session will be (PRE_AUTH, docs/adr/0010). */
export type PreAuth = {
  proofs: Proof[];
  /** What it may be finished with: what was told to the client, and nothing else. */
  methods: SecondFactor[];
  device: string | null;
  transport: Transport;
  network: string;
  userAgent: string | null;
  /** Another provider's user, whose link to the account waits for the second factor too. */
  federated?: PendingLink;
  /** The rules of risk that held at the first factor. */
  rules?: RiskRule[];
};

/** A user of another provider, to be linked to an account; with the hash of the password that was right there, if it moves here. */
export type PendingLink = { issuer: string; subject: string; passwordHash: string | null; heldBack: 'mfa' | null };

/** A sign-in at another provider that waits for what that one asks: sealed, because its state is a live credential there. */
export type ProviderChallenge = Pick<PreAuth, 'device' | 'transport' | 'network' | 'userAgent' | 'rules'> & {
  proofs: Proof[];
  sealed: string;
};

/** Whether this is the client that gave the first factor: the same program from the same network. */
export function isSameClient({ network, userAgent }: Pick<PreAuth, 'network' | 'userAgent'>, client: Client): boolean {
  return network === networkOf(client.ip) && userAgent === client.userAgent;
}

/** A WebAuthn challenge belongs to the sign-in or the session that asked for it; one of neither signs anybody in. */
export type CeremonyBinding = { preAuthId?: string; sessionId?: string };

/** How long the second half of a sign-in may take, and how often it may be tried (ASVS 6.6.3, 63B-4 3.2.2). */
export const PRE_AUTH_TTL_SECONDS = 5 * 60;
export const PRE_AUTH_TRIES = 5;

/** As long as AWS Cognito keeps a sign-in open by itself. */
export const PROVIDER_CHALLENGE_TTL_SECONDS = 3 * 60;

/** ASVS 6.5.5: an out-of-band code lives ten minutes at most. */
export const SMS_CODE_TTL_SECONDS = 5 * 60;
export const SMS_CODE_TRIES = 5;

/** What was begun and not finished is over after this. */
export const ENROLMENT_TTL_SECONDS = 10 * 60;

/** WebAuthn L3 recommends 300 to 600 seconds. */
export const CEREMONY_TTL_SECONDS = 5 * 60;
