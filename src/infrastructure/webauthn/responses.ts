import { z } from 'zod';
import { decodeCanonical } from '../crypto/base64url.ts';

/** What a client sends (WebAuthn L3 5.1, …ResponseJSON), rebuilt from the fields that we read, each within bounds: no other shape gets further. */

export const MAX_CREDENTIAL_ID_BYTES = 1023; // WebAuthn L3 7.1
const MAX_CLIENT_DATA_BYTES = 8192;
const MAX_AUTHENTICATOR_BYTES = 16_384; // an RSA key of 4096 bits, the longest id and some extensions need 3000
const MAX_SIGNATURE_BYTES = 2048;
const MAX_CHALLENGE_BYTES = 256;
export const MAX_USER_HANDLE_BYTES = 64; // WebAuthn L3 5.4.3; ours have 16
const TRANSPORTS = ['ble', 'cable', 'hybrid', 'internal', 'nfc', 'smart-card', 'usb'];

/** Base64url of 1 to `most` bytes. */
export const bytes = (most: number, fault?: string) =>
  z.string(fault).refine((text) => text !== '' && text.length <= Math.ceil((most * 4) / 3) && decodeCanonical(text) !== null, fault);

/** Hints of the client's, and only that: strange ones are no reason to refuse a good passkey. */
export const knownTransports = (given: readonly string[]) => TRANSPORTS.filter((transport) => given.includes(transport));

const Credential = z.object({ id: bytes(MAX_CREDENTIAL_ID_BYTES), rawId: z.string(), type: z.literal('public-key') });
const clientDataJSON = bytes(MAX_CLIENT_DATA_BYTES);

const Registration = Credential.extend({
  response: z.object({
    clientDataJSON,
    attestationObject: bytes(MAX_AUTHENTICATOR_BYTES),
    transports: z.array(z.string()).catch([]).transform(knownTransports),
  }),
});

const Authentication = Credential.extend({
  response: z.object({
    clientDataJSON,
    authenticatorData: bytes(MAX_AUTHENTICATOR_BYTES),
    signature: bytes(MAX_SIGNATURE_BYTES),
    userHandle: bytes(MAX_USER_HANDLE_BYTES).nullish(),
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
