import type { Needs } from './ports/services.ts';

/** Whether the token counts now, and what it says if it does. */
export type Introspection = { active: false } | { active: true; claims: Record<string, unknown> };

export function introspect({ store, accessTokens, clock }: Needs<'store' | 'accessTokens' | 'clock'>) {
  /**
   * Says of an access token what a resource server cannot know offline: that its session still lives and its account is not
   * suspended (RFC 7662 2.2, ASVS 7.4.1). Of anything else, a refresh token too, nothing but that it is not active: who took one for
   * an access token must not be told otherwise.
   */
  return async (token: string): Promise<Introspection> => {
    const at = clock.now();
    const parts = accessTokens.verify(token, at);
    if (parts === null) return { active: false };
    const live = await store.hot.authenticate(parts.sessionId, at);
    if (live?.endedBecause !== null || live.account.id !== parts.accountId || live.account.status !== 'active') return { active: false };
    const claims = accessTokens.claims(token, at);
    return claims === null ? { active: false } : { active: true, claims };
  };
}
