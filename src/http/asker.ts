import type { Asker } from '#application/who-asks.ts';
import type { Principal } from './route.ts';

/** Who asks for a code or a challenge: the sign-in of the body's ticket before the session of the caller. */
export function askerOf(preAuthToken: string | undefined, principal: Principal | null): Asker | null {
  if (preAuthToken !== undefined) return { preAuthToken };
  return principal === null ? null : { caller: principal };
}
