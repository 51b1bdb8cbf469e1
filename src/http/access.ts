import type { FastifyReply, FastifyRequest } from 'fastify';
import { deny } from '#application/administration.ts';
import type { AccessTokens, Clock, Policy, Secrets } from '#application/ports/services.ts';
import type { Authenticated, Caller, Session } from '#application/ports/sessions.ts';
import type { Store } from '#application/ports/store.ts';
import { refuseAal1, refuseWithoutStepUp } from '#domain/assurance.ts';
import type { Client } from '#domain/client.ts';
import { touchSeconds } from '#domain/lifetimes.ts';
import { isRefusal, PROBLEMS, type Refusal, refuse } from '#domain/problems.ts';
import { permissionsOf } from '#domain/roles.ts';
import { clientOf } from './client.ts';
import { type Cookies, SESSION_OVER } from './cookies.ts';
import { type Csrf, isSafe } from './csrf.ts';
import { RefusalError } from './problem.ts';
import type { Principal, SessionAccess } from './route.ts';

type Needs = {
  /** Whom a token of the replaced service speaks for; null: none counts. */
  legacyCaller: ((token: string) => Promise<Caller | Refusal | null>) | null;
  /** Whether the session has ended, because it turned up on another kind of device. */
  hasMoved(session: Session, client: Client): Promise<boolean>;
  store: Store;
  accessTokens: AccessTokens;
  secrets: Secrets;
  clock: Clock;
  policy: Policy;
  cookies: Cookies;
  csrf: Csrf;
};

export function accessCheck({ legacyCaller, hasMoved, store, accessTokens, secrets, clock, policy, cookies, csrf }: Needs) {
  const { isRequired, stepUpMaxAgeSeconds } = policy.secondFactors;
  const lifetime = policy.lifetimes.sessions.cookie;
  const slide = { idleSeconds: lifetime.idleSeconds, touchSeconds: touchSeconds(lifetime) };

  async function byToken(token: string): Promise<Authenticated | null> {
    const now = clock.now();
    const claims = accessTokens.verify(token, now);
    if (claims === null) return null;
    const found = await store.hot.authenticate(claims.sessionId, now);
    return found?.endedBecause === null && found.account.id !== claims.accountId ? null : found;
  }

  /**
   * Who is calling, if anybody says so: by bearer token (its signature and claims) or by cookie, and then by the live session in
   * the store, so that a revocation holds at once (ASVS 7.4.1). A store that does not answer is a 503, never a 401. What a cookie
   * speaks for must come from a page of ours. The access token of a cookie session is for other services: here it only reads, or
   * whoever got hold of it could do without the CSRF token.
   * A cookie of a session that has ended is taken back.
   * @param takesLegacy whether a bearer token that is none of ours may be one of the replaced service
   * @throws RefusalError unauthenticated, session-superseded, account-suspended, csrf or forbidden
   */
  async function identify(request: FastifyRequest, reply: FastifyReply, takesLegacy = false): Promise<Principal | null> {
    const authorization = request.raw.headersDistinct['authorization'];
    const cookie = authorization === undefined ? cookies.read(request, 'session') : null;
    if (authorization === undefined && cookie === null) return null;
    const bearer = bearerOf(authorization);
    if (cookie === null && bearer === null) throw unauthenticated('Bearer');
    const client = clientOf(request, cookies);
    const found =
      cookie === null
        ? bearer && (await byToken(bearer))
        : await store.hot.authenticateByCookie(secrets.ticketHash(cookie), client, slide, clock.now());
    const legacy = !found && bearer !== null && takesLegacy ? await legacyCaller?.(bearer) : null;
    if (isRefusal(legacy)) throw new RefusalError(legacy);
    if (legacy) return { ...legacy, isByCookie: false };
    if (!found) throw unauthenticated('Bearer error="invalid_token"');
    if (cookie !== null && found.endedBecause !== null) cookies.write(request, reply, SESSION_OVER.cookies);
    if (found.endedBecause === 'superseded') throw unauthenticated('Bearer error="invalid_token"', refuse('session-superseded'));
    if (found.endedBecause !== null) throw unauthenticated('Bearer error="invalid_token"');
    const { account, session } = found;
    if (account.status === 'suspended') throw new RefusalError(refuse('account-suspended'));
    const forged = cookie === null ? null : csrf.refuseForged(request, session.id);
    if (forged) throw new RefusalError(forged);
    if (cookie === null && session.transport === 'cookie' && !isSafe(request)) throw cookieNeeded();
    // Other services show access tokens that were given to them: where those come from says nothing.
    if (cookie !== null && (await hasMoved(session, client))) throw unauthenticated('Bearer error="invalid_token"');
    return { account, session, isByCookie: cookie !== null };
  }

  /**
   * Lets in whom the route is open to. Changing routes draw on the account's limit.
   * @throws RefusalError as `identify`, or insufficient-user-authentication, forbidden or rate-limited
   */
  async function guard(request: FastifyRequest, reply: FastifyReply, access: SessionAccess): Promise<Principal> {
    const principal = await identify(request, reply, access.takesLegacyTokens === true && isSafe(request));
    if (principal === null) throw unauthenticated('Bearer');
    const { account, session } = principal;
    if (!isSafe(request)) await request.limits?.addAccount(account.id);
    const { permission } = access;
    if (permission && !permissionsOf(account.roles).includes(permission)) {
      const about = { permission, reason: 'no-permission' as const };
      const client = clientOf(request, cookies);
      throw new RefusalError(await store.transaction((tx) => deny({ secrets }, tx, principal, about, client, clock.now())));
    }
    const needsAal2 = access.aal === 'aal2' || (isRequired && !access.beforeSecondFactor);
    if (needsAal2 && session.acr !== 'aal2') throw new RefusalError(refuseAal1('A second factor is needed here.'));
    if (access.stepUp && session.transport === 'cookie' && !principal.isByCookie) throw cookieNeeded();
    if (access.stepUp) {
      const enrolled = await store.read((records) => records.authenticators.secondFactors(account.id));
      const refusal = refuseWithoutStepUp(session, enrolled, stepUpMaxAgeSeconds, clock.now());
      if (refusal) throw new RefusalError(refusal);
    }
    return principal;
  }

  /** Who is calling, where nobody has to: a browser whose session has ended is nobody, and can begin anew. @throws as `identify` */
  async function identifyIfThere(request: FastifyRequest, reply: FastifyReply): Promise<Principal | null> {
    const isShown = request.raw.headersDistinct['authorization'] !== undefined;
    return isShown ? await identify(request, reply) : await identifyIfLive(request, reply);
  }

  /** Who is calling, if anybody is signed in. @throws as `identify`, but for what is over or was never valid */
  async function identifyIfLive(request: FastifyRequest, reply: FastifyReply): Promise<Principal | null> {
    try {
      return await identify(request, reply);
    } catch (error) {
      if (error instanceof RefusalError && PROBLEMS[error.refusal.refused].status === 401) return null;
      throw error;
    }
  }

  return { identifyIfThere, identifyIfLive, guard };
}

export type AccessCheck = ReturnType<typeof accessCheck>;

/** The bearer token of RFC 6750 2.1. Two Authorization headers are nobody's: Node joins some headers and drops others. */
function bearerOf(given: readonly string[] | undefined): string | null {
  if (given?.length !== 1) return null;
  return /^Bearer ([A-Za-z0-9._~+/=-]+)$/i.exec(given[0] ?? '')?.[1] ?? null;
}

function cookieNeeded(): RefusalError {
  return new RefusalError(refuse('forbidden', { detail: 'This needs the session cookie itself, not a token of its session.' }));
}

function unauthenticated(challenge: string, refusal: Refusal = refuse('unauthenticated')): RefusalError {
  return new RefusalError(refusal, { 'www-authenticate': challenge });
}
