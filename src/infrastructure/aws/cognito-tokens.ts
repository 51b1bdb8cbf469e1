import { JwtVerifier } from 'aws-jwt-verify';
import { CognitoJwtVerifier, validateCognitoJwtFields } from 'aws-jwt-verify/cognito-verifier';
import { FetchError, JwksValidationError, JwkValidationError } from 'aws-jwt-verify/error';
import type { Fetcher } from 'aws-jwt-verify/https';
import { SimpleJwksCache } from 'aws-jwt-verify/jwk';
import { decomposeUnverifiedJwt } from 'aws-jwt-verify/jwt';
import { DependencyDown } from '#application/ports/errors.ts';
import type { Identity } from '#application/ports/federated-identity.ts';
import type { Clock } from '#application/ports/services.ts';
import { boundedBody } from '#infrastructure/bounded-body.ts';
import { renewed } from './renewed.ts';

export type CognitoClaims = { identity: Identity; use: 'id' | 'access' };

const MOST_BYTES = 100_000;

export type Pool = {
  userPoolId: string;
  clientId: string;
  /** Of an emulator; null: AWS, whose tokens name the pool in either of two forms. */
  endpoint: string | null;
  timeoutMs: number;
  clock: Clock;
  /** Tells the operator that the keys cannot be fetched anew, and the last ones go on. */
  onOldKeys: (error: unknown) => void;
};

/**
 * Tokens of one user pool for one of its clients: signature, issuer, client, `token_use`, times ("Verifying a JSON web token", Amazon
 * Cognito developer guide). The keys are fetched anew each hour (renewed.ts), so that one that the pool withdrew opens nothing more, and
 * when a token is signed by one that is not known: one fetch at a time, and after one in vain none for ten seconds, so that made-up key
 * ids cost the pool nothing.
 */
export function cognitoTokens({ userPoolId, clientId, endpoint, timeoutMs, clock, onOldKeys }: Pool) {
  const issuers = endpoint === null ? issuersOfAws(userPoolId) : [`${endpoint}/${userPoolId}`];
  const verifiers = new Map(issuers.map((issuer) => [issuer, renewed(() => verifierOf(issuer), clock, onOldKeys)]));
  const [issuer = ''] = issuers;

  /** With the keys of now. A new one each time: an old one knows a key by its name, though another has that name by now. */
  async function verifierOf(issuer: string) {
    const verifier = JwtVerifier.create(
      {
        issuer,
        jwksUri: `${issuer}/.well-known/jwks.json`,
        audience: null, // of access tokens it is `client_id`
        customJwtCheck: ({ payload }: { payload: Parameters<typeof validateCognitoJwtFields>[0] }) =>
          validateCognitoJwtFields(payload, { tokenUse: null, clientId }),
      },
      { jwksCache: new SimpleJwksCache({ fetcher: fetcher(timeoutMs) }) },
    );
    await verifier.hydrate();
    return verifier;
  }

  return {
    issuer,

    /** @returns null for anything less than a valid token @throws DependencyDown when the keys cannot be had */
    async verify(token: string): Promise<CognitoClaims | null> {
      try {
        const verifier = verifiers.get(decomposeUnverifiedJwt(token).payload.iss ?? '');
        return verifier ? claimsOf(await (await verifier()).verify(token), issuer) : null;
      } catch (error) {
        if (isOutage(error)) throw new DependencyDown('cognito', { cause: error });
        if (error instanceof Error) return null;
        throw error;
      }
    },

    /** Has keys at hand. @returns whether it has; who waited for them in vain once need not wait again */
    async warm(): Promise<boolean> {
      try {
        await verifiers.get(issuer)?.();
        return true;
      } catch {
        return false; // an outage, as any: it is told to whoever needs the keys
      }
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
        return await (await boundedBody(answer, MOST_BYTES)).arrayBuffer();
      } catch (error) {
        throw new FetchError(uri, error instanceof Error ? error.message : String(error));
      }
    },
  };
}
