import { hkdfSync } from 'node:crypto';

/** The symmetric keys, 256 bits each, one per use (ASVS 11.2.x: no key serves two ends). */
export type DerivedKeys = { refreshTokens: Buffer; identifiers: Buffer; outbox: Buffer; codes: Buffer; csrf: Buffer; audit: Buffer };

/** HKDF-SHA-256 (RFC 5869) of SECRET_KEY; the labels are part of every stored value's meaning and never change. */
export function deriveKeys(secretKey: Buffer): DerivedKeys {
  const derive = (label: string) => Buffer.from(hkdfSync('sha256', secretKey, '', `latchkey/${label}/v1`, 32));
  return {
    refreshTokens: derive('refresh-token-hmac'),
    identifiers: derive('login-identifier'),
    outbox: derive('outbox-seal'),
    codes: derive('sms-code'),
    csrf: derive('csrf-token'),
    audit: derive('audit-chain'),
  };
}
