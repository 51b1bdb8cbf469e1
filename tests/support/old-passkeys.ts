import { randomBytes } from 'node:crypto';
import { simpleWebAuthn } from '#infrastructure/webauthn/passkeys.ts';
import { type Authenticator, authenticatorOf } from './second-factors.ts';
import type { TestService } from './service.ts';

export type OldPasskey = {
  authenticator: Authenticator;
  credentialId: Buffer;
  publicKey: Buffer;
  signCount: number;
  userHandle: Buffer;
  /** What an import needs of it. */
  fields: { credential_id: string; public_key: string; sign_count: number; user_handle: string };
};

/** A passkey that another system enrolled on the same domain, which called its user by `userHandle`. */
export async function oldPasskey(
  service: TestService,
  userHandle: Buffer = randomBytes(64),
  how: Parameters<Authenticator['create']>[1] = {},
): Promise<OldPasskey> {
  const { WEBAUTHN_RP_ID: rpId, WEBAUTHN_RP_NAME: rpName, WEBAUTHN_ORIGINS: origins } = service.config;
  const authenticator = authenticatorOf(service);
  const challenge = randomBytes(32).toString('base64url');
  const answer = authenticator.create({ challenge, rp: { id: rpId }, user: { id: userHandle.toString('base64url') } }, how);
  const made = await simpleWebAuthn({ rpId, rpName, origins }).verifyRegistration(answer, challenge);
  if (made === null) throw new Error('the old system refused its own passkey');
  const { credentialId, publicKey, signCount } = made;
  const fields = {
    credential_id: credentialId.toString('base64url'),
    public_key: publicKey.toString('base64url'),
    sign_count: signCount,
    user_handle: userHandle.toString('base64url'),
  };
  return { authenticator, credentialId, publicKey, signCount, userHandle, fields };
}
