/** Hosts and origins as browsers see them. */

/** Whether a host is this machine: browsers trust it without TLS (W3C Secure Contexts 3.1). Brackets of IPv6 may be there. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host.endsWith('.localhost') || /^127(\.\d{1,3}){3}$/.test(host) || /^\[?::1\]?$/.test(host);
}

/** A page may use passkeys of its own host and of the domains above it (WebAuthn L3 5.1.3, "registrable domain suffix"). */
export function isWithin(host: string, rpId: string): boolean {
  return host === rpId || host.endsWith(`.${rpId}`);
}
