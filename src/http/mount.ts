import { Readable } from 'node:stream';
import { setTimeout } from 'node:timers/promises';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { DependencyDown } from '#application/ports/errors.ts';
import type { Allowance } from '#application/ports/services.ts';
import type { ServiceClient } from '#application/ports/store.ts';
import { isRefusal, refuse } from '#domain/problems.ts';
import type { AccessCheck } from './access.ts';
import { clientOf } from './client.ts';
import type { Cookies } from './cookies.ts';
import type { Csrf } from './csrf.ts';
import type { EdgeLimits } from './limits.ts';
import { lineStreams, NDJSON } from './lines.ts';
import { RefusalError, sendProblem } from './problem.ts';
import type { Access, Principal, Route } from './route.ts';
import type { serviceCheck } from './service-access.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Who may call this route; one that does not say stops the start. */
    access?: Access;
    neverBlocked?: true;
    takesForm?: true;
    /** A 401 of this route costs its network more than the request did. */
    limitsFailures?: boolean;
  }
  interface FastifyRequest {
    principal: Principal | null;
    service: ServiceClient | null;
  }
}

/** What stands between a request and its handler. */
export type Edge = {
  access: AccessCheck;
  services: ReturnType<typeof serviceCheck>;
  csrf: Csrf;
  cookies: Cookies;
  limits: EdgeLimits;
  issuer: string;
};

/** Registers the routes and their aliases; every one is validated, limited, guarded and answered in the same way. */
export function mount(app: FastifyInstance, routes: readonly Route[], edge: Edge): void {
  app.decorateRequest('principal', null);
  app.decorateRequest('service', null);
  const stream = lineStreams(app);
  for (const route of routes) for (const url of urlsOf(route)) mountAt(app, route, url, { ...edge, stream });
}

/** The paths of a route, its own first: the others are deprecated. */
export function urlsOf({ path, aliases = [] }: Route): string[] {
  const own = '/api/auth/';
  return [path, ...aliases].flatMap((url) =>
    url.startsWith(own) ? [own, '/api/v1/auth/', '/auth/'].map((prefix) => prefix + url.slice(own.length)) : [url],
  );
}

/** Refuses to start with a route that does not declare who may call it; a preflight is everybody's. */
export function requireAccess(app: FastifyInstance): void {
  const seen: { method: string | string[]; url: string; config?: { access?: Access } }[] = [];
  app.addHook('onRoute', (route) => {
    if (route.method === 'OPTIONS') route.config = { ...route.config, access: 'public' };
    seen.push(route);
  });
  app.addHook('onReady', (done) => {
    const undeclared = seen.filter(({ config }) => config?.access === undefined);
    done(
      undeclared.length === 0
        ? undefined
        : new Error(`No access declared: ${undeclared.map(({ method, url }) => `${method} ${url}`).join(', ')}`),
    );
  });
}

function mountAt(app: FastifyInstance, route: Route, url: string, edge: Edge & { stream: ReturnType<typeof lineStreams> }): void {
  const { access, body, params, query } = route;
  const { cookies, issuer, limits, stream } = edge;
  const { limits: added = [], isLimitedByFlow: isByFlow = false } = route;
  const isLimited = route.path.startsWith('/api/') && (access === 'public' || !('serviceClient' in access));
  const isWatched = access === 'public' && !route.neverBlocked;
  const isApi = route.path.startsWith('/api/');
  const drawsOnAccount = access !== 'public' && route.method !== 'GET';
  app.route({
    method: route.method,
    url: url.replace(/\{(\w+)\}/g, ':$1'),
    config: {
      access,
      ...(route.neverBlocked ? { neverBlocked: true } : {}),
      ...(route.takesForm ? { takesForm: true } : {}),
      limitsFailures: isLimited && added.length > 0,
    },
    onRequest: async (request: FastifyRequest, reply: FastifyReply) => {
      if (!isLimited) return isWatched ? await limits.refuseFlood(request) : undefined;
      request.limits = await limits.begin(request, reply, { added, isByFlow });
      if (!isByFlow && !drawsOnAccount) await request.limits.settle();
    },
    preParsing: async (request: FastifyRequest, reply: FastifyReply) => {
      if (access !== 'public' && 'serviceClient' in access) request.service = await edge.services(request, reply);
      else request.principal = await principalOf(request, reply, route, edge);
    },
    errorHandler: async (error, request) => {
      // What was refused before it was counted counts too, or it would be free. A dependency that is down is told of at once.
      if (!(error instanceof DependencyDown)) await request.limits?.settle();
      throw error;
    },
    handler: async (request, reply) => {
      const call = {
        body: body ? parsed(body, request.body, '') : void parsed(NO_FIELDS, request.body ?? {}, ''),
        params: params ? parsed(params, request.params, '/path') : undefined,
        query: query ? parsed(query, request.query, '/query') : undefined,
        client: clientOf(request, cookies),
        principal: request.principal,
        service: request.service,
        ifNoneMatch: request.headers['if-none-match'],
        authorization: request.headers.authorization ?? '',
        accept: (request.headers.accept ?? '').toLowerCase(),
        allowance: request.limits ?? NO_LIMITS,
      };
      const answer = await (route.isEven ? evenly(route.handler(call)) : route.handler(call));
      await request.limits?.settle(); // a flow that ended before it drew
      if (isRefusal(answer)) return sendProblem(reply, answer, issuer);
      if (isApi || !answer.headers?.['cache-control']) reply.header('cache-control', 'no-store');
      reply.code(answer.status).headers(answer.headers ?? {});
      cookies.write(request, reply, answer.cookies ?? []);
      if (answer.lines && route.line) {
        reply.header('content-type', NDJSON);
        return reply.send(request.method === 'HEAD' ? '' : stream(answer.lines, route.line)); // a HEAD would read it all, for nobody
      }
      if (answer.body === undefined || isRaw(answer.body)) return reply.send(answer.body);
      // The response schema is a filter: what it does not list is dropped, what it lists must be there (ASVS 15.3.1).
      const schema = route.responses[answer.status]?.schema;
      if (!schema) throw new Error(`${route.method} ${route.path} answers ${answer.status} with a body that it does not declare`);
      return reply.header('content-type', 'application/json; charset=utf-8').send(JSON.stringify(schema.parse(answer.body)));
    },
  });
}

/** Of routes outside of the API. */
const NO_LIMITS: Allowance = { take: async () => ({ refusal: null, also: { allowed: true, readings: [] } }), giveBack: async () => {} };

const EVEN_MS = 100;

/**
 * The outcome, no sooner than at the next tenth of a second from now: how long the work took does not show (ASVS 6.3.8). A dependency
 * that is down is told of at once: it is down for everybody, and its deadline is most of the time in which a 503 must be there.
 */
async function evenly<T>(work: Promise<T>): Promise<T> {
  const startedMs = performance.now();
  const [outcome] = await Promise.allSettled([work]);
  if (outcome.status === 'rejected' && outcome.reason instanceof DependencyDown) throw outcome.reason;
  const tookMs = performance.now() - startedMs;
  await setTimeout(Math.ceil(tookMs / EVEN_MS) * EVEN_MS - tookMs);
  if (outcome.status === 'rejected') throw outcome.reason;
  return outcome.value;
}

/** Who calls, as far as the route asks. @throws RefusalError as the access check, or csrf for a sign-in from a foreign page */
async function principalOf(request: FastifyRequest, reply: FastifyReply, route: Route, { access, csrf }: Edge): Promise<Principal | null> {
  if (route.access !== 'public' && !('serviceClient' in route.access)) return await access.guard(request, reply, route.access);
  if (route.session === 'if-there') return await access.identifyIfThere(request, reply);
  if (route.session === 'if-live') return await access.identifyIfLive(request, reply);
  const foreign = route.session === 'begins' ? csrf.refuseForeign(request) : null;
  if (foreign) throw new RefusalError(foreign);
  return null;
}

function isRaw(body: unknown): boolean {
  return typeof body === 'string' || Buffer.isBuffer(body) || body instanceof Readable;
}

/** What a route takes that asks for no body. */
const NO_FIELDS = z.strictObject({});

/** A body of nothing but unknown keys would get an answer many times as long as itself. */
const MOST_FAULTS = 20;

/** @throws RefusalError with a JSON Pointer for each fault, up to twenty; unknown fields are faults (ASVS 15.3.3) */
function parsed(schema: z.ZodType, value: unknown, base: string): unknown {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const faults = result.error.issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((name) => ({ path: [...issue.path, name], detail: 'This field is not known here.' }))
      : [{ path: issue.path, detail: issue.message }],
  );
  const errors = faults.slice(0, MOST_FAULTS).map(({ path, detail }) => {
    const pointer = base + path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
    return { pointer, detail };
  });
  const isCut = faults.length > MOST_FAULTS;
  const detail = isCut ? `${faults.length} fields are not valid; the first ${MOST_FAULTS} are named.` : 'Some fields are not valid.';
  throw new RefusalError(refuse('invalid-request', { detail, errors }));
}
