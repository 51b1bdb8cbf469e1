import type { AuthenticatorTransport } from '@simplewebauthn/server';
import type { PasskeyDescriptor, Passkeys } from '#application/ports/passkeys.ts';
import { userHandleOf } from '#domain/passkeys.ts';
import { isUnattested } from './attestation.ts';
import { ALGORITHMS, faultOfKey } from './cose-key.ts';
import { helpers, library } from './library.ts';
import { asAuthentication, asRegistration, bytesOf, challengeOf, isSameOrigin } from './responses.ts';

const TIMEOUT_MS = 300_000;

/** The ceremonies of WebAuthn by SimpleWebAuthn, and the few steps that it leaves out. */
export function simpleWebAuthn({ rpId, rpName, origins }: { rpId: string; rpName: string; origins: string[] }): Passkeys {
  const expected = { expectedOrigin: origins, expectedRPID: rpId, requireUserVerification: false };

  return {
    async creationOptions({ account, challenge, exclude }) {
      const { generateRegistrationOptions } = await library();
      const options = await generateRegistrationOptions({
        rpID: rpId,
        rpName,
        userID: new Uint8Array(userHandleOf(account.id)),
        userName: account.email,
        userDisplayName: account.displayName ?? '',
        challenge: new Uint8Array(bytesOf(challenge)),
        timeout: TIMEOUT_MS,
        attestationType: 'none',
        excludeCredentials: exclude.map(descriptor),
        authenticatorSelection: { residentKey: 'required', userVerification: 'preferred' },
        supportedAlgorithmIDs: ALGORITHMS, // always named: left to itself the library tries ML-DSA, at which Node prints a warning
      });
      return { ...options };
    },

    async requestOptions({ challenge, allow }) {
      const { generateAuthenticationOptions } = await library();
      const options = await generateAuthenticationOptions({
        rpID: rpId,
        challenge: new Uint8Array(bytesOf(challenge)),
        timeout: TIMEOUT_MS,
        userVerification: 'preferred',
        allowCredentials: allow.map(descriptor),
      });
      return { ...options };
    },

    read(credential) {
      const authentication = asAuthentication(credential);
      const read = authentication ?? asRegistration(credential);
      const challenge = read && challengeOf(read.response);
      if (read === null || challenge === null) return null;
      const handle = authentication?.response.userHandle;
      return { challenge, credentialId: bytesOf(read.id), userHandle: handle ? bytesOf(handle) : null };
    },

    async verifyRegistration(credential, challenge) {
      const registration = asRegistration(credential);
      if (registration === null || !isSameOrigin(registration.response)) return null;
      const { verifyRegistrationResponse } = await library();
      const tools = await helpers();
      const { transports, ...response } = registration.response;

      return await nullIfRefused(async () => {
        if (!isUnattested(bytesOf(response.attestationObject), tools)) return null;
        const { registrationInfo: found } = await verifyRegistrationResponse({
          response: { ...registration, response, clientExtensionResults: {} },
          expectedChallenge: challenge,
          supportedAlgorithmIDs: ALGORITHMS,
          ...expected,
        });
        if (found === undefined || found.credential.id !== registration.id) return null;
        if ((await faultOfKey(Buffer.from(found.credential.publicKey))) !== null) return null;
        return {
          credentialId: bytesOf(found.credential.id),
          publicKey: Buffer.from(found.credential.publicKey),
          transports,
          signCount: found.credential.counter,
          aaguid: found.aaguid,
          isUserVerified: found.userVerified,
          isBackupEligible: found.credentialDeviceType === 'multiDevice',
          isBackedUp: found.credentialBackedUp,
        };
      });
    },

    async verifyAuthentication(credential, challenge, { credentialId, publicKey, isBackupEligible }) {
      const authentication = asAuthentication(credential);
      if (authentication === null || !isSameOrigin(authentication.response)) return null;
      if (!bytesOf(authentication.id).equals(credentialId)) return null;
      const { verifyAuthenticationResponse } = await library();
      const { userHandle: _, ...response } = authentication.response;

      return await nullIfRefused(async () => {
        const { verified, authenticationInfo: found } = await verifyAuthenticationResponse({
          response: { ...authentication, response, clientExtensionResults: {} },
          expectedChallenge: challenge,
          // A counter of 0 is below every other, so that the library lets each pass.
          credential: { id: authentication.id, publicKey: new Uint8Array(publicKey), counter: 0 },
          ...expected,
        });
        const isSyncable = found.credentialDeviceType === 'multiDevice';
        if (!verified || (isBackupEligible !== null && isBackupEligible !== isSyncable)) return null;
        const { userVerified: isUserVerified, newCounter: signCount, credentialBackedUp: isBackedUp } = found;
        return { isUserVerified, signCount, isBackupEligible: isSyncable, isBackedUp };
      });
    },
  };
}

function descriptor({ credentialId, transports }: PasskeyDescriptor) {
  return { id: credentialId.toString('base64url'), transports: transports as AuthenticatorTransport[] };
}

/** The library throws at every step that does not hold, and whatever its decoders throw at what is no CBOR, DER or key. */
async function nullIfRefused<T>(ceremony: () => Promise<T | null>): Promise<T | null> {
  try {
    return await ceremony();
  } catch {
    return null;
  }
}
