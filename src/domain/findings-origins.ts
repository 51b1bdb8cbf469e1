import type { FindingKind } from './finding-kind.ts';

/** What browsers make of the origins: cookies, CORS and passkeys. */
export const ORIGIN_FINDINGS = {
  'origin-plain-http': {
    severity: 'error',
    why: 'Passwords and tokens go in clear; browsers keep no Secure cookie there and refuse passkeys.',
    todo: 'Give it with https://.',
  },
  'issuer-local': {
    severity: 'warning',
    why: 'In production: no other machine finds it, and tokens name it for good.',
    todo: 'Set ISSUER to the public name, with https://.',
  },
  'cookies-need-https': {
    severity: 'warning',
    why: 'Browsers keep the __Host-session cookie of https:// and of localhost only: cookie sessions end before they begin.',
    todo: 'Use http://localhost, or https://.',
  },
  'cookies-cross-site': {
    severity: 'warning',
    why: 'Cookies are SameSite=Strict: browsers do not send them from pages of another site, so cookie sessions do not work there (bearer tokens do).',
    todo: 'Serve both under one domain and scheme, as https://app.example.com and https://auth.example.com.',
  },
  'frontend-not-allowed': {
    severity: 'warning',
    why: 'Browsers let its pages call this service only when CORS allows it.',
    todo: 'Add FRONTEND_URL to CORS_ORIGINS, unless it passes /api on to this service itself.',
  },
  'passkeys-elsewhere': {
    severity: 'warning',
    why: 'Browsers use passkeys of a domain on its own pages and below: nobody can enrol or use one there.',
    todo: 'Set WEBAUTHN_RP_ID to a domain that is the end of both names.',
  },
  'passkeys-no-domain': {
    severity: 'error',
    why: 'Browsers refuse passkeys for an IP address, and for a name under which strangers register theirs.',
    todo: 'Set WEBAUTHN_RP_ID, or FRONTEND_URL, to a domain of yours.',
  },
} as const satisfies Record<string, FindingKind>;
