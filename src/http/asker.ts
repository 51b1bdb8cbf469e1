import type { Asker } from '#application/who-asks.ts';

/** Who asks for a code or a challenge: the sign-in of the body's ticket before the session of the bearer token. */
export function askerOf(preAuthToken: string | undefined, bearer: string | null): Asker | null {
  if (preAuthToken !== undefined) return { preAuthToken };
  return bearer === null ? null : { accessToken: bearer };
}
