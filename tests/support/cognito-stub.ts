import { createHmac, generateKeyPairSync, type KeyObject, randomUUID } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { type JWTPayload, SignJWT } from 'jose';
import type { Environment } from '#src/config.ts';
import { newEmail, PASSWORD } from './people.ts';

export type StubUser = {
  email: string;
  password: string;
  username: string;
  sub: string;
  isVerified: boolean;
  /** The challenges that its sign-in goes through, each in its turn. */
  challenges: string[];
  /** What SELECT_MFA_TYPE lets it choose from. */
  offers: string[];
  /** What it has not, and its pool requires with a new password. */
  requiredAttributes: string[];
};

type Asked = { target: string; body: Record<string, unknown> & { AuthParameters?: Record<string, string> } };
/** An error of Cognito, or an answer. */
type Reply = { error: string; message?: string; status?: number } | Record<string, unknown>;

export type CognitoStub = {
  settings: Environment;
  issuer: string;
  clientId: string;
  users: Map<string, StubUser>;
  /** Every question, in its order. */
  asked: Asked[];
  jwksFetches: number;
  add(user?: Partial<StubUser>): StubUser;
  /** What every question gets instead; null: as usual, `silence`: nothing at all. */
  reply: ((asked: Asked) => Reply | 'silence' | null) | null;
  /** Whether the keys can be had. */
  hasKeys: boolean;
  /** How long they take. */
  keysAfterMs: number;
  /** Withdraws its key for another one, of that name or the same. @returns what the old one still signs with */
  replaceKey(kid?: string): Signing;
  idToken(user: StubUser, claims?: Claims, how?: Signing): Promise<string>;
  accessToken(user: StubUser, claims?: Claims, how?: Signing): Promise<string>;
  stop(): Promise<void>;
};
/** `undefined` takes a claim away. */
export type Claims = { [Name in keyof JWTPayload]?: JWTPayload[Name] | undefined };
type Signing = { key?: KeyObject; kid?: string; expires?: string | number };

const CODE = '246810';
const CLIENT_SECRET = 'the secret of the app client';

/** What the emulator cannot do: throttling, NotAuthorizedException, SECRET_HASH that is checked, keys that cannot be had. */
export async function cognitoStub(): Promise<CognitoStub> {
  let present = keyNamed('stub');
  const userPoolId = 'eu-central-1_Stub';
  const clientId = randomUUID();
  const open = new Set<ServerResponse>();
  const spent = new Set<string>();

  const server = createServer(async (request, response) => {
    const text = Buffer.concat(await request.toArray()).toString();
    if (request.method === 'GET') {
      stub.jwksFetches += 1;
      await delay(stub.keysAfterMs);
      if (!stub.hasKeys) return void response.writeHead(500).end();
      return void response.end(JSON.stringify({ keys: [present.jwk] }));
    }
    const asked: Asked = { target: String(request.headers['x-amz-target']).split('.')[1] ?? '', body: JSON.parse(text) };
    stub.asked.push(asked);
    const reply = stub.reply?.(asked) ?? (await answer(asked));
    if (reply === 'silence') return void open.add(response);
    const [status, body] =
      'error' in reply ? [reply['status'] ?? 400, { __type: reply['error'], message: reply['message'] ?? '' }] : [200, reply];
    response.writeHead(Number(status), { 'content-type': 'application/x-amz-json-1.1' }).end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const issuer = `${endpoint}/${userPoolId}`;

  const sign = (claims: Claims, { key = present.key, kid = present.kid, expires = '1h' }: Signing = {}) => {
    const iss = claims.iss ?? issuer;
    return new SignJWT({ ...claims, iss } as JWTPayload)
      .setProtectedHeader({ alg: 'RS256', kid })
      .setIssuedAt()
      .setExpirationTime(expires)
      .sign(key);
  };
  const now = () => Math.floor(Date.now() / 1000);

  const stub: CognitoStub = {
    settings: {
      COGNITO_ENDPOINT: endpoint,
      COGNITO_USER_POOL_ID: userPoolId,
      COGNITO_CLIENT_ID: clientId,
      COGNITO_CLIENT_SECRET: CLIENT_SECRET,
      COGNITO_TIMEOUT_MS: '5000',
    },
    issuer,
    clientId,
    users: new Map(),
    asked: [],
    jwksFetches: 0,
    reply: null,
    hasKeys: true,
    keysAfterMs: 0,
    replaceKey(name) {
      const { key, kid } = present;
      present = keyNamed(name ?? kid);
      return { key, kid };
    },
    add(given = {}) {
      const email = given.email ?? newEmail();
      const user = {
        email,
        password: PASSWORD,
        username: email,
        sub: randomUUID(),
        isVerified: true,
        challenges: [],
        offers: ['SMS_MFA', 'SOFTWARE_TOKEN_MFA'],
        requiredAttributes: [],
        ...given,
      };
      stub.users.set(user.username, user);
      return user;
    },
    idToken: (user, claims, how) => {
      const { sub, email, username, isVerified } = user;
      const own = {
        sub,
        email,
        email_verified: isVerified,
        'cognito:username': username,
        aud: clientId,
        token_use: 'id',
        auth_time: now(),
      };
      return sign({ ...own, ...claims }, how);
    },
    accessToken: ({ sub, username }, claims, how) =>
      sign({ sub, username, client_id: clientId, token_use: 'access', auth_time: now(), ...claims }, how),
    async stop() {
      for (const response of open) response.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };

  async function answer({ target, body }: Asked): Promise<Reply> {
    if (target === 'GetUser') {
      const payload = JSON.parse(Buffer.from(String(body['AccessToken']).split('.')[1] ?? '', 'base64url').toString());
      const user = [...stub.users.values()].find(({ sub }) => sub === payload.sub);
      if (!user) return { error: 'NotAuthorizedException', message: 'Access Token has been revoked' };
      const verified = { Name: 'email_verified', Value: String(user.isVerified) };
      return {
        Username: user.username,
        UserAttributes: [{ Name: 'sub', Value: user.sub }, { Name: 'email', Value: user.email }, verified],
      };
    }
    const given = (body.AuthParameters ?? body['ChallengeResponses'] ?? {}) as Record<string, string>;
    const expected = createHmac('sha256', CLIENT_SECRET).update(`${given['USERNAME']}${clientId}`).digest('base64');
    if (given['SECRET_HASH'] !== expected)
      return { error: 'NotAuthorizedException', message: `Unable to verify secret hash for client ${clientId}` };
    const user = stub.users.get(given['USERNAME'] ?? '');
    if (target === 'InitiateAuth') {
      if (user === undefined || user.password !== given['PASSWORD'])
        return { error: 'NotAuthorizedException', message: 'Incorrect username or password.' };
      return await next(user, 0);
    }
    const session = String(body['Session']);
    const [name = '', place] = session.split(' ');
    if (!user || name !== body['ChallengeName']) return { error: 'NotAuthorizedException', message: 'Invalid session for the user.' };
    if (spent.has(session)) {
      return { error: 'NotAuthorizedException', message: 'Invalid session for the user, session can only be used once.' };
    }
    if (name === 'SELECT_MFA_TYPE') {
      const choice = given['ANSWER'] ?? '';
      if (!user.offers.includes(choice)) return { error: 'InvalidParameterException', message: 'Invalid MFA type' };
      spent.add(session);
      return challenge(user, choice === 'EMAIL_MFA' ? 'EMAIL_OTP' : choice, Number(place));
    }
    if (name === 'NEW_PASSWORD_REQUIRED') {
      if (user.requiredAttributes.some((attribute) => given[`userAttributes.${attribute}`] === undefined))
        return { error: 'InvalidParameterException', message: 'Missing required attributes' };
      if (String(given['NEW_PASSWORD']).length < 12) return { error: 'InvalidPasswordException', message: 'Password not long enough' };
      user.password = given['NEW_PASSWORD'] ?? '';
    } else if (given[`${name}_CODE`] !== CODE) return { error: 'CodeMismatchException', message: 'Code mismatch' };
    spent.add(session);
    return await next(user, Number(place) + 1);
  }

  async function next(user: StubUser, place: number): Promise<Reply> {
    const name = user.challenges[place];
    if (name === undefined)
      return { AuthenticationResult: { IdToken: await stub.idToken(user), AccessToken: await stub.accessToken(user) } };
    return challenge(user, name, place);
  }

  function challenge(user: StubUser, name: string, place: number): Reply {
    const about: Record<string, Record<string, string>> = {
      SELECT_MFA_TYPE: { MFAS_CAN_CHOOSE: JSON.stringify(user.offers) },
      NEW_PASSWORD_REQUIRED: {
        userAttributes: JSON.stringify({ email: user.email }),
        requiredAttributes: JSON.stringify(user.requiredAttributes.map((attribute) => `userAttributes.${attribute}`)),
      },
    };
    const parameters = { USER_ID_FOR_SRP: user.username, ...about[name] };
    return { ChallengeName: name, Session: `${name} ${place} ${randomUUID()}`, ChallengeParameters: parameters };
  }

  return stub;
}

function keyNamed(kid: string) {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { kid, key: privateKey, jwk: { ...publicKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'RS256' } };
}

/** The code that every challenge of the stub takes. */
export const STUB_CODE = CODE;
