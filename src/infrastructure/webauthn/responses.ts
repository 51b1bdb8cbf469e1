import { z } from 'zod';
import { decodeCanonical } from '../crypto/base64url.ts';

/** What a client sends (WebAuthn L3 5.1, …ResponseJSON), rebuilt from the fields that we read, each within bounds: no other shape gets further. */

const MAX_CREDENTIAL_ID_BYTES = 1023; // WebAuthn L3 7.1
const MAX_CLIENT_DATA_BYTES = 8192;
const MAX_AUTHENTICATOR_BYTES = 16_384; // an RSA key of 4096 bits, the longest id and some extensions need 3000
const MAX_SIGNATURE_BYTES = 2048;
const MAX_CHALLENGE_BYTES = 256;
const USER_HANDLE_BYTES = 16; // a UUID
const TRANSPORTS = ['ble', 'cable', 'hybrid', 'internal', 'nfc', 'smart-card', 'usb'];

const bytes = (most: number) =>
  z.string().refine((text) => text !== '' && text.length <= Math.ceil((most * 4) / 3) && decodeCanonical(text) !== null);

const Credential = z.object({ id: bytes(MAX_CREDENTIAL_ID_BYTES), rawId: z.string(), type: z.literal('public-key') });
const clientDataJSON = bytes(MAX_CLIENT_DATA_BYTES);

const Registration = Credential.extend({
  response: z.object({
    clientDataJSON,
    attestationObject: bytes(MAX_AUTHENTICATOR_BYTES),
    // Hints of the client's, and only that: strange ones are no reason to refuse a good passkey.
    transports: z
      .array(z.string())
      .catch([])
      .transform((given) => TRANSPORTS.filter((transport) => given.includes(transport))),
  }),
});

const Authentication = Credential.extend({
  response: z.object({
    clientDataJSON,
    authenticatorData: bytes(MAX_AUTHENTICATOR_BYTES),
    signature: bytes(MAX_SIGNATURE_BYTES),
    userHandle: bytes(USER_HANDLE_BYTES)
      .refine((handle) => bytesOf(handle).length === USER_HANDLE_BYTES)
      .nullish(),
  }),
});

const ClientData = z.object({ challenge: bytes(MAX_CHALLENGE_BYTES) });
const SameOrigin = z.object({ crossOrigin: z.literal(false).optional(), topOrigin: z.undefined().optional() });

export type Registration = z.output<typeof Registration>;
export type Authentication = z.output<typeof Authentication>;

export function bytesOf(base64url: string): Buffer {
  return Buffer.from(base64url, 'base64url');
}

export function asRegistration(credential: unknown): Registration | null {
  return Registration.safeParse(credential).data ?? null;
}

export function asAuthentication(credential: unknown): Authentication | null {
  return Authentication.safeParse(credential).data ?? null;
}

export function challengeOf(response: { clientDataJSON: string }): string | null {
  return ClientData.safeParse(clientDataOf(response)).data?.challenge ?? null;
}

/** Not from a frame inside another site's page, which could have talked the user into it (WebAuthn L3 13.4.2). */
export function isSameOrigin(response: { clientDataJSON: string }): boolean {
  return SameOrigin.safeParse(clientDataOf(response)).success;
}

function clientDataOf(response: { clientDataJSON: string }): unknown {
  try {
    return JSON.parse(bytesOf(response.clientDataJSON).toString('utf8'));
  } catch {
    return null;
  }
}
