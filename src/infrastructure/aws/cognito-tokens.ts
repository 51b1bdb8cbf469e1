import { JwtVerifier } from 'aws-jwt-verify';
import { CognitoJwtVerifier, validateCognitoJwtFields } from 'aws-jwt-verify/cognito-verifier';
import { FetchError, JwksValidationError, JwkValidationError } from 'aws-jwt-verify/error';
import type { Fetcher } from 'aws-jwt-verify/https';
import { SimpleJwksCache } from 'aws-jwt-verify/jwk';
import { DependencyDown } from '#application/ports/errors.ts';
import type { Identity } from '#application/ports/federated-identity.ts';

export type CognitoClaims = { identity: Identity; use: 'id' | 'access' };

const MOST_BYTES = 100_000;

/**
 * Tokens of one user pool for one of its clients: signature, issuer, client, `token_use`, times ("Verifying a JSON web token", Amazon
 * Cognito developer guide). The keys are fetched when a token is signed by one that is not known: one fetch at a time, and after one in
 * vain none for ten seconds, so that made-up key ids cost the pool nothing.
 * @param endpoint of an emulator; null: AWS, whose tokens name the pool in either of two forms
 */
export function cognitoTokens(pool: { userPoolId: string; clientId: string; endpoint: string | null; timeoutMs: number }) {
  const { userPoolId, clientId, endpoint, timeoutMs } = pool;
  const issuers = endpoint === null ? issuersOfAws(userPoolId) : [`${endpoint}/${userPoolId}`];
  const jwksCache = new SimpleJwksCache({ fetcher: fetcher(timeoutMs) });
  const verifier = JwtVerifier.create(
    issuers.map((issuer) => ({
      issuer,
      jwksUri: `${issuer}/.well-known/jwks.json`,
      audience: null, // of access tokens it is `client_id`
      customJwtCheck: ({ payload }: { payload: Parameters<typeof validateCognitoJwtFields>[0] }) =>
        validateCognitoJwtFields(payload, { tokenUse: null, clientId }),
    })),
    { jwksCache },
  );
  const [issuer = ''] = issuers;
  const jwksUri = `${issuer}/.well-known/jwks.json`;
  let isWarm = false;

  return {
    issuer,

    /** @returns null for anything less than a valid token @throws DependencyDown when the keys cannot be had */
    async verify(token: string): Promise<CognitoClaims | null> {
      try {
        return claimsOf(await verifier.verify(token), issuer);
      } catch (error) {
        if (isOutage(error)) throw new DependencyDown('cognito', { cause: error });
        if (error instanceof Error) return null;
        throw error;
      }
    },

    /** Has keys at hand. @returns whether it has; who waited for them in vain once need not wait again */
    async warm(): Promise<boolean> {
      if (isWarm) return true;
      try {
        await jwksCache.getJwks(jwksUri);
        isWarm = true;
      } catch {
        // An outage, as any: it is told to whoever needs the keys.
      }
      return isWarm;
    },
  };
}

function issuersOfAws(userPoolId: string): string[] {
  return [undefined, 'issuer-cognito-idp'].map((form) => CognitoJwtVerifier.parseUserPoolId(userPoolId, form).issuer);
}

function isOutage(error: unknown): boolean {
  return error instanceof FetchError || error instanceof JwksValidationError || error instanceof JwkValidationError;
}

type Payload = Awaited<ReturnType<ReturnType<typeof JwtVerifier.create>['verify']>>;

function claimsOf(payload: Payload, issuer: string): CognitoClaims | null {
  const { sub, token_use: use, auth_time: authTime, iat } = payload;
  if (typeof sub !== 'string' || sub === '' || (use !== 'id' && use !== 'access')) return null;
  const seconds = typeof authTime === 'number' ? authTime : iat;
  const username = payload['cognito:username'] ?? payload['username'];
  const identity = {
    issuer,
    subject: sub,
    username: typeof username === 'string' ? username : null,
    verifiedEmail: verifiedEmail(payload),
    authenticatedAt: new Date((seconds ?? 0) * 1000),
  };
  return { identity, use };
}

/** Of users whom yet another provider brought (`identities`), the pool repeats what that one said: it has verified nothing itself. */
function verifiedEmail({ email, email_verified: isVerified, identities }: Payload): string | null {
  return typeof email === 'string' && isVerified === true && identities === undefined ? email : null;
}

function fetcher(timeoutMs: number): Fetcher {
  return {
    async fetch(uri) {
      try {
        const answer = await fetch(uri, { redirect: 'error', signal: AbortSignal.timeout(timeoutMs) });
        if (!answer.ok) throw new Error(`status ${answer.status}`);
        const body = await answer.arrayBuffer();
        if (body.byteLength > MOST_BYTES) throw new Error(`more than ${MOST_BYTES} bytes`);
        return body;
      } catch (error) {
        throw new FetchError(uri, error instanceof Error ? error.message : String(error));
      }
    },
  };
}
