import { z } from 'zod';

/** The forms that settings of several subjects share; one of a single subject stands with its settings. No message says the value. */

export const text = z.string().min(1).max(4096);
export const oneLine = z.string().regex(/^[^\p{C}\p{Zl}\p{Zp}]+$/u, 'give one line of text');
export const wholeNumber = (least: number, most: number) =>
  z
    .string()
    .regex(/^\d{1,9}$/, 'give a whole number')
    .transform(Number)
    .refine((value) => value >= least && value <= most, `give a whole number from ${least} to ${most}`);
export const certificates = z
  .string()
  .max(1_000_000)
  .regex(/^\s*(#.*\s+)*-----BEGIN CERTIFICATE-----/, 'give certificates as PEM');
export const flag = z.enum(['true', 'false'], 'give true or false').transform((value) => value === 'true');
export const list = z.string().transform((value) =>
  value
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== ''),
);
export const origin = z
  .string()
  .refine(isOrigin, 'give an origin such as https://auth.example.com, without a path')
  .transform((value) => value.replace(/\/$/, ''));
export const url = (...protocols: string[]) =>
  z.string().superRefine((value, context) => {
    const fault = faultOfUrl(value, protocols);
    if (fault !== null) context.addIssue(fault);
  });

/** @returns what is wrong, without a word of the value: it may hold a password */
function faultOfUrl(value: string, protocols: readonly string[]): string | null {
  if (!protocols.some((protocol) => value.toLowerCase().startsWith(protocol))) {
    const beginnings = protocols.map((protocol) => (protocol === 'mailto:' ? protocol : `${protocol}//`));
    return `give a URL that begins with ${beginnings.join(' or ')}`;
  }
  const isReadable = URL.canParse(value) && isPercentEncoded(new URL(value));
  return isReadable
    ? null
    : 'the URL cannot be read: a password in it is percent-encoded (% # / ? @ : are %25 %23 %2F %3F %40 %3A), and a port up to 65535';
}

function isPercentEncoded({ username, password }: URL): boolean {
  try {
    decodeURIComponent(`${username}${password}`);
    return true;
  } catch {
    return false;
  }
}

function isOrigin(value: string): boolean {
  if (!URL.canParse(value)) return false;
  const { protocol, pathname, search, hash, username } = new URL(value);
  return (protocol === 'https:' || protocol === 'http:') && pathname === '/' && `${search}${hash}${username}` === '';
}
