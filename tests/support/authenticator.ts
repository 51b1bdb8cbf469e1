import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import type { AuthenticationResponseJSON, RegistrationResponseJSON } from '@simplewebauthn/server';

/** What a test lets the authenticator or its client say instead of the truth. */
export type Lie = {
  userVerified?: boolean;
  userPresent?: boolean;
  origin?: string;
  /** Whose hash stands in the authenticator data. */
  rpId?: string;
  /** Of the client data: webauthn.create, webauthn.get. */
  type?: string;
  /** In base64url. */
  challenge?: string;
  signCount?: number;
  /** `create` makes a credential of this id; `get` names it, and signs with the key that it would have used. */
  credentialId?: Buffer;
  /** An account's id, or any bytes. */
  userHandle?: string | Buffer | null;
  crossOrigin?: boolean;
  topOrigin?: string;
  /** BE and BS of the flags; a synced passkey is `backed-up`, and `impossible` is BS alone. */
  backupState?: 'device-bound' | 'eligible' | 'backed-up' | 'impossible';
  tamperSignature?: boolean;
  /** Put behind the authenticator data, and signed with it. */
  trailingBytes?: Buffer;
  /** Put behind the attestation object. */
  trailingCbor?: Buffer;
};

export type SoftwareAuthenticator = {
  create(options: object, how?: Lie): RegistrationResponseJSON;
  get(options: object, how?: Lie): AuthenticationResponseJSON;
};

type Credential = { id: Buffer; rpId: string; privateKey: KeyObject; userHandle: Buffer; signCount: number };
type Descriptor = { id: string };
type CreationOptions = { challenge: string; rp: { id: string }; user: { id: string }; excludeCredentials?: Descriptor[] };
type RequestOptions = { challenge: string; rpId: string; allowCredentials?: Descriptor[] };

const AAGUID = Buffer.from('1a7c4e50a1b24c3d8e9f00112233aabb', 'hex');
const BACKUP_FLAGS = { 'device-bound': 0, eligible: 0x08, 'backed-up': 0x18, impossible: 0x10 };

/** An authenticator and the browser in front of it, for ES256 passkeys. It knows every credential that it made. */
export function softwareAuthenticator({ origin, rpId }: { origin: string; rpId: string }): SoftwareAuthenticator {
  const credentials: Credential[] = [];
  const known = (descriptors: Descriptor[]) => credentials.findLast(({ id }) => descriptors.some((one) => one.id === base64url(id)));

  const clientDataOf = (type: string, challenge: string, how: Lie) =>
    Buffer.from(
      JSON.stringify({
        type: how.type ?? type,
        challenge: how.challenge ?? challenge,
        origin: how.origin ?? origin,
        crossOrigin: how.crossOrigin ?? false,
        topOrigin: how.topOrigin,
      }),
    );

  return {
    create(options, how = {}) {
      const { challenge, rp, user, excludeCredentials = [] } = options as CreationOptions;
      if (rp.id !== rpId) throw new Error(`SecurityError: ${rp.id}`);
      if (known(excludeCredentials)) throw new Error('InvalidStateError: this authenticator has a credential already');
      const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const id = how.credentialId ?? randomBytes(32);
      const credential = { id, rpId, privateKey, userHandle: Buffer.from(user.id, 'base64url'), signCount: 1 };
      credentials.push(credential);

      const attested = Buffer.concat([AAGUID, uint(id.length, 2), id, coseKey(publicKey)]);
      const authData = authenticatorData(credential, how, attested);
      const attestationObject = cbor(
        new Map<string, Cbor>([
          ['fmt', 'none'],
          ['attStmt', new Map()],
          ['authData', authData],
        ]),
      );
      return {
        ...about(id),
        response: {
          clientDataJSON: base64url(clientDataOf('webauthn.create', challenge, how)),
          attestationObject: base64url(Buffer.concat([attestationObject, how.trailingCbor ?? Buffer.of()])),
          transports: ['internal', 'hybrid'],
        },
      };
    },

    get(options, how = {}) {
      const { challenge, rpId: asked, allowCredentials = [] } = options as RequestOptions;
      if (asked !== rpId) throw new Error(`SecurityError: ${asked}`);
      const credential = allowCredentials.length === 0 ? credentials.at(-1) : known(allowCredentials);
      if (credential === undefined) throw new Error('NotAllowedError: no such credential');
      credential.signCount += 1;

      const authData = authenticatorData(credential, how, Buffer.of());
      const clientData = clientDataOf('webauthn.get', challenge, how);
      const signature = sign('sha256', Buffer.concat([authData, sha256(clientData)]), credential.privateKey);
      if (how.tamperSignature) signature.writeUInt8(signature.readUInt8(signature.length - 1) ^ 1, signature.length - 1);
      const handle = how.userHandle === undefined ? credential.userHandle : how.userHandle;
      return {
        ...about(how.credentialId ?? credential.id),
        response: {
          clientDataJSON: base64url(clientData),
          authenticatorData: base64url(authData),
          signature: base64url(signature),
          ...(handle === null ? {} : { userHandle: base64url(typeof handle === 'string' ? uuidBytes(handle) : handle) }),
        },
      };
    },
  };
}

function about(id: Buffer) {
  return { id: base64url(id), rawId: base64url(id), type: 'public-key' as const, clientExtensionResults: {} };
}

/** WebAuthn L3 6.1 */
function authenticatorData({ rpId, signCount }: Credential, how: Lie, attested: Buffer): Buffer {
  const flags =
    (how.userPresent === false ? 0 : 0x01) |
    (how.userVerified === false ? 0 : 0x04) |
    BACKUP_FLAGS[how.backupState ?? 'device-bound'] |
    (attested.length > 0 ? 0x40 : 0);
  const head = [sha256(Buffer.from(how.rpId ?? rpId)), Buffer.of(flags), uint(how.signCount ?? signCount, 4)];
  return Buffer.concat([...head, attested, how.trailingBytes ?? Buffer.of()]);
}

export function coseKey(publicKey: KeyObject): Buffer {
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' });
  return cbor(
    new Map<number, Cbor>([
      [1, 2],
      [3, -7],
      [-1, 1],
      [-2, Buffer.from(x, 'base64url')],
      [-3, Buffer.from(y, 'base64url')],
    ]),
  );
}

export type Cbor = number | string | Buffer | Map<string | number, Cbor>;

/** As much of RFC 8949 as a passkey needs, lengths below 65536. */
export function cbor(value: Cbor): Buffer {
  const head = (major: number, length: number) => {
    if (length < 24) return Buffer.of((major << 5) | length);
    return length < 256 ? Buffer.of((major << 5) | 24, length) : Buffer.concat([Buffer.of((major << 5) | 25), uint(length, 2)]);
  };
  if (typeof value === 'number') return value < 0 ? head(1, -1 - value) : head(0, value);
  if (typeof value === 'string') return Buffer.concat([head(3, Buffer.byteLength(value)), Buffer.from(value)]);
  if (Buffer.isBuffer(value)) return Buffer.concat([head(2, value.length), value]);
  return Buffer.concat([head(5, value.size), ...[...value].flat().map(cbor)]);
}

function uint(value: number, size: number): Buffer {
  const bytes = Buffer.alloc(size);
  bytes.writeUIntBE(value, 0, size);
  return bytes;
}

function uuidBytes(uuid: string): Buffer {
  return Buffer.from(uuid.replaceAll('-', ''), 'hex');
}

function sha256(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest();
}

function base64url(bytes: Buffer): string {
  return bytes.toString('base64url');
}
