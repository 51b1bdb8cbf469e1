import { type Refusal, refuse } from './problems.ts';

/**
 * What a user has just proved control of. A passkey that verified its user stands for two factors (63B-4 B.3). `federated`: another
 * provider vouches for the user, and does not say by what. `email`: a code by mail that another provider asked for, which is no second
 * factor (63B-4 3.1.3.1, ASVS 6.3.6) and kept only to know that it asked.
 */
export type Factor = 'password' | 'federated' | 'totp' | 'sms' | 'email' | 'recovery_code' | 'passkey' | 'verified-passkey';

export type Proof = { factor: Factor; at: Date };

/** Authentication method references of RFC 8176 that a session can hold. */
export type Amr = 'pwd' | 'otp' | 'sms' | 'pop' | 'mfa';

/** Authenticator assurance level, as `acr` in tokens (NIST SP 800-63B-4 section 2). */
export type Acr = 'aal1' | 'aal2';

/** What can stand beside a password, as `methods` in the wire form. */
export type SecondFactor = 'webauthn' | 'totp' | 'sms' | 'recovery_code';

const AMR: Record<Factor, Amr | null> = {
  password: 'pwd',
  federated: null,
  totp: 'otp',
  recovery_code: 'otp',
  sms: 'sms',
  email: null,
  passkey: 'pop',
  'verified-passkey': 'pop',
};

/** Phishing-resistant first, what is only for emergencies last. */
const STRONGEST_FIRST: readonly SecondFactor[] = ['webauthn', 'totp', 'sms', 'recovery_code'];

/** What stands beside a password, or in its place beside another provider's word. */
const HELD: readonly Factor[] = ['totp', 'sms', 'recovery_code', 'passkey'];

/**
 * AAL2 asks for two different factors: something known beside something held, or a passkey that verified its user. Another provider's
 * word counts as the first factor and never as the second.
 */
export function acrOf(proofs: readonly Proof[]): Acr {
  const factors = new Set(proofs.map(({ factor }) => factor));
  if (factors.has('verified-passkey')) return 'aal2';
  return (factors.has('password') || factors.has('federated')) && HELD.some((held) => factors.has(held)) ? 'aal2' : 'aal1';
}

export function amrOf(proofs: readonly Proof[]): Amr[] {
  const words = new Set(proofs.flatMap(({ factor }) => AMR[factor] ?? []));
  return acrOf(proofs) === 'aal2' ? [...words, 'mfa'] : [...words];
}

/** The proofs of a session after one more: of each factor the last one counts. */
export function withProof(proofs: readonly Proof[], proof: Proof): Proof[] {
  return [...proofs.filter(({ factor }) => factor !== proof.factor), proof];
}

/** The proofs of a session when authenticators of these kinds are gone. */
export function withoutFactors(proofs: readonly Proof[], factors: readonly Factor[]): Proof[] {
  return proofs.filter(({ factor }) => !factors.includes(factor));
}

/**
 * The second factors that a sign-in may use, strongest first. Recovery codes stand in for another factor: alone they are none.
 * @param allowsSms false in the strict profile (ASVS 6.6.1, L3): a phone then still asks for a second factor, but is none
 */
export function usableFactors(enrolled: readonly SecondFactor[], allowsSms: boolean): SecondFactor[] {
  if (!hasSecondFactor(enrolled)) return [];
  return STRONGEST_FIRST.filter((factor) => enrolled.includes(factor) && (allowsSms || factor !== 'sms'));
}

/** Whether a password alone is too little for this account. */
export function hasSecondFactor(enrolled: readonly SecondFactor[]): boolean {
  return enrolled.some((factor) => factor !== 'recovery_code');
}

/**
 * What a session lacks for a sensitive request (RFC 9470, ASVS 7.5.1): a recent authentication, and the strength of two factors
 * where the account holds two, so that nobody weakens it with a session that never had both.
 * @param maxAgeSeconds null: the age does not matter @returns null when nothing is lacking
 */
export function refuseWithoutStepUp(
  session: { acr: Acr; authTime: Date },
  enrolled: readonly SecondFactor[],
  maxAgeSeconds: number | null,
  now: Date,
): Refusal<'insufficient-user-authentication'> | null {
  if (hasSecondFactor(enrolled) && session.acr === 'aal1') return refuseAal1('Prove your second factor first.');
  if (maxAgeSeconds === null || now.getTime() - session.authTime.getTime() <= maxAgeSeconds * 1000) return null;
  return refuse('insufficient-user-authentication', { detail: 'Sign in again first.', challenge: { max_age: maxAgeSeconds } });
}

export function refuseAal1(detail: string): Refusal<'insufficient-user-authentication'> {
  return refuse('insufficient-user-authentication', { detail, challenge: { acr_values: 'aal2' } });
}
