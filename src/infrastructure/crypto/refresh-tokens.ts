import { createHmac, createSecretKey, timingSafeEqual } from 'node:crypto';
import type { RefreshTokens } from '#application/ports/services.ts';
import { decodeCanonical } from './base64url.ts';

/**
 * `lk_rt_` + base64url(version 1 | session id 16 | counter 4, big-endian | secret 32 | HMAC-SHA-256 32), bytes.
 * The HMAC key is the server's and not in the database: garbage is refused without a query, and a leaked table mints
 * nothing. The same parts give the same token, so the successor of a lost answer need not be stored (docs/adr/0003).
 */
const PREFIX = 'lk_rt_';
const VERSION = 1;
const BODY_BYTES = 1 + 16 + 4 + 32;
const TOKEN_BYTES = BODY_BYTES + 32;
const MAX_COUNTER = 0x7fff_ffff; // the column is an integer

export function refreshTokens(key: Buffer): RefreshTokens {
  const macKey = createSecretKey(key); // Node 24 takes bytes too, by way of two errors that it throws and catches: 10 us
  const macOf = (body: Buffer) => createHmac('sha256', macKey).update(body).digest();
  return {
    encode({ sessionId, counter, secret }) {
      const body = Buffer.alloc(BODY_BYTES);
      body.writeUInt8(VERSION, 0);
      body.write(sessionId.replaceAll('-', ''), 1, 'hex');
      body.writeUInt32BE(counter, 17);
      secret.copy(body, 21);
      return PREFIX + Buffer.concat([body, macOf(body)]).toString('base64url');
    },
    decode(token) {
      if (!token.startsWith(PREFIX)) return null;
      const bytes = decodeCanonical(token.slice(PREFIX.length));
      if (bytes === null || bytes.length !== TOKEN_BYTES || bytes[0] !== VERSION) return null;
      const body = bytes.subarray(0, BODY_BYTES);
      if (!timingSafeEqual(macOf(body), bytes.subarray(BODY_BYTES))) return null;
      const counter = body.readUInt32BE(17);
      if (counter > MAX_COUNTER) return null;
      return { sessionId: uuidOf(body.subarray(1, 17)), counter, secret: Buffer.from(body.subarray(21)) };
    },
  };
}

function uuidOf(bytes: Buffer): string {
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
