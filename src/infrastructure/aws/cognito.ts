import { createHmac, randomBytes } from 'node:crypto';
import {
  type ChallengeNameType,
  CognitoIdentityProviderClient,
  CognitoIdentityProviderServiceException,
  GetUserCommand,
  InitiateAuthCommand,
  RespondToAuthChallengeCommand,
} from '@aws-sdk/client-cognito-identity-provider';
import { DependencyDown } from '#application/ports/errors.ts';
import type { Challenge, ChallengeAnswer, FederatedIdentity, ProviderAnswer } from '#application/ports/federated-identity.ts';
import type { Dependency } from '#application/ports/services.ts';
import { circuit, NoAnswer } from './circuit.ts';
import { type Authenticated, challengeIn, responseTo, SELECT } from './cognito-challenges.ts';
import { meaningOf, unavailable } from './cognito-errors.ts';
import { cognitoTokens, type Pool } from './cognito-tokens.ts';

/** `timeoutMs`: the longest that one question takes. */
export type CognitoSettings = Pool & {
  /** null: the app client has none. */
  clientSecret: string | null;
  /** Tells the operator what nobody else is told: that the pool refuses our settings. */
  onMisconfigured: (error: unknown) => void;
};

/** What the pool takes at all (API reference of InitiateAuth); longer is wrong without asking. */
const LONGEST = { username: 128, password: 256 };

/**
 * AWS Cognito by its own SDK: USER_PASSWORD_AUTH with SECRET_HASH, its challenges, its tokens. None of the calls is signed, so no
 * credentials of AWS are needed. Cognito is asked once a question, never again by itself: a sign-in would count twice there.
 */
export function cognito(settings: CognitoSettings): FederatedIdentity & { dependency: Dependency } {
  const { userPoolId, clientId, clientSecret, endpoint, timeoutMs, onMisconfigured } = settings;
  const client = new CognitoIdentityProviderClient({
    region: userPoolId.split('_')[0] ?? '',
    ...(endpoint === null ? {} : { endpoint }),
    maxAttempts: 1,
    credentials: { accessKeyId: 'none', secretAccessKey: 'none' }, // no file or metadata service is asked for what is not used
  });
  const tokens = cognitoTokens(settings);
  const wire = circuit('cognito');

  /** Of `username` with our secret (developer guide, "Computing secret hash values"). */
  function secretHash(username: string): Record<string, string> {
    if (clientSecret === null) return {};
    return {
      SECRET_HASH: createHmac('sha256', clientSecret)
        .update(username + clientId)
        .digest('base64'),
    };
  }

  /** @returns what it answered, its own errors among it @throws DependencyDown when it did not */
  async function asked<T>(send: (how: { abortSignal: AbortSignal }) => Promise<T>): Promise<T | CognitoIdentityProviderServiceException> {
    return await wire.run(async () => {
      try {
        return await send({ abortSignal: AbortSignal.timeout(timeoutMs) });
      } catch (error) {
        if (error instanceof CognitoIdentityProviderServiceException) return error;
        throw new NoAnswer(error);
      }
    });
  }

  function respond({ asks, state, ...challenge }: Challenge, given: string, how: { abortSignal: AbortSignal }): Promise<Authenticated> {
    const question = {
      ClientId: clientId,
      ChallengeName: asks as ChallengeNameType,
      Session: state,
      ChallengeResponses: { ...responseTo({ ...challenge, asks, state }, given), ...secretHash(challenge.username) },
    };
    return client.send(new RespondToAuthChallengeCommand(question), how);
  }

  /** A choice of one is none: it is made at once. */
  async function withoutChoiceOfOne(answer: Authenticated, typed: string, how: { abortSignal: AbortSignal }): Promise<Authenticated> {
    const asked = answer.ChallengeName === SELECT ? challengeIn(answer, typed) : null;
    if (asked?.kind !== 'challenge') return answer;
    const [method, ...others] = asked.challenge.methods;
    return method === undefined || others.length > 0 ? answer : await respond(asked.challenge, method, how);
  }

  async function read(answer: Authenticated, typed: string, hasKeys: boolean): Promise<ProviderAnswer> {
    const asked = challengeIn(answer, typed);
    if (asked !== null) return asked;
    if (!hasKeys) throw new DependencyDown('cognito');
    const claims = await tokens.verify(answer.AuthenticationResult?.IdToken ?? '');
    if (claims?.use === 'id') return { kind: 'proven', identity: claims.identity };
    const misfit = new Error('the ID token of a sign-in is none of COGNITO_USER_POOL_ID for COGNITO_CLIENT_ID');
    onMisconfigured(misfit);
    throw unavailable({ kind: 'misconfigured' }, misfit);
  }

  /** @throws DependencyDown for what is nobody's mistake who signs in */
  function meaning(error: CognitoIdentityProviderServiceException, step: 'password' | 'challenge') {
    const found = meaningOf(error, step);
    if (found.kind === 'misconfigured') onMisconfigured(error);
    if (found.kind === 'later' || found.kind === 'misconfigured') throw unavailable(found, error);
    return found;
  }

  async function signIn(username: string, password: string): Promise<ProviderAnswer> {
    if (username.length > LONGEST.username || password.length > LONGEST.password) return { kind: 'wrong', reason: 'too-long-for-provider' };
    const parameters = { USERNAME: username, PASSWORD: password, ...secretHash(username) };
    const question = { AuthFlow: 'USER_PASSWORD_AUTH' as const, ClientId: clientId, AuthParameters: parameters };
    // The keys for its tokens come meanwhile: both together take no longer than one may.
    const [answer, hasKeys] = await Promise.all([
      asked(async (how) => await withoutChoiceOfOne(await client.send(new InitiateAuthCommand(question), how), username, how)),
      tokens.warm(),
    ]);
    if (!(answer instanceof CognitoIdentityProviderServiceException)) return await read(answer, username, hasKeys);
    const found = meaning(answer, 'password');
    return found.kind === 'wrong' ? found : { kind: 'wrong', reason: 'wrong-at-provider' };
  }

  async function answerTo(challenge: Challenge, given: string): Promise<ChallengeAnswer> {
    const { username } = challenge;
    const [answer, hasKeys] = await Promise.all([
      asked(async (how) => await withoutChoiceOfOne(await respond(challenge, given, how), username, how)),
      tokens.warm(),
    ]);
    return answer instanceof CognitoIdentityProviderServiceException ? meaning(answer, 'challenge') : await read(answer, username, hasKeys);
  }

  return {
    name: 'cognito',
    signIn,

    async decoy(username) {
      await signIn(username.slice(0, LONGEST.username), randomBytes(18).toString('base64'));
    },

    answer: answerTo,
    choose: answerTo,

    async verify(token) {
      const claims = await tokens.verify(token);
      if (claims === null) return null;
      return { identity: claims.identity, askEmail: claims.use === 'access' ? () => emailOf(token) : null };
    },

    dependency: { name: 'cognito', optional: true, check: async () => (wire.isOpen() ? 'down' : 'up') },
  };

  async function emailOf(accessToken: string): Promise<{ verifiedEmail: string | null } | null> {
    const answer = await asked((how) => client.send(new GetUserCommand({ AccessToken: accessToken }), how));
    if (answer instanceof CognitoIdentityProviderServiceException) {
      meaning(answer, 'password'); // revoked, without the scope, or gone: all of them wrong
      return null;
    }
    const attributes = new Map((answer.UserAttributes ?? []).map(({ Name, Value }) => [Name, Value]));
    const isOwn = attributes.get('email_verified') === 'true' && !attributes.has('identities');
    return { verifiedEmail: isOwn ? (attributes.get('email') ?? null) : null };
  }
}
