import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { AuthenticationResponseJSON, RegistrationResponseJSON } from '@simplewebauthn/server';
import { decodeAttestationObject } from '@simplewebauthn/server/helpers';
import { describe, expect, it } from 'vitest';
import { faultOfKey } from '#infrastructure/webauthn/cose-key.ts';
import { simpleWebAuthn } from '#infrastructure/webauthn/passkeys.ts';
import { type Cbor, cbor } from '#tests/support/authenticator.ts';

/** The test vectors of WebAuthn Level 3 (section 16), all 15. */

type Vector = {
  id: string;
  registration: { challenge: string; credential_id: string; clientDataJSON: string; attestationObject: string };
  authentication: { challenge: string; clientDataJSON: string; authenticatorData: string; signature: string };
};

const FILE = path.join(import.meta.dirname, '../../vectors/webauthn-l3.json');
const all = new Map((JSON.parse(readFileSync(FILE, 'utf8')) as Vector[]).map((vector) => [vector.id, vector]));
const passkeys = simpleWebAuthn({ rpId: 'example.org', rpName: 'Example', origins: ['https://example.org'] });

/** As a client hands them on that was asked for no attestation. */
const ACCEPTED = ['none-es256', 'packed-self-es256', 'none-es256-long-credential-id'];
/** With certificates, which no client hands on that was asked for no attestation; without them, their keys are as good as any. */
const WITH_CERTIFICATES = [
  'packed-es256',
  'packed-rs256',
  'packed-eddsa',
  'tpm-es256',
  'android-key-es256',
  'apple-es256',
  'fido-u2f-es256',
];
/** By frames in pages of https://example.com. */
const CROSS_ORIGIN = ['none-es256-crossOrigin', 'none-es256-topOrigin'];
/** ES384, ES512 and Ed448: we offer ES256, EdDSA with Ed25519, and RS256. No such key is ever stored, so that their assertions do not apply. */
const NOT_OFFERED = ['packed-es384', 'packed-es512', 'packed-ed448'];

const base64url = (hex: string) => Buffer.from(hex, 'hex').toString('base64url');

function vectorOf(id: string): Vector {
  const vector = all.get(id);
  if (vector === undefined) throw new Error(`no vector ${id}`);
  return vector;
}

function about(hex: string) {
  return { id: base64url(hex), rawId: base64url(hex), type: 'public-key' as const, clientExtensionResults: {} };
}

function registrationOf({ registration: { credential_id, clientDataJSON, attestationObject } }: Vector): RegistrationResponseJSON {
  const response = { clientDataJSON: base64url(clientDataJSON), attestationObject: base64url(attestationObject) };
  return { ...about(credential_id), response };
}

function authenticationOf({
  registration,
  authentication: { clientDataJSON, authenticatorData, signature },
}: Vector): AuthenticationResponseJSON {
  return {
    ...about(registration.credential_id),
    response: {
      clientDataJSON: base64url(clientDataJSON),
      authenticatorData: base64url(authenticatorData),
      signature: base64url(signature),
    },
  };
}

/** The same without the statement, as a client does that was asked for no attestation (WebAuthn L3 5.1.3). */
function unattested(vector: Vector): RegistrationResponseJSON {
  const given = registrationOf(vector);
  const authData = decodeAttestationObject(new Uint8Array(Buffer.from(vector.registration.attestationObject, 'hex'))).get('authData');
  const none = cbor(
    new Map<string, Cbor>([
      ['fmt', 'none'],
      ['attStmt', new Map()],
      ['authData', Buffer.from(authData)],
    ]),
  );
  return { ...given, response: { ...given.response, attestationObject: none.toString('base64url') } };
}

/** The same from our own page. */
function fromOurPage(vector: Vector): RegistrationResponseJSON {
  const given = registrationOf(vector);
  const { topOrigin: _, ...data } = JSON.parse(Buffer.from(vector.registration.clientDataJSON, 'hex').toString());
  const clientDataJSON = Buffer.from(JSON.stringify({ ...data, crossOrigin: false })).toString('base64url');
  return { ...given, response: { ...given.response, clientDataJSON } };
}

function register(vector: Vector, response: RegistrationResponseJSON) {
  return passkeys.verifyRegistration(response, base64url(vector.registration.challenge));
}

async function keyOf(vector: Vector, response: RegistrationResponseJSON) {
  const credential = await register(vector, response);
  if (credential === null) throw new Error(`${vector.id} was refused`);
  return credential;
}

function authenticate(vector: Vector, passkey: { credentialId: Buffer; publicKey: Buffer; isBackupEligible: boolean }) {
  return passkeys.verifyAuthentication(authenticationOf(vector), base64url(vector.authentication.challenge), passkey);
}

function reportOf({ authentication }: Vector) {
  const flags = Number.parseInt(authentication.authenticatorData.slice(64, 66), 16);
  const [isUserVerified, isBackupEligible, isBackedUp] = [0x04, 0x08, 0x10].map((flag) => (flags & flag) !== 0);
  return { isUserVerified, isBackupEligible, isBackedUp, signCount: 0 };
}

describe('the test vector', () => {
  it('of each name is judged below', () => {
    expect([...ACCEPTED, ...WITH_CERTIFICATES, ...CROSS_ORIGIN, ...NOT_OFFERED].sort()).toEqual([...all.keys()].sort());
  });

  it.each(ACCEPTED)('%s registers and signs in', async (id) => {
    const vector = vectorOf(id);
    const credential = await keyOf(vector, registrationOf(vector));
    expect(credential.credentialId.toString('hex')).toBe(vector.registration.credential_id);
    expect(await authenticate(vector, credential)).toEqual(reportOf(vector));
  });

  it.each(WITH_CERTIFICATES)('%s registers without its certificates only, and signs in', async (id) => {
    const vector = vectorOf(id);
    expect(await register(vector, registrationOf(vector))).toBeNull();
    const credential = await keyOf(vector, unattested(vector));
    expect(await authenticate(vector, credential)).toEqual(reportOf(vector));
    expect(await faultOfKey(credential.publicKey)).toBeNull();
  });

  it.each(CROSS_ORIGIN)('%s is refused at both ceremonies, and for that alone', async (id) => {
    const vector = vectorOf(id);
    expect(await register(vector, registrationOf(vector))).toBeNull();
    expect(await authenticate(vector, await keyOf(vector, fromOurPage(vector)))).toBeNull();
  });

  it.each(NOT_OFFERED)('%s is refused, whatever attests it', async (id) => {
    const vector = vectorOf(id);
    expect(await register(vector, registrationOf(vector))).toBeNull();
    expect(await register(vector, unattested(vector))).toBeNull();
    expect(await faultOfKey(publicKeyOf(vector))).toContain('none of the algorithms');
  });
});

/** What the authenticator data end with: none of these has extensions. */
function publicKeyOf({ registration }: Vector): Buffer {
  const attested = decodeAttestationObject(new Uint8Array(Buffer.from(registration.attestationObject, 'hex'))).get('authData');
  const head = 32 + 1 + 4 + 16 + 2 + registration.credential_id.length / 2;
  return Buffer.from(attested).subarray(head);
}
