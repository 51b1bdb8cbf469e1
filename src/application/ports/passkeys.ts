/** What identifies a passkey to a client. */
export type PasskeyDescriptor = { credentialId: Buffer; transports: string[] };

/** What a registration ceremony yields, to be stored: `publicKey` in COSE form. */
export type NewCredential = PasskeyDescriptor & {
  publicKey: Buffer;
  signCount: number;
  /** The make of the authenticator, all zeros when it does not tell. */
  aaguid: string;
  isUserVerified: boolean;
  /** Whether it can be synced to other devices, and whether it is (WebAuthn L3 6.1.3). */
  isBackupEligible: boolean;
  isBackedUp: boolean;
};

/** What an authenticator says of itself each time. */
export type PasskeyUse = { signCount: number; isBackupEligible: boolean; isBackedUp: boolean };

export type VerifiedAssertion = PasskeyUse & { isUserVerified: boolean };

/** The ceremonies of WebAuthn Level 3. Challenges are single-use tickets of the caller's, 256 bits in base64url. */
export interface Passkeys {
  /** PublicKeyCredentialCreationOptionsJSON: a discoverable credential, user verification preferred, no attestation. */
  creationOptions(input: {
    account: { id: string; email: string; displayName: string | null };
    challenge: string;
    /** Those that the account has: an authenticator is not registered twice. */
    exclude: readonly PasskeyDescriptor[];
  }): Promise<Record<string, unknown>>;
  /** PublicKeyCredentialRequestOptionsJSON. @param allow empty: any discoverable passkey of this relying party */
  requestOptions(input: { challenge: string; allow: readonly PasskeyDescriptor[] }): Promise<Record<string, unknown>>;
  /**
   * What a response says of itself before anything is checked: which challenge it answers (to find its ticket), which
   * credential made it, whose it claims to be. @returns null when it is no WebAuthn response at all
   */
  read(credential: unknown): { challenge: string; credentialId: Buffer; userHandle: Buffer | null } | null;
  /** WebAuthn L3 7.1, every step. @returns null when any of it does not hold */
  verifyRegistration(credential: unknown, challenge: string): Promise<NewCredential | null>;
  /**
   * WebAuthn L3 7.2, every step but the counter, which the flow judges. Whether a passkey can be synced never changes; of one that
   * came from elsewhere its first use may have to tell. @returns null when any of it does not hold
   */
  verifyAuthentication(
    credential: unknown,
    challenge: string,
    passkey: { credentialId: Buffer; publicKey: Buffer; isBackupEligible: boolean | null },
  ): Promise<VerifiedAssertion | null>;
}
