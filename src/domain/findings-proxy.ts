import type { FindingKind } from './finding-kind.ts';

/** The proxy before the service, as it is set and as it was seen. */
export const PROXY_FINDINGS = {
  'proxy-unnamed': {
    severity: 'error',
    why: 'Latchkey speaks HTTP, so something in front of it ends TLS. Unnamed, it is the client of every request: all users share one rate limit, a lock hits all of them, and the audit trail knows one address.',
    todo: 'Set TRUST_PROXY to the address or CIDR from which it connects, and make it send X-Forwarded-For.',
  },
  'proxy-trusts-everybody': {
    severity: 'error',
    why: 'Anybody can claim any address in X-Forwarded-For: limits, blocks and the audit trail are theirs to write.',
    todo: 'Name the proxy alone in TRUST_PROXY.',
  },
  'proxy-out-of-reach': {
    severity: 'error',
    why: 'Only this machine can connect, and its address is not trusted: what the proxy says of the client is ignored.',
    todo: 'Set TRUST_PROXY=127.0.0.1, or let HOST listen where the proxy is.',
  },
  'proxy-passed-by': {
    severity: 'warning',
    why: 'The proxy is on this machine, but others can connect past it, without TLS and without what it checks.',
    todo: 'Set HOST=127.0.0.1.',
  },
  'proxy-seen': {
    severity: 'error',
    why: 'So many people do not share an address of the house: it is a proxy that TRUST_PROXY does not name. They share its limits, and a lock or block hits all of them.',
    todo: 'Add it to TRUST_PROXY.',
  },
  'proxy-silent': {
    severity: 'error',
    why: 'The proxy is trusted, but does not say for whom it asks: its users share its limits.',
    todo: 'Make it send X-Forwarded-For: nginx "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for", HAProxy "option forwardfor".',
  },
} as const satisfies Record<string, FindingKind>;
