import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';

export type LegacyIssuer = {
  url: string;
  /** How often the set was asked for. */
  fetched(): number;
  /** What it answers from now on: the set, an error, something else, or nothing at all. */
  answer(how: 'set' | 'error' | 'silence' | RequestListener): void;
  /** Another key signs from now on, and is the only one in the set. */
  rotate(): Promise<void>;
  sign(claims: JWTPayload, header?: object): Promise<string>;
  /** The public key that signs, as JWKS has it. */
  jwk(): Record<string, unknown>;
  stop(): Promise<void>;
};

/** The service that is being replaced, as far as its key set goes. */
export async function legacyIssuer(): Promise<LegacyIssuer> {
  let count = 0;
  let how: Parameters<LegacyIssuer['answer']>[0] = 'set';
  const newKey = async (kid: string) => {
    const { privateKey, publicKey } = await generateKeyPair('RS256');
    return { kid, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg: 'RS256', use: 'sig' } };
  };
  let key = await newKey('old-1');
  const server = createServer((request, response) => {
    count += 1;
    if (typeof how === 'function') return void how(request, response);
    if (how === 'set') response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ keys: [key.jwk] }));
    if (how === 'error') response.writeHead(502).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/.well-known/jwks.json`,
    fetched: () => count,
    answer: (next) => {
      how = next;
    },
    async rotate() {
      key = await newKey(`${key.kid}+`);
    },
    sign: (claims, header = {}) => new SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid: key.kid, ...header }).sign(key.privateKey),
    jwk: () => key.jwk,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
