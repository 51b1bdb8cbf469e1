import { statSync } from 'node:fs';
import path from 'node:path';
import type { KeyFacts } from '#domain/doctor-keys.ts';
import { manifestStamp, readKeyFolder } from './key-folder.ts';
import { type Algorithm, signingKey, type VerifyingKey, verifyingKeys } from './signing-key.ts';

/** `rsaBits`: of the key that signs; null when it is no RSA key, or there is none. */
export type ExaminedKeys = KeyFacts & { rsaBits: number | null };

const GROUP_OR_OTHERS_WRITE = 0o022;

/** Looks at a folder of keys for `latchkey doctor`, and makes nothing. */
export function examineKeyFolder(dir: string): ExaminedKeys {
  const facts = { place: path.resolve(dir), isFolder: true, isOpen: false, rsaBits: null };
  try {
    const folder = statSync(dir, { throwIfNoEntry: false });
    // A mounted Secret of Kubernetes belongs to another user, and cannot be written to whatever its mode says.
    const isOpen = folder !== undefined && folder.uid === process.getuid?.() && (folder.mode & GROUP_OR_OTHERS_WRITE) !== 0;
    if (folder === undefined || manifestStamp(dir) === null) return { ...facts, isOpen, fault: null, ring: null };
    try {
      const { ring, keys } = readKeyFolder(dir);
      const current = keys.get(ring.current.kid);
      // Where nobody noted it: files are as young as their last copy, and each update of a mounted Secret is one.
      const signsSince = ring.current.signsSince ?? statSync(path.join(dir, `${ring.current.kid}.pem`)).mtime;
      const found = { ...ring, current: { kid: ring.current.kid, alg: current?.alg ?? 'unknown', signsSince } };
      return { ...facts, isOpen, fault: null, ring: found, rsaBits: bitsOf(current) };
    } catch (error) {
      return { ...facts, isOpen, fault: sentence(error), ring: null };
    }
  } catch (error) {
    return { ...facts, fault: sentence(error), ring: null };
  }
}

/** Looks at a key that settings hold. */
export function examineKeyPem(privatePem: string, publicPem: string | undefined, rsaAlg: Algorithm): ExaminedKeys {
  const facts = { place: 'JWT_PRIVATE_KEY', isFolder: false, isOpen: false };
  try {
    const key = signingKey(privatePem, rsaAlg);
    if (publicPem !== undefined && !verifyingKeys(publicPem, rsaAlg).some(({ kid }) => kid === key.kid))
      return { ...facts, fault: 'JWT_PUBLIC_KEY does not belong to JWT_PRIVATE_KEY.', ring: null, rsaBits: null };
    const ring = { current: { kid: key.kid, alg: key.alg, signsSince: null }, next: null, previous: [] };
    return { ...facts, fault: null, ring, rsaBits: bitsOf(key) };
  } catch (error) {
    return { ...facts, fault: sentence(error), ring: null, rsaBits: null };
  }
}

function bitsOf(key: VerifyingKey | undefined): number | null {
  const modulus = key?.jwk['n'];
  return modulus === undefined ? null : Buffer.from(modulus, 'base64url').length * 8;
}

function sentence(error: unknown): string {
  const said = error instanceof Error ? error.message : String(error);
  return said.endsWith('.') ? said : `${said}.`;
}
