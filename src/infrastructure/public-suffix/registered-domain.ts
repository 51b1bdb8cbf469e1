import { getDomain } from 'tldts';

/**
 * The domain that a host was registered as, by the Public Suffix List with its private part: browsers draw the borders of a site by it,
 * so that a.pages.dev and b.pages.dev are strangers. @returns null for an address, a name without a dot, and a suffix itself
 */
export function registeredDomain(host: string): string | null {
  return getDomain(host, { allowPrivateDomains: true });
}
