/**
 * The one catalogue of what can go wrong for a client (RFC 9457). A code is a promise: it never changes its meaning.
 * `detail` is what is said where nothing more is known of the case. `type` in the wire form is `<issuer>/problems/<code>`; the page docs/problems.md is generated from this table.
 */
export const PROBLEMS = {
  'invalid-request': {
    status: 400,
    title: 'The request is not valid',
    detail: 'A part of the request is missing, malformed, or not what is taken here.',
  },
  'invalid-token': {
    status: 400,
    title: 'The link or token is not valid any more',
    detail: 'It was used, has expired, or was never issued. Ask for a new one.',
  },
  'password-policy': { status: 400, title: 'The password does not meet the policy', detail: 'Choose another password.' },
  'invalid-credentials': { status: 401, title: 'The identifier or the password is wrong', detail: 'Check both and try again.' },
  'invalid-code': { status: 401, title: 'The code or credential is wrong', detail: 'Try again with a new code, or by another method.' },
  'invalid-refresh-token': {
    status: 401,
    title: 'The refresh token is not valid',
    detail: 'It has expired, its session has ended, or it was never issued. Sign in again.',
  },
  'refresh-token-reused': {
    status: 401,
    title: 'The refresh token was used before; the session has ended',
    detail: 'Somebody else may have had it. Sign in again.',
  },
  unauthenticated: {
    status: 401,
    title: 'A valid access token or session is needed',
    detail: 'Sign in, and send the access token as a bearer token, or the cookie of the session.',
  },
  'session-superseded': {
    status: 401,
    title: 'The session ended because this account signed in elsewhere',
    detail: 'Sign in again to go on here.',
  },
  'insufficient-user-authentication': {
    status: 401,
    title: 'A more recent or stronger authentication is needed',
    detail: 'Reauthenticate and ask again.',
  },
  forbidden: { status: 403, title: 'This is not allowed', detail: 'Whoever asks has no permission for this.' },
  'email-not-verified': {
    status: 403,
    title: 'The e-mail address is not verified yet',
    detail: 'Open the link in the mail, or ask for a new one.',
  },
  csrf: {
    status: 403,
    title: 'The request could have come from a foreign page',
    detail: 'Ask from a page of a known origin, with the value of the csrf_token cookie as X-CSRF-Token.',
  },
  'account-suspended': { status: 403, title: 'The account is suspended', detail: 'Whoever runs this service can say why.' },
  'not-found': { status: 404, title: 'Nothing is here', detail: 'Nothing that the caller may see has this path.' },
  'method-not-allowed': {
    status: 405,
    title: 'The method is not allowed here',
    detail: 'The Allow header names the methods of this path.',
  },
  'request-timeout': { status: 408, title: 'The request took too long to arrive', detail: 'Send it again, faster.' },
  conflict: { status: 409, title: 'It exists already', detail: 'What is there already stands in the way.' },
  'username-taken': { status: 409, title: 'The username is taken', detail: 'Choose another one.' },
  'payload-too-large': { status: 413, title: 'The request body is too large', detail: 'Send less at once.' },
  'unsupported-media-type': {
    status: 415,
    title: 'The request body must be application/json',
    detail: 'Send JSON, with Content-Type: application/json.',
  },
  'misdirected-request': {
    status: 421,
    title: 'This host is not served here',
    detail: 'Ask by the host name that this service is known by.',
  },
  'rate-limited': { status: 429, title: 'Too many requests', detail: 'Wait for as long as Retry-After says.' },
  'account-locked': { status: 429, title: 'Too many failed sign-ins; try again later', detail: 'Wait for as long as Retry-After says.' },
  'request-header-fields-too-large': { status: 431, title: 'The request headers are too large', detail: 'Send fewer or shorter headers.' },
  'internal-error': {
    status: 500,
    title: 'Something went wrong on our side',
    detail: 'Try again. Whoever runs this service finds it in the log by its request id.',
  },
  unavailable: { status: 503, title: 'The service cannot do this right now', detail: 'Try again after as long as Retry-After says.' },
} as const satisfies Record<string, { status: number; title: string; detail: string }>;

export type ProblemCode = keyof typeof PROBLEMS;

/** One bad field: `pointer` is a JSON Pointer (RFC 6901) into the request body; `/query/…` and `/path/…` stand for parts of the URL. */
export type FieldFault = { pointer: string; detail: string };

/**
 * An expected "no". Returned, not thrown: what it caused (an attempt counted, a session ended, an audit row) must commit
 * with it (docs/adr/0002).
 */
export type Refusal<Code extends ProblemCode = ProblemCode> = {
  refused: Code;
  /** More than the catalogue says. */
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
