import type { FastifyRequest } from 'fastify';
import type { CsrfTokens } from '#application/ports/services.ts';
import { type Refusal, refuse } from '#domain/problems.ts';
import type { Cookies } from './cookies.ts';

const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS']);

export function isSafe({ method }: FastifyRequest): boolean {
  return SAFE_METHODS.has(method);
}

/**
 * Keeps foreign pages from using a browser's cookies (ASVS 3.5.1 to 3.5.3, 63B-4 5.1; STANDARDS T16). Of bodies only JSON is read
 * (json-body.ts), what the browser says of the page must be ours, and the page must show the session's token: a neighbour host can
 * plant a csrf_token cookie beside ours, yet none that is this session's.
 * @param ownOrigins of our own pages and of those in CORS_ORIGINS
 */
export function csrf({ csrfTokens, cookies, ownOrigins }: { csrfTokens: CsrfTokens; cookies: Cookies; ownOrigins: readonly string[] }) {
  const own = new Set(ownOrigins);

  /** Whether a page of somebody else makes the request, by Fetch Metadata and Origin. Programs send neither: they are no page. */
  function isForeign({ headers }: FastifyRequest): boolean {
    const { origin, 'sec-fetch-site': site } = headers;
    if (site === 'same-origin') return false;
    if (origin !== undefined) return !own.has(origin);
    return site !== undefined && site !== 'none';
  }

  return {
    /** For requests that would begin a session: nobody is signed in to a stranger's account by a stranger's page (login CSRF). */
    refuseForeign: (request: FastifyRequest): Refusal<'csrf'> | null =>
      isForeign(request) ? refuse('csrf', { detail: 'Pages of this origin may not do this; see CORS_ORIGINS.' }) : null,

    /** For requests that a cookie speaks for: the header, the readable cookie and the session must agree. */
    refuseForged(request: FastifyRequest, sessionId: string): Refusal<'csrf'> | null {
      if (isForeign(request)) return refuse('csrf', { detail: 'Pages of this origin may not do this; see CORS_ORIGINS.' });
      if (isSafe(request)) return null;
      const [shown, ...others] = request.raw.headersDistinct['x-csrf-token'] ?? [];
      const isSame = shown !== undefined && others.length === 0 && cookies.all(request, 'csrf_token').includes(shown);
      if (isSame && csrfTokens.isFor(sessionId, shown)) return null;
      return refuse('csrf', { detail: 'Send the value of the csrf_token cookie as X-CSRF-Token.' });
    },
  };
}

export type Csrf = ReturnType<typeof csrf>;
