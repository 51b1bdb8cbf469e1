import { isIP } from 'node:net';

/**
 * Whether a `Host` header names a host that is served (ASVS 4.1.3; 421 otherwise). Probes of Kubernetes and load balancers
 * send the address of the pod instead, so health answers to any address.
 */
export function hostCheck(allowedHosts: readonly string[]): (host: string | undefined, path: string) => boolean {
  const allowed = new Set(allowedHosts.map((host) => host.toLowerCase()));
  return (host, path) => {
    if (host === undefined) return false;
    const name = host.replace(/:\d{1,5}$/, '').toLowerCase();
    return allowed.has(name) || (path.startsWith('/health') && isIP(name.replace(/^\[|\]$/g, '')) !== 0);
  };
}
