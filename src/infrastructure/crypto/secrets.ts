import { createHash, createHmac, randomBytes, randomUUIDv7 } from 'node:crypto';
import type { Secrets } from '#application/ports/services.ts';

const SECRET_BYTES = 32; // ASVS 11.5.1 asks for 128 bits at least

/**
 * Identifiers, secrets and their hashes. A secret of 256 random bits needs no slow hash (ASVS 6.5.2).
 * @param identifierKey makes the hash of a login identifier useless without the server's key
 */
export function secrets(identifierKey: Buffer): Secrets {
  const sha256 = (bytes: Buffer | string) => createHash('sha256').update(bytes).digest();
  return {
    id: () => randomUUIDv7(),
    ticket() {
      const token = randomBytes(SECRET_BYTES).toString('base64url');
      return { token, hash: sha256(token) };
    },
    ticketHash: sha256,
    refreshSecret() {
      const secret = randomBytes(SECRET_BYTES);
      return { secret, hash: sha256(secret) };
    },
    refreshSecretHash: sha256,
    identifierHash: (canonical) => createHmac('sha256', identifierKey).update(canonical).digest(),
  };
}
