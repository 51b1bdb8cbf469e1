import type { Client } from '#domain/client.ts';
import { type Refusal, refuse } from '#domain/problems.ts';
import { auditEvent } from './audit.ts';
import { mails } from './mails.ts';
import type { Needs } from './ports/services.ts';
import { sessionMoved } from './session-moved.ts';
import { grantTokens, type Tokens } from './start-session.ts';

export function refresh(needs: Needs<'store' | 'accessTokens' | 'refreshTokens' | 'secrets' | 'courier' | 'clock' | 'policy'>) {
  const { store, refreshTokens, secrets, courier, clock, policy } = needs;
  const mail = mails(needs);
  const hasMoved = sessionMoved(needs);

  /**
   * Trades a refresh token for the next one (RFC 9700 4.14.2, ASVS 10.4.5). The token just replaced yields the same
   * successor within the grace, so that a lost answer signs nobody out; an older one ends the session: one of two holders
   * is a thief. One round trip; a token that we did not make never reaches the database.
   */
  return async (
    token: string,
    client: Client,
  ): Promise<Tokens | Refusal<'invalid-refresh-token' | 'refresh-token-reused' | 'session-superseded' | 'account-suspended'>> => {
    const at = clock.now();
    const parts = refreshTokens.decode(token);
    if (parts === null) return refuse('invalid-refresh-token');
    const rotation = await store.hot.rotate({
      sessionId: parts.sessionId,
      secretHash: secrets.refreshSecretHash(parts.secret),
      counter: parts.counter,
      at,
      graceSeconds: policy.lifetimes.refreshReuseGraceSeconds,
      idleSeconds: policy.lifetimes.sessions.bearer.idleSeconds,
      client,
      event: auditEvent(secrets, 'TOKEN_REFRESHED', client, at, { sessionId: parts.sessionId }),
      theftMail: () => mail.refreshTokenReused(at),
    });
    if (rotation === null) {
      const ended = await store.read((records) => records.sessions.endOf(parts.sessionId, secrets.refreshSecretHash(parts.secret)));
      return refuse(ended === 'superseded' ? 'session-superseded' : 'invalid-refresh-token');
    }
    if (rotation.outcome === 'reused') {
      courier.wake();
      return refuse('refresh-token-reused');
    }
    if (rotation.account.status === 'suspended') return refuse('account-suspended');
    if (await hasMoved(rotation.session, client)) return refuse('invalid-refresh-token');
    return await grantTokens(needs, rotation.account, rotation.session, { secret: parts.secret, counter: rotation.counter }, at);
  };
}
