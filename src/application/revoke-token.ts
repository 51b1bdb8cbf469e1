import type { Client } from '#domain/client.ts';
import { auditEvent } from './audit.ts';
import type { Needs } from './ports/services.ts';
import type { ServiceClient } from './ports/store.ts';

export function revokeToken({
  store,
  accessTokens,
  refreshTokens,
  secrets,
  clock,
}: Needs<'store' | 'accessTokens' | 'refreshTokens' | 'secrets' | 'clock'>) {
  /**
   * Ends the session that the token belongs to, whichever of the two it is, and with it every other token of that session
   * (RFC 7009 2.1). A token that is not ours, or of a session that has ended, is fine: what was asked for is so (2.2).
   */
  return async (token: string, by: ServiceClient, client: Client): Promise<void> => {
    const at = clock.now();
    const refresh = refreshTokens.decode(token);
    const access = refresh === null ? accessTokens.verify(token, at) : null;
    if (refresh === null && access === null) return;
    await store.transaction(async (tx) => {
      const sessionId = refresh?.sessionId ?? access?.sessionId ?? '';
      const accountId = refresh
        ? await tx.sessions.endBySecret(sessionId, secrets.refreshSecretHash(refresh.secret), 'revoked-by-service', at)
        : access && (await tx.sessions.end(access.accountId, sessionId, 'revoked-by-service', at))
          ? access.accountId
          : null;
      if (accountId === null) return;
      const details = { client_id: by.id, client_name: by.name };
      await tx.audit.record(auditEvent(secrets, 'TOKEN_REVOKED', client, at, { accountId, sessionId, details }));
    });
  };
}
