import { z } from 'zod';
import type { Dependency, KeyPublisher } from '#application/ports/services.ts';
import { shared } from '#application/shared.ts';
import { PROBLEMS, type ProblemCode, refuse } from '#domain/problems.ts';
import { type Route, route } from '../route.ts';

const Health = z.object({ status: z.literal('ok') }).meta({ id: 'Health' });
const State = z.enum(['up', 'degraded', 'down']);
const Readiness = z
  .object({ status: z.enum(['ready', 'not-ready', 'stopping']), dependencies: z.record(z.string(), State) })
  .meta({ id: 'Readiness' });
const Jwks = z.object({ keys: z.array(z.record(z.string(), z.string())) }).meta({ id: 'Jwks' });
const Metadata = z
  .object({
    issuer: z.string(),
    jwks_uri: z.string(),
    response_types_supported: z.array(z.string()),
    grant_types_supported: z.array(z.string()),
    subject_types_supported: z.array(z.string()),
    id_token_signing_alg_values_supported: z.array(z.string()),
    claims_supported: z.array(z.string()),
    acr_values_supported: z.array(z.string()),
    introspection_endpoint: z.string(),
    introspection_endpoint_auth_methods_supported: z.array(z.string()),
    revocation_endpoint: z.string(),
    revocation_endpoint_auth_methods_supported: z.array(z.string()),
    service_documentation: z.string(),
  })
  .meta({ id: 'Metadata' });

const JSON_TYPE = { 'content-type': 'application/json; charset=utf-8' };

export type OperationsNeeds = { dependencies: Dependency[]; isStopping: () => boolean; keys: KeyPublisher; issuer: string };

/** What Kubernetes, balancers and resource servers ask. Liveness asks nobody: a dead database must not restart the service. */
export function operationRoutes({ dependencies, isStopping, keys, issuer }: OperationsNeeds): Route[] {
  const common = { method: 'GET', tag: 'Operations', access: 'public', neverBlocked: true, problems: [] } as const;
  const alive = Buffer.from('{"status":"ok"}');
  const look = shared(() => Promise.all(dependencies.map(async (dependency) => ({ ...dependency, state: await dependency.check() }))));
  const live = (path: string) =>
    route({
      ...common,
      path,
      summary: 'Whether the process answers',
      responses: { 200: { description: 'It does', schema: Health } },
      handler: async () => ({ status: 200, body: alive, headers: JSON_TYPE }),
    });
  const metadata = (path: string, summary: string) =>
    route({
      ...common,
      path,
      tag: 'For other services',
      summary,
      responses: { 200: { description: 'Where the keys are, and what tokens hold', schema: Metadata } },
      handler: async () => ({ status: 200, body: metadataOf(issuer, keys), headers: { 'cache-control': 'public, max-age=3600' } }),
    });

  return [
    live('/health'),
    live('/health/live'),
    route({
      ...common,
      path: '/health/ready',
      summary: 'Whether requests can be served',
      responses: {
        200: { description: 'Ready', schema: Readiness },
        503: { description: 'A dependency that it cannot do without is down, or it is stopping', schema: Readiness },
      },
      async handler() {
        const states = await look();
        const isDown = states.some(({ state, optional }) => state === 'down' && !optional);
        const status = isStopping() ? 'stopping' : isDown ? 'not-ready' : 'ready';
        const body = { status, dependencies: Object.fromEntries(states.map(({ name, state }) => [name, state])) };
        return { status: status === 'ready' ? 200 : 503, body, ...(status === 'ready' ? {} : { headers: { 'retry-after': '2' } }) };
      },
    }),
    route({
      ...common,
      path: '/.well-known/jwks.json',
      tag: 'For other services',
      summary: 'The keys that verify access tokens (RFC 7517)',
      description: 'Every key that may verify a live token, and the next one. Keep it for max-age, and ask again for an unknown kid.',
      responses: { 200: { description: 'The key set', schema: Jwks }, 304: { description: 'Not changed' } },
      async handler({ ifNoneMatch }) {
        const { body, etag, maxAgeSeconds } = keys.jwks();
        const headers = { ...JSON_TYPE, etag, 'cache-control': `public, max-age=${maxAgeSeconds}` };
        const isKept = ifNoneMatch !== undefined && (ifNoneMatch.trim() === '*' || ifNoneMatch.includes(etag)); // RFC 9110 13.1.2
        return isKept ? { status: 304, headers } : { status: 200, body, headers };
      },
    }),
    metadata('/.well-known/openid-configuration', 'Discovery (OpenID Connect)'),
    metadata('/.well-known/oauth-authorization-server', 'Discovery (RFC 8414)'),
    route({
      ...common,
      path: '/problems/{code}',
      summary: 'What a problem type means',
      params: z.strictObject({ code: z.string().max(64) }),
      problems: ['not-found'],
      responses: {
        200: {
          description: 'The problem type',
          schema: z.object({ code: z.string(), title: z.string(), status: z.int(), detail: z.string() }),
        },
      },
      async handler({ params: { code } }) {
        if (!Object.hasOwn(PROBLEMS, code)) return refuse('not-found');
        return { status: 200, body: { code, ...PROBLEMS[code as ProblemCode] }, headers: { 'cache-control': 'public, max-age=3600' } };
      },
    }),
  ];
}

/**
 * RFC 8414 and OpenID Connect Discovery for a resource server. There is no authorization endpoint: no response type and no
 * OAuth grant is claimed beyond what is there.
 */
function metadataOf(issuer: string, keys: KeyPublisher): z.input<typeof Metadata> {
  return {
    issuer,
    jwks_uri: `${issuer}/.well-known/jwks.json`,
    response_types_supported: [],
    grant_types_supported: [],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: keys.algorithms(),
    claims_supported: ['iss', 'sub', 'aud', 'exp', 'iat', 'jti', 'client_id', 'sid', 'auth_time', 'acr', 'amr', 'roles', 'scope'],
    acr_values_supported: ['aal1', 'aal2'],
    introspection_endpoint: `${issuer}/api/auth/introspect`,
    introspection_endpoint_auth_methods_supported: ['client_secret_basic'],
    revocation_endpoint: `${issuer}/api/auth/revoke`,
    revocation_endpoint_auth_methods_supported: ['client_secret_basic'],
    service_documentation: `${issuer}/docs`,
  };
}
