import { createLocalJWKSet, decodeJwt, type JSONWebKeySet, jwtVerify } from 'jose';
import { JWKS_MAX_AGE_SECONDS } from '#domain/key-rotation.ts';

/** A resource server, which verifies access tokens of the service by itself. */
export type Verifier = (token: string, at: Date) => Promise<unknown>;

/**
 * One that keeps the key set for the whole of its max-age, and asks nobody about a key that it does not know.
 * @param firstSeconds when its first set ends, to stagger many of them
 */
export function verifier(origin: string, issuer: string, firstSeconds: number): Verifier {
  let kept: { keys: ReturnType<typeof createLocalJWKSet>; untilMs: number } | undefined;
  return async (token, at) => {
    if (kept === undefined || at.getTime() >= kept.untilMs) {
      const answer = await fetch(`${origin}/.well-known/jwks.json`);
      const maxAge = Number(/^public, max-age=(\d+)$/.exec(answer.headers.get('cache-control') ?? '')?.[1]);
      if (!(maxAge >= JWKS_MAX_AGE_SECONDS)) throw new Error(`the key set may be kept for ${maxAge} seconds`);
      const seconds = kept === undefined ? firstSeconds : maxAge;
      kept = { keys: createLocalJWKSet((await answer.json()) as JSONWebKeySet), untilMs: at.getTime() + seconds * 1000 };
    }
    return await jwtVerify(token, kept.keys, { issuer, audience: issuer, typ: 'at+jwt', currentDate: at });
  };
}

export const expiresAtMs = (token: string): number => (decodeJwt(token).exp ?? 0) * 1000;
