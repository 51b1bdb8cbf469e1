import { z } from 'zod';
import { PROBLEMS, type ProblemCode } from '#domain/problems.ts';
import { NDJSON } from './lines.ts';
import type { Route } from './route.ts';

/** The OpenAPI 3.1 document, made from the same route headers that validate and serialise (docs/architecture.md). */

type Json = Record<string, unknown>;

const TAGS: Record<string, string> = {
  'Registration and e-mail': 'Accounts begin here; whether an address has one is never told.',
  'Signing in': 'Sessions: a short access token for every service, a rotating refresh token for this one.',
  'The account': 'What a signed-in user sees and changes.',
  Authenticators: 'Second factors, passkeys and step-up (RFC 9470).',
  Administration: 'For people who run this service: each route by permission, all with two factors.',
  'For other services': 'Keys and metadata; keep them as long as their max-age says.',
  Operations: 'For Kubernetes, balancers and people who debug.',
  Development: 'Never in production.',
};

/** What the edge itself may answer, by what the route declares. */
function edgeProblems({ access, session, neverBlocked, body, params, query, limits, path, method }: Route): ProblemCode[] {
  const codes: ProblemCode[] = ['misdirected-request', 'internal-error'];
  if (!neverBlocked) codes.push('forbidden', 'rate-limited');
  if (body || params || query || method !== 'GET') codes.push('invalid-request');
  if (method !== 'GET') codes.push('payload-too-large', 'unsupported-media-type'); // what comes is read also where nothing is asked for
  if (path.startsWith('/api/') || limits) codes.push('unavailable');
  if (session === 'begins') codes.push('csrf');
  const isForService = access !== 'public' && 'serviceClient' in access;
  if (isForService) codes.push('unauthenticated');
  else if (access !== 'public' || session === 'if-there' || session === 'if-live') {
    codes.push('unauthenticated', 'account-suspended', 'csrf');
    if (session !== 'if-live') codes.push('session-superseded');
    if (method !== 'GET') codes.push('forbidden'); // the access token of a cookie session
  }
  if (access !== 'public' && !isForService) {
    if (access.permission) codes.push('forbidden');
    if (access.stepUp || access.aal === 'aal2' || !access.beforeSecondFactor) codes.push('insufficient-user-authentication');
  }
  return codes;
}

/** Every code that this route may answer with. */
export function problemsOf(route: Route): ProblemCode[] {
  return [...new Set([...route.problems, ...edgeProblems(route)])].sort();
}

export function openApiDocument(
  routes: readonly Route[],
  urlsOf: (route: Route) => string[],
  info: { title: string; issuer: string; version: string },
): Json {
  const paths: Record<string, Json> = {};
  const schemas: Json = { Problem: problemSchema(info.issuer) };
  for (const route of routes.filter(({ hidden }) => !hidden)) {
    for (const [index, url] of urlsOf(route).entries()) {
      const operation = operationOf(route, url, index, schemas);
      paths[url] = { ...paths[url], [route.method.toLowerCase()]: operation };
    }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: info.title,
      version: info.version,
      description: 'Sign-up, sign-in and sessions. Access tokens are RS256 JWTs (RFC 9068) that any service verifies with the JWKS.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: info.issuer }],
    tags: [...new Set(routes.filter(({ hidden }) => !hidden).map(({ tag }) => tag))].map((name) => ({
      name,
      description: TAGS[name] ?? name,
    })),
    paths,
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: 'An access token of this service' },
        cookie: {
          type: 'apiKey',
          in: 'cookie',
          name: '__Host-session',
          description: 'A sign-in with `transport: cookie`. Changes need the csrf_token cookie as X-CSRF-Token too.',
        },
        service: { type: 'http', scheme: 'basic', description: 'The credentials of a service (latchkey clients create)' },
      },
      schemas,
    },
  };
}

function operationOf(route: Route, url: string, index: number, schemas: Json): Json {
  const words = `${route.method.toLowerCase()} ${url.replace(/[{}]/g, '')}`.split(/[^A-Za-z0-9]+/).filter((word) => word !== '');
  const operationId = words.map((word, at) => (at === 0 ? word : word[0]?.toUpperCase() + word.slice(1))).join('');
  return {
    operationId,
    tags: [route.tag],
    summary: route.summary,
    ...(route.description === undefined ? {} : { description: route.description }),
    ...(index > 0 ? { deprecated: true } : {}),
    security: securityOf(route),
    ...parametersOf(route, schemas),
    ...(route.body
      ? {
          requestBody: {
            required: !isOptional(route.body),
            content: Object.fromEntries(
              ['application/json', ...(route.takesForm ? ['application/x-www-form-urlencoded'] : [])].map((mediaType) => [
                mediaType,
                { schema: toSchema(route.body as z.ZodType, 'input', schemas) },
              ]),
            ),
          },
        }
      : {}),
    responses: { ...successesOf(route, schemas), ...problemResponses(problemsOf(route)) },
  };
}

/** By token or by cookie, or by the credentials of a service; a public route may be called by nobody as well. */
function securityOf({ access, session }: Route): Json[] {
  const either: Json[] = [{ bearer: [] }, { cookie: [] }];
  if (access !== 'public') return 'serviceClient' in access ? [{ service: [] }] : either;
  return session === 'if-there' || session === 'if-live' ? [{}, ...either] : [];
}

function parametersOf({ params, query }: Route, schemas: Json): Json {
  const parameters = (['path', 'query'] as const).flatMap((place) => {
    const schema = place === 'path' ? params : query;
    const { properties = {}, required = [] } = schema
      ? (toSchema(schema, 'input', schemas) as { properties?: Json; required?: string[] })
      : {};
    return Object.entries(properties).map(([name, member]) => ({ name, in: place, required: required.includes(name), schema: member }));
  });
  return parameters.length === 0 ? {} : { parameters };
}

function successesOf({ responses, mediaType = 'application/json', line }: Route, schemas: Json): Json {
  return Object.fromEntries(
    Object.entries(responses).map(([status, { description, schema }]) => {
      const lines = line ? { [NDJSON]: { schema: toSchema(line, 'output', schemas) } } : {};
      const content = schema ? { content: { [mediaType]: { schema: toSchema(schema, 'output', schemas) }, ...lines } } : {};
      return [status, { description, headers: { 'X-Request-Id': { schema: { type: 'string' } } }, ...content }];
    }),
  );
}

function problemResponses(codes: readonly ProblemCode[]): Json {
  const byStatus = Map.groupBy(codes, (code) => PROBLEMS[code].status);
  return Object.fromEntries(
    [...byStatus].map(([status, ofStatus]) => [
      String(status),
      {
        description: ofStatus.map((code) => `\`${code}\`: ${PROBLEMS[code].title}`).join('; '),
        'x-problem-codes': ofStatus,
        content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
      },
    ]),
  );
}

/** A zod schema as JSON Schema 2020-12; those with an id are written once, under components. */
function toSchema(schema: z.ZodType, io: 'input' | 'output', schemas: Json): Json {
  const {
    $schema: _,
    $defs = {},
    ...rest
  } = z.toJSONSchema(schema, { target: 'draft-2020-12', io, unrepresentable: 'any' }) as Json & { $defs?: Json };
  const moved = (value: unknown): unknown => JSON.parse(JSON.stringify(value).replaceAll('"#/$defs/', '"#/components/schemas/'));
  for (const [id, definition] of Object.entries($defs)) schemas[id] ??= moved(without(definition as Json, 'id'));
  const id = rest['id'];
  if (typeof id !== 'string') return moved(rest) as Json;
  schemas[id] ??= moved(without(rest, 'id'));
  return { $ref: `#/components/schemas/${id}` };
}

function without(schema: Json, name: string): Json {
  return Object.fromEntries(Object.entries(schema).filter(([key]) => key !== name));
}

function isOptional(schema: z.ZodType): boolean {
  return schema.safeParse(undefined).success;
}

function problemSchema(issuer: string): Json {
  return {
    type: 'object',
    description: 'RFC 9457 problem details',
    required: ['type', 'title', 'status', 'detail', 'instance'],
    properties: {
      type: { type: 'string', format: 'uri', examples: [`${issuer}/problems/invalid-request`] },
      title: { type: 'string' },
      status: { type: 'integer' },
      detail: { type: 'string' },
      instance: { type: 'string', description: 'the request id' },
      errors: {
        type: 'array',
        items: {
          type: 'object',
          required: ['pointer', 'detail'],
          properties: {
            pointer: { type: 'string', description: 'JSON Pointer (RFC 6901) into the body; /query/… and /path/… for the URL' },
            detail: { type: 'string' },
          },
        },
      },
    },
  };
}
