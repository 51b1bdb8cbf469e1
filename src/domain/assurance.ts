/** Authentication method references of RFC 8176 that a session can hold. */
export type Amr = 'pwd';

/** Authenticator assurance level, as `acr` in tokens (NIST SP 800-63B-4 section 2). */
export type Acr = 'aal1' | 'aal2';

/** A password alone is one factor. */
export function acrOf(_amr: readonly Amr[]): Acr {
  return 'aal1';
}
