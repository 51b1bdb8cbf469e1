/**
 * The one catalogue of what can go wrong for a client (RFC 9457). A code is a promise: it never changes its meaning.
 * `type` in the wire form is `<issuer>/problems/<code>`; the page docs/problems.md is generated from this table.
 */
export const PROBLEMS = {
  'invalid-request': { status: 400, title: 'The request is not valid' },
  'invalid-token': { status: 400, title: 'The link or token is not valid any more' },
  'password-policy': { status: 400, title: 'The password does not meet the policy' },
  'invalid-credentials': { status: 401, title: 'The identifier or the password is wrong' },
  'invalid-code': { status: 401, title: 'The code or credential is wrong' },
  'invalid-refresh-token': { status: 401, title: 'The refresh token is not valid' },
  'refresh-token-reused': { status: 401, title: 'The refresh token was used before; the session has ended' },
  unauthenticated: { status: 401, title: 'A valid access token or session is needed' },
  'session-superseded': { status: 401, title: 'The session ended because this account signed in elsewhere' },
  'insufficient-user-authentication': { status: 401, title: 'A more recent or stronger authentication is needed' },
  forbidden: { status: 403, title: 'This is not allowed' },
  'email-not-verified': { status: 403, title: 'The e-mail address is not verified yet' },
  csrf: { status: 403, title: 'The request could have come from a foreign page' },
  'account-suspended': { status: 403, title: 'The account is suspended' },
  'not-found': { status: 404, title: 'Nothing is here' },
  'method-not-allowed': { status: 405, title: 'The method is not allowed here' },
  'request-timeout': { status: 408, title: 'The request took too long to arrive' },
  conflict: { status: 409, title: 'It exists already' },
  'username-taken': { status: 409, title: 'The username is taken' },
  'payload-too-large': { status: 413, title: 'The request body is too large' },
  'unsupported-media-type': { status: 415, title: 'The request body must be application/json' },
  'misdirected-request': { status: 421, title: 'This host is not served here' },
  'rate-limited': { status: 429, title: 'Too many requests' },
  'account-locked': { status: 429, title: 'Too many failed sign-ins; try again later' },
  'request-header-fields-too-large': { status: 431, title: 'The request headers are too large' },
  'internal-error': { status: 500, title: 'Something went wrong on our side' },
  unavailable: { status: 503, title: 'The service cannot do this right now' },
} as const satisfies Record<string, { status: number; title: string }>;

export type ProblemCode = keyof typeof PROBLEMS;

/** One bad field: `pointer` is a JSON Pointer (RFC 6901) into the request body; `/query/…` and `/path/…` stand for parts of the URL. */
export type FieldFault = { pointer: string; detail: string };

/**
 * An expected "no". Returned, not thrown: what it caused (an attempt counted, a session ended, an audit row) must commit
 * with it (docs/adr/0002).
 */
export type Refusal<Code extends ProblemCode = ProblemCode> = {
  refused: Code;
  detail?: string;
  retryAfterSeconds?: number;
  errors?: FieldFault[];
  /** Parameters of the WWW-Authenticate challenge (RFC 9470 section 3). */
  challenge?: { acr_values: 'aal2' } | { max_age: number };
};

export function refuse<Code extends ProblemCode>(code: Code, more: Omit<Refusal, 'refused'> = {}): Refusal<Code> {
  return { refused: code, ...more };
}

export function isRefusal(outcome: unknown): outcome is Refusal {
  return typeof outcome === 'object' && outcome !== null && 'refused' in outcome;
}
