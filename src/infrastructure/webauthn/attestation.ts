import { randomBytes } from 'node:crypto';

type Helpers = Pick<typeof import('@simplewebauthn/server/helpers'), 'decodeAttestationObject' | 'isoCBOR'>;

const ARRAY_OF_TWO = 0x82;
const BYTE_STRING_OF_16 = 0x50;

/**
 * Whether this is what a client hands on that was asked for no attestation: none, or one by the new key itself (WebAuthn L3
 * 5.1.3). All others bring certificates, and to check those the library asks addresses that stand in them.
 */
export function isUnattested(attestationObject: Buffer, { decodeAttestationObject, isoCBOR }: Helpers): boolean {
  if (onlyItemOf(attestationObject, isoCBOR) === undefined) return false;
  const decoded = decodeAttestationObject(new Uint8Array(attestationObject));
  const format = decoded.get('fmt');
  return format === 'none' || (format === 'packed' && decoded.get('attStmt').get('x5c') === undefined);
}

/**
 * The library reads the first item and leaves the rest. An end that nobody can guess, put behind it, comes second only if nothing is between.
 * @returns undefined when it is not one item and nothing else @throws whatever the library throws at what is no CBOR
 */
export function onlyItemOf(cbor: Buffer, { decodeFirst }: Helpers['isoCBOR']): unknown {
  const end = randomBytes(16);
  const pair: unknown = decodeFirst(new Uint8Array([ARRAY_OF_TWO, ...cbor, BYTE_STRING_OF_16, ...end]));
  return Array.isArray(pair) && pair[1] instanceof Uint8Array && end.equals(pair[1]) ? pair[0] : undefined;
}
