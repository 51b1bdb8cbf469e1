import { decodeJwt, decodeProtectedHeader, errors, type JWTPayload, type JWTVerifyOptions, jwtVerify } from 'jose';
import type { LegacyTokens } from '#application/ports/services.ts';
import { CLOCK_LEEWAY_SECONDS } from '#domain/key-rotation.ts';
import { type AccessClaim, type SubjectForm, subjectOf } from '#domain/legacy-token.ts';
import { remoteKeys } from './remote-keys.ts';

/** What a JWKS can verify: public keys only, so that none of them is ever taken for the secret of an HMAC (RFC 8725 3.1). */
const BY_PUBLIC_KEY = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'];
const BY_SECRET = ['HS256'];
const TYPES = [undefined, 'JWT', 'at+jwt'];
const MAX_TOKEN_LENGTH = 8192;

export type LegacyIssuer = {
  jwksUrl: string | undefined;
  hs256Secret: string | undefined;
  /** None: its tokens say none. What a token says and nobody asked for is not taken on trust. */
  issuer: string | undefined;
  audience: string | undefined;
  isAccess: AccessClaim;
  subjectForm: SubjectForm;
  until: Date;
};

/**
 * Access tokens of the service that this one replaces. The algorithm in a token's header picks the one key that it may be verified
 * with, and nothing else: `HS256` the secret, the others a key of the JWKS.
 * @param isOurs whether a `kid` is that of a key of ours, whose tokens hang on a session and are never looked at here
 */
export function legacyTokens(old: LegacyIssuer, isOurs: (kid: string) => boolean): LegacyTokens {
  const keys = old.jwksUrl === undefined ? null : remoteKeys(old.jwksUrl);
  const secret = old.hs256Secret === undefined ? null : new TextEncoder().encode(old.hs256Secret);
  const verify = async (token: string, options: JWTVerifyOptions): Promise<JWTPayload | null> => {
    const { alg, kid, typ } = decodeProtectedHeader(token);
    if (!TYPES.includes(typ) || (kid !== undefined && isOurs(kid))) return null;
    if (alg === 'HS256') return secret && (await jwtVerify(token, secret, { ...options, algorithms: BY_SECRET })).payload;
    // Before anybody is asked for a key: whose token it says it is. Else a key of ours that was retired would be looked for elsewhere.
    if (decodeJwt(token).iss !== old.issuer) return null;
    return keys && (await jwtVerify(token, keys, { ...options, algorithms: BY_PUBLIC_KEY })).payload;
  };
  return {
    async verify(token, now) {
      if (now >= old.until || token.length > MAX_TOKEN_LENGTH) return null;
      const options = {
        ...(old.issuer === undefined ? {} : { issuer: old.issuer }),
        ...(old.audience === undefined ? {} : { audience: old.audience }),
        requiredClaims: ['exp', 'sub'],
        currentDate: now,
      };
      try {
        const claims = await verify(token, options);
        if (claims === null || isUnasked(claims, old) || isOfTheFuture(claims, now)) return null;
        return subjectOf(claims, old.isAccess, old.subjectForm);
      } catch (error) {
        // A key that is too small, or not of the kind that the algorithm needs, is a TypeError of jose.
        if (error instanceof errors.JOSEError || error instanceof TypeError) return null;
        throw error;
      }
    },
  };
}

function isUnasked({ iss, aud }: JWTPayload, old: LegacyIssuer): boolean {
  return (iss !== undefined && old.issuer === undefined) || (aud !== undefined && old.audience === undefined);
}

function isOfTheFuture({ iat }: JWTPayload, now: Date): boolean {
  return iat !== undefined && iat > now.getTime() / 1000 + CLOCK_LEEWAY_SECONDS;
}
