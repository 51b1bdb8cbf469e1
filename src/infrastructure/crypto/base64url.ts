const ALPHABET = /^[A-Za-z0-9_-]*$/;

/**
 * Decodes base64url in its one canonical spelling: no padding, no white space, no slack bits. Node takes many spellings of
 * the same bytes; a token must have only one (ASVS 7.4.1, STANDARDS T04). @returns null for any other
 */
export function decodeCanonical(text: string): Buffer | null {
  if (!ALPHABET.test(text)) return null;
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : null;
}
