import { type Finding, found } from './findings.ts';
import { isLoopback, isWithin } from './origins.ts';

type Settings = {
  ISSUER: string;
  FRONTEND_URL: string;
  CORS_ORIGINS: readonly string[];
  WEBAUTHN_ORIGINS: readonly string[];
  WEBAUTHN_RP_ID: string;
  isProduction: boolean;
};

/**
 * The domain that a host was registered as, by the Public Suffix List; null for an address, a name without a dot, and a suffix itself
 * under which strangers register names.
 */
export type RegisteredDomain = (host: string) => string | null;

/** Whether cookies and passkeys arrive: the origins of the service and of the pages that use it, judged as browsers judge them. */
export function judgeOrigins(settings: Settings, domainOf: RegisteredDomain): Finding[] {
  const { ISSUER, FRONTEND_URL, CORS_ORIGINS, WEBAUTHN_ORIGINS, isProduction } = settings;
  const named = new Map<string, string[]>();
  const add = (name: string, origins: readonly string[]) => {
    for (const origin of origins) named.set(origin, [...(named.get(origin) ?? []), name]);
  };
  add('ISSUER', [ISSUER]);
  add('FRONTEND_URL', [FRONTEND_URL]);
  add('CORS_ORIGINS', CORS_ORIGINS);
  add('WEBAUTHN_ORIGINS', WEBAUTHN_ORIGINS);

  const findings: Finding[] = [];
  for (const [origin, names] of isProduction ? named : []) {
    if (isPlain(origin)) findings.push(found('origin-plain-http', `${names.join(', ')}: ${origin}.`));
  }
  if (isProduction && isLoopback(new URL(ISSUER).hostname)) findings.push(found('issuer-local', `ISSUER is ${ISSUER}.`));
  if (!isProduction && isPlain(ISSUER)) findings.push(found('cookies-need-https', `ISSUER is ${ISSUER}.`));
  for (const [origin, names] of named) {
    const uses = names.filter((name) => name === 'FRONTEND_URL' || name === 'CORS_ORIGINS');
    if (uses.length > 0 && siteOf(origin, domainOf) !== siteOf(ISSUER, domainOf))
      findings.push(found('cookies-cross-site', `${uses.join(', ')}: ${origin} is another site than ISSUER, ${ISSUER}.`));
  }
  if (FRONTEND_URL !== ISSUER && !CORS_ORIGINS.includes(FRONTEND_URL))
    findings.push(found('frontend-not-allowed', `FRONTEND_URL, ${FRONTEND_URL}, is neither ISSUER nor in CORS_ORIGINS.`));
  return [...findings, ...judgePasskeys(settings, domainOf)];
}

function judgePasskeys({ FRONTEND_URL, WEBAUTHN_RP_ID: rpId }: Settings, domainOf: RegisteredDomain): Finding[] {
  const host = new URL(FRONTEND_URL).hostname;
  const isAddress = /^[\d.]+$|[:[\]]/.test(rpId);
  // A host may always use itself; a suffix of it only when that is nobody else's too.
  if (isAddress || (host !== rpId && isWithin(host, rpId) && !isLoopback(rpId) && domainOf(rpId) === null))
    return [found('passkeys-no-domain', `Passkeys belong to ${rpId}.`)];
  if (!isWithin(host, rpId)) return [found('passkeys-elsewhere', `FRONTEND_URL is ${FRONTEND_URL}, and WEBAUTHN_RP_ID is ${rpId}.`)];
  return [];
}

/** Schemeful same-site (RFC 6265bis 5.2.1): scheme and registered domain, or the host where there is none. */
function siteOf(origin: string, domainOf: RegisteredDomain): string {
  const { protocol, hostname } = new URL(origin);
  return `${protocol}//${domainOf(hostname) ?? hostname}`;
}

function isPlain(origin: string): boolean {
  const { protocol, hostname } = new URL(origin);
  return protocol === 'http:' && !isLoopback(hostname);
}
