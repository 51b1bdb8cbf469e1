import { timingSafeEqual } from 'node:crypto';
import type { OneTimePasswords } from '#application/ports/services.ts';

const SECRET_BYTES = 20;
const STEP_SECONDS = 30;
const CODE = /^\d{6}$/;

/**
 * RFC 6238 by otpauth, pictures by qrcode; both are loaded at first use, so that a service without enrolments does not carry them.
 * @param issuer how authenticator apps call the service
 * @param pastSteps how many steps before the present one are accepted, for clocks that differ (RFC 6238 5.2: one at most)
 */
export function oneTimePasswords({ issuer, pastSteps }: { issuer: string; pastSteps: number }): OneTimePasswords {
  const generator = async (secret: string, label = '') => {
    const { Secret, TOTP } = await import('otpauth');
    return new TOTP({ issuer, label, secret: Secret.fromBase32(secret), algorithm: 'SHA1', digits: 6, period: STEP_SECONDS });
  };
  return {
    async newSecret() {
      const { Secret } = await import('otpauth');
      return new Secret({ size: SECRET_BYTES }).base32;
    },
    async provisioning(secret, accountName) {
      const uri = (await generator(secret, accountName)).toString();
      const { toDataURL } = await import('qrcode');
      return { uri, qrCode: await toDataURL(uri, { errorCorrectionLevel: 'M', margin: 2, width: 256 }) };
    },
    async stepOf(secret, code, at) {
      if (!CODE.test(code)) return null;
      const totp = await generator(secret);
      const now = Math.floor(at.getTime() / 1000 / STEP_SECONDS);
      const steps = Array.from({ length: pastSteps + 1 }, (_, past) => now - past);
      const matches = steps.filter((step) =>
        timingSafeEqual(Buffer.from(totp.generate({ timestamp: step * STEP_SECONDS * 1000 })), Buffer.from(code)),
      );
      return matches[0] ?? null;
    },
  };
}
