import type { Client } from '#domain/client.ts';
import { type Refusal, refuse } from '#domain/problems.ts';
import { auditEvent } from './audit.ts';
import type { Needs } from './ports/services.ts';
import type { Caller } from './ports/sessions.ts';

export function logout({ store, refreshTokens, secrets, clock }: Needs<'store' | 'refreshTokens' | 'secrets' | 'clock'>) {
  /**
   * Ends the caller's session, or the one that the refresh token belongs to, at once (ASVS 7.4.1). A refresh token of a
   * session that has ended is fine: what was asked for is so.
   */
  return async (
    who: { caller: Caller } | { refreshToken: string },
    client: Client,
  ): Promise<null | Refusal<'unauthenticated' | 'invalid-refresh-token'>> => {
    const at = clock.now();
    if ('refreshToken' in who) {
      const parts = refreshTokens.decode(who.refreshToken);
      if (parts === null) return refuse('invalid-refresh-token');
      return await store.transaction(async (tx) => {
        const accountId = await tx.sessions.endBySecret(parts.sessionId, secrets.refreshSecretHash(parts.secret), 'logout', at);
        if (accountId !== null) await tx.audit.record(auditEvent(secrets, 'LOGOUT', client, at, { accountId, sessionId: parts.sessionId }));
        return null;
      });
    }
    const [accountId, sessionId] = [who.caller.account.id, who.caller.session.id];
    return await store.transaction(async (tx) => {
      if (!(await tx.sessions.end(accountId, sessionId, 'logout', at))) return refuse('unauthenticated');
      await tx.audit.record(auditEvent(secrets, 'LOGOUT', client, at, { accountId, sessionId }));
      return null;
    });
  };
}
