import { createHmac, createSecretKey, hash, randomBytes, randomInt, randomUUIDv7 } from 'node:crypto';
import type { Secrets } from '#application/ports/services.ts';
import { RECOVERY_CODE_BYTES, readRecoveryCode, writeRecoveryCode } from '#domain/recovery-codes.ts';

const SECRET_BYTES = 32; // ASVS 11.5.1 asks for 128 bits at least

/**
 * Identifiers, secrets and their hashes. A secret of 256 random bits needs no slow hash (ASVS 6.5.2).
 * @param keys make the hash of what can be guessed (a login identifier, six digits) useless without the server
 */
export function secrets(keys: { identifiers: Buffer; codes: Buffer }): Secrets {
  const sha256 = (bytes: Buffer | string) => hash('sha256', bytes, 'buffer');
  const [identifierKey, codeKey] = [createSecretKey(keys.identifiers), createSecretKey(keys.codes)]; // see refresh-tokens.ts
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
    recoveryCode() {
      const code = writeRecoveryCode(randomBytes(RECOVERY_CODE_BYTES));
      return { code, hash: sha256(code) };
    },
    recoveryCodeHash: (typed) => sha256(readRecoveryCode(typed)),
    smsCode: () => String(randomInt(1_000_000)).padStart(6, '0'),
    smsCodeHash: (boundTo, code) => createHmac('sha256', codeKey).update(`${boundTo}:${code}`).digest(),
    identifierHash: (canonical) => createHmac('sha256', identifierKey).update(canonical).digest(),
  };
}
