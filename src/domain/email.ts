/** An address as its owner wrote it (where mail goes) and in the one form that is unique and looked up. */
export type Email = { given: string; canonical: string };

const MAX_LENGTH = 254; // RFC 5321 4.5.3.1.3, less the angle brackets
const LOCAL_PART = /^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*$/; // RFC 5322 dot-atom
const DOMAIN = /^(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]$/;

/**
 * Parses one address. The local part is ASCII: look-alikes that case-fold to ASCII (the Kelvin sign, fullwidth letters)
 * can then never become a second account or take over a first (ASVS 1.1.1, T18). A domain may be international; it is
 * compared in its punycode form. The local part is compared without case: no provider of note tells them apart.
 * @returns undefined when it is not an address
 */
export function parseEmail(input: string): Email | undefined {
  if (input.length > MAX_LENGTH) return undefined;
  const at = input.lastIndexOf('@');
  const local = input.slice(0, at);
  if (at < 1 || local.length > 64 || !LOCAL_PART.test(local)) return undefined;
  const domain = asciiDomain(input.slice(at + 1));
  if (domain === undefined) return undefined;
  return { given: `${local}@${domain}`, canonical: `${local.toLowerCase()}@${domain}` };
}

function asciiDomain(domain: string): string | undefined {
  if (/[\s/?#@:\\%[\]]/.test(domain)) return undefined; // what a URL parser would read as something else
  try {
    const ascii = new URL(`http://${domain}`).hostname;
    return DOMAIN.test(ascii) ? ascii : undefined;
  } catch {
    return undefined;
  }
}
