import { setTimeout as delay } from 'node:timers/promises';
import { createRemoteJWKSet, customFetch, errors, type JWTVerifyGetKey } from 'jose';
import { DependencyDown } from '#application/ports/errors.ts';
import { boundedBody } from '#infrastructure/bounded-body.ts';

const NAME = 'legacy-jwks';
/** A request waits no longer; what was asked for comes in for the next one. */
const WAIT_MS = 300;
const FETCH_MS = 5000;
/** How long a set is taken for the present one. */
const KEEP_MS = 10 * 60_000;
/** An unknown `kid` has the set fetched anew, this long after the last time: whoever makes up kids has it fetched no more often. */
const ASK_AGAIN_MS = 30_000;
const ASK_AGAIN_AFTER_FAILURE_MS = 2000;
const MOST_BYTES = 256 * 1024;

/**
 * The keys of another issuer, by its JWKS. One fetch at a time, seldom, of a bounded set, and nobody waits long.
 * @returns what jose asks for a key; it throws DependencyDown when there is no set to look into, and what jose throws when the set of
 * now has no such key
 */
export function remoteKeys(url: string): JWTVerifyGetKey {
  let failedAtMs = Number.NEGATIVE_INFINITY;
  const fetchBounded: typeof fetch = async (input, init) => {
    if (performance.now() - failedAtMs < ASK_AGAIN_AFTER_FAILURE_MS) throw new DependencyDown(NAME);
    try {
      const response = await fetch(input, init);
      if (response.status !== 200) throw new Error(`${NAME} answers ${response.status}`);
      return new Response(await boundedBody(response, MOST_BYTES));
    } catch (error) {
      failedAtMs = performance.now();
      throw error;
    }
  };
  const keys = createRemoteJWKSet(new URL(url), {
    timeoutDuration: FETCH_MS,
    cacheMaxAge: KEEP_MS,
    cooldownDuration: ASK_AGAIN_MS,
    [customFetch]: fetchBounded,
  });
  return async (header, token) => {
    const found = keys(header, token);
    found.catch(() => {}); // it may fail after nobody waits any more
    const late = new AbortController();
    try {
      const patience = delay(WAIT_MS, undefined, { signal: late.signal }).then(() => Promise.reject(new DependencyDown(NAME)));
      patience.catch(() => {});
      return await Promise.race([found, patience]);
    } catch (error) {
      throw isAnswer(error) ? error : new DependencyDown(NAME, { cause: error });
    } finally {
      late.abort();
    }
  };
}

/** The set was there and says no. */
function isAnswer(error: unknown): boolean {
  return [errors.JWKSNoMatchingKey, errors.JWKSMultipleMatchingKeys, errors.JOSENotSupported].some((kind) => error instanceof kind);
}
