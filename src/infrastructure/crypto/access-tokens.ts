import { randomUUIDv7 } from 'node:crypto';
import type { AccessTokens } from '#application/ports/services.ts';
import { CLOCK_LEEWAY_SECONDS } from '#domain/key-rotation.ts';
import { permissionsOf } from '#domain/roles.ts';
import { decodeCanonical } from './base64url.ts';
import type { Keyring } from './keyring.ts';

const TYPE = 'at+jwt'; // RFC 9068 2.1: no other JWT can be taken for an access token
const MAX_TOKEN_LENGTH = 8192;
const MOST_REMEMBERED = 5000; // about 5 MB
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** RFC 9068 access tokens as compact JWS. The issuer signs for anyone's JWT library; the verifier takes our own tokens only. */
export function accessTokens(
  keyring: Keyring,
  { issuer, audience, clientId }: { issuer: string; audience: string; clientId: string },
): AccessTokens {
  const seconds = (instant: Date) => Math.floor(instant.getTime() / 1000);
  const headers = new Map<string, string>();
  /** Tokens whose signature was right, by their whole text: a client sends the same one for minutes. */
  const verified = new Map<string, Read>();
  const headerOf = (alg: string, kid: string) => {
    const known = headers.get(kid);
    if (known !== undefined) return known;
    const header = encode({ alg, typ: TYPE, kid });
    headers.set(kid, header);
    return header;
  };

  const self: AccessTokens = {
    async sign({ accountId, sessionId, issuedAt, expiresAt, authTime, acr, amr, roles }) {
      const key = keyring.current();
      const payload = encode({
        iss: issuer,
        sub: accountId,
        aud: audience,
        exp: seconds(expiresAt),
        iat: seconds(issuedAt),
        jti: randomUUIDv7(),
        client_id: clientId,
        sid: sessionId,
        auth_time: seconds(authTime),
        acr,
        amr,
        roles,
        scope: permissionsOf(roles).join(' '),
      });
      const input = `${headerOf(key.alg, key.kid)}.${payload}`;
      return `${input}.${(await key.sign(Buffer.from(input))).toString('base64url')}`;
    },

    verify(token, now) {
      const known = verified.get(token);
      const read = known ?? inspect(token, keyring, issuer, audience);
      if (read === null) return null;
      // What time and rotation change is asked every time.
      const at = seconds(now);
      if (read.exp <= at || read.iat > at + CLOCK_LEEWAY_SECONDS || keyring.find(read.kid) === null) return null;
      if (known === undefined) remember(verified, token, read);
      return { accountId: read.accountId, sessionId: read.sessionId };
    },

    claims: (token, now) => (self.verify(token, now) === null ? null : parseObject(token.split('.')[1] ?? '')),
  };
  return self;
}

type Read = { kid: string; exp: number; iat: number; accountId: string; sessionId: string };

/** Every check of RFC 8725 and RFC 9068 4 that applies; cheap ones first, and no input reaches a file or a query (ASVS 9.1, 9.2). */
function inspect(token: string, keyring: Keyring, issuer: string, audience: string): Read | null {
  if (token.length > MAX_TOKEN_LENGTH) return null;
  const [head, body, tail, ...more] = token.split('.');
  if (head === undefined || body === undefined || tail === undefined || more.length > 0) return null;

  const header = parseObject(head);
  if (header === null || Object.keys(header).length !== 3) return null; // alg, typ, kid: neither crit nor jku, jwk, x5u
  const { typ, kid, alg } = header;
  if (typ !== TYPE || typeof kid !== 'string') return null;
  const key = keyring.find(kid);
  if (key === null || alg !== key.alg) return null;

  const signature = decodeCanonical(tail);
  if (signature === null || !key.verify(Buffer.from(`${head}.${body}`), signature)) return null;

  const claims = parseObject(body);
  if (claims === null || claims['iss'] !== issuer || claims['aud'] !== audience) return null;
  const { exp, iat, sub, sid } = claims;
  if (typeof exp !== 'number' || typeof iat !== 'number' || !Number.isSafeInteger(exp) || !Number.isSafeInteger(iat)) return null;
  if ('nbf' in claims) return null; // we set none
  if (typeof sub !== 'string' || typeof sid !== 'string' || !UUID.test(sub) || !UUID.test(sid)) return null;
  return { kid, exp, iat, accountId: sub, sessionId: sid };
}

function remember(verified: Map<string, Read>, token: string, read: Read): void {
  if (verified.size >= MOST_REMEMBERED) for (const oldest of verified.keys()) if (verified.delete(oldest)) break;
  verified.set(token, read);
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function parseObject(part: string): Record<string, unknown> | null {
  const bytes = decodeCanonical(part);
  if (bytes === null) return null;
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
