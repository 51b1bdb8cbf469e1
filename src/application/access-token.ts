import { type Refusal, refuse } from '#domain/problems.ts';
import type { Needs } from './ports/services.ts';
import type { Caller } from './ports/sessions.ts';
import { accessTokenOf } from './start-session.ts';

export function accessToken(needs: Needs<'accessTokens' | 'clock' | 'policy'>) {
  /**
   * A short access token of a cookie session, for other services. A bearer session has its refresh token for that: with its access
   * token alone, a thief could go on for ever.
   */
  return async ({ account, session }: Caller): Promise<{ accessToken: string; expiresInSeconds: number } | Refusal<'forbidden'>> => {
    if (session.transport !== 'cookie') return refuse('forbidden', { detail: 'This is for cookie sessions; use the refresh token.' });
    return await accessTokenOf(needs, account, session, needs.clock.now());
  };
}
