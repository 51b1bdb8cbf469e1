import { createHmac, createSecretKey, randomBytes, timingSafeEqual } from 'node:crypto';
import type { CsrfTokens } from '#application/ports/services.ts';

const NONCE_BYTES = 16;
const MAC_BYTES = 32;

/**
 * Double-submit tokens, signed and bound to the session (OWASP CSRF Prevention): whoever can plant a cookie, a neighbour domain
 * for one, still has no token for his victim's session. `nonce | HMAC-SHA-256(session id, nonce)`; nothing is stored.
 * @param key 256 bits, derived from SECRET_KEY
 */
export function csrfTokens(key: Buffer): CsrfTokens {
  const secret = createSecretKey(key); // see refresh-tokens.ts
  const macOf = (sessionId: string, nonce: Buffer) => createHmac('sha256', secret).update(sessionId).update(nonce).digest();
  return {
    issue(sessionId) {
      const nonce = randomBytes(NONCE_BYTES);
      return Buffer.concat([nonce, macOf(sessionId, nonce)]).toString('base64url');
    },
    isFor(sessionId, token) {
      const bytes = Buffer.from(token, 'base64url');
      if (bytes.length !== NONCE_BYTES + MAC_BYTES) return false;
      return timingSafeEqual(bytes.subarray(NONCE_BYTES), macOf(sessionId, bytes.subarray(0, NONCE_BYTES)));
    },
  };
}
