/** Who is calling, as far as the wire tells: kept with sessions and audit events. */
export type Client = {
  /** The socket's address, or the one that a trusted proxy names. */
  ip: string;
  /** At most 512 characters, control characters removed. */
  userAgent: string | null;
  /** The `X-Request-Id` of the response. */
  requestId: string;
  /** The session that its browser holds by cookie; a sign-in replaces it. */
  sessionToken: string | null;
  /** What its browser keeps to be known again by. */
  deviceToken: string | null;
};

/** The service itself, or somebody at its command line: no browser, no address. */
export function localClient(requestId: string, { ip = '::', userAgent = null }: { ip?: string; userAgent?: string | null } = {}): Client {
  return { ip, userAgent, requestId, sessionToken: null, deviceToken: null };
}
