/** Look-up secrets (NIST SP 800-63B-4 3.1.2) of 120 random bits: enough for a fast hash (ASVS 6.5.2 asks for 112). */
export const RECOVERY_CODES = 10;
export const RECOVERY_CODE_BYTES = 15;

/** Crockford's base 32: nothing in it looks like something else on paper. */
const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/** @param bytes 15 of them @returns six groups of four, as `0A1B-…` */
export function writeRecoveryCode(bytes: Uint8Array): string {
  let bits = 0n;
  for (const byte of bytes) bits = (bits << 8n) | BigInt(byte);
  const signs = Array.from({ length: (bytes.length * 8) / 5 }, (_, index) => ALPHABET[Number((bits >> BigInt(index * 5)) & 31n)] ?? '');
  return (signs.reverse().join('').match(/.{4}/g) ?? []).join('-');
}

/** The code as it was written, however it was typed: case, groups, and the letters that were left out. */
export function readRecoveryCode(typed: string): string {
  const signs = typed.toUpperCase().replaceAll('O', '0').replace(/[IL]/g, '1').replace(/[\s-]/g, '');
  return (signs.match(/.{1,4}/g) ?? []).join('-');
}
