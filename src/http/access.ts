import type { FastifyReply, FastifyRequest } from 'fastify';
import { deny } from '#application/administration.ts';
import type { AccessTokens, Clock, Policy, RateLimiter, Secrets } from '#application/ports/services.ts';
import type { Store } from '#application/ports/store.ts';
import { refuseAal1, refuseWithoutStepUp } from '#domain/assurance.ts';
import { refuse } from '#domain/problems.ts';
import { permissionsOf } from '#domain/roles.ts';
import { clientOf } from './client.ts';
import { addLimitHeaders } from './limits.ts';
import { RefusalError } from './problem.ts';
import type { Principal, SessionAccess } from './route.ts';

type Needs = { store: Store; accessTokens: AccessTokens; secrets: Secrets; limiter: RateLimiter; clock: Clock; policy: Policy };

const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS']);

/**
 * Who is calling: the bearer token's signature and claims, then the live session in the store, so that a revocation holds at
 * once (ASVS 7.4.1). A store that does not answer is a 503, never a 401. Changing routes draw on the account's limit.
 * @throws RefusalError unauthenticated, account-suspended, insufficient-user-authentication, forbidden or rate-limited
 */
export function accessCheck({ store, accessTokens, secrets, limiter, clock, policy }: Needs) {
  const { isRequired, stepUpMaxAgeSeconds } = policy.secondFactors;
  return async (request: FastifyRequest, reply: FastifyReply, access: SessionAccess): Promise<Principal> => {
    const now = clock.now();
    const token = bearerOf(request);
    if (token === null) throw unauthenticated('Bearer');
    const claims = accessTokens.verify(token, now);
    const live = claims && (await store.hot.authenticate(claims.sessionId, now));
    if (!live || live.account.id !== claims.accountId) throw unauthenticated('Bearer error="invalid_token"');
    if (live.account.status === 'suspended') throw new RefusalError(refuse('account-suspended'));
    const { permission } = access;
    if (permission && !permissionsOf(live.account.roles).includes(permission)) {
      const about = { permission, reason: 'no-permission' as const };
      throw new RefusalError(await store.transaction((tx) => deny({ secrets }, tx, live, about, clientOf(request), now)));
    }
    const needsAal2 = access.aal === 'aal2' || (isRequired && !access.beforeSecondFactor);
    if (needsAal2 && live.session.acr !== 'aal2') throw new RefusalError(refuseAal1('A second factor is needed here.'));
    if (access.stepUp) {
      const enrolled = await store.read((records) => records.authenticators.secondFactors(live.account.id));
      const refusal = refuseWithoutStepUp(live.session, enrolled, stepUpMaxAgeSeconds, now);
      if (refusal) throw new RefusalError(refusal);
    }
    if (!SAFE_METHODS.has(request.method)) {
      const { allowed, readings } = await limiter.take([{ limit: 'per-user', key: live.account.id }], 'local');
      addLimitHeaders(reply, readings);
      if (!allowed) {
        const retryAfterSeconds = Math.max(...readings.map((reading) => reading.retryAfterSeconds));
        throw new RefusalError(refuse('rate-limited', { retryAfterSeconds }));
      }
    }
    return live;
  };
}

/** The bearer token of RFC 6750 2.1. Two Authorization headers are nobody's: Node joins some headers and drops others. */
export function bearerOf(request: FastifyRequest): string | null {
  const given = request.raw.headersDistinct['authorization'];
  if (given?.length !== 1) return null;
  return /^Bearer ([A-Za-z0-9._~+/=-]+)$/i.exec(given[0] ?? '')?.[1] ?? null;
}

function unauthenticated(challenge: string): RefusalError {
  return new RefusalError(refuse('unauthenticated'), { 'www-authenticate': challenge });
}
