import cors from '@fastify/cors';
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify';
import type { Metrics } from '#application/ports/metrics.ts';
import type { AccessTokens, Clock, CsrfTokens, IpBlockList, Policy, RateLimiter, Secrets } from '#application/ports/services.ts';
import type { Store } from '#application/ports/store.ts';
import { serviceClients } from '#application/service-clients.ts';
import type { sessionMoved } from '#application/session-moved.ts';
import { refuse } from '#domain/problems.ts';
import { accessCheck } from './access.ts';
import { cookies as cookiesOf } from './cookies.ts';
import { csrf as csrfOf } from './csrf.ts';
import { hostCheck } from './hosts.ts';
import { installFormBody, installJsonBody } from './json-body.ts';
import { installLimits } from './limits.ts';
import { mount, requireAccess, urlsOf } from './mount.ts';
import { openApiDocument } from './openapi.ts';
import { installNotFound, installProblems, malformedHttp, malformedUrl, RefusalError } from './problem.ts';
import { requestIdOf } from './request-id.ts';
import type { Route } from './route.ts';
import { installSecurityHeaders } from './security-headers.ts';
import { serviceCheck } from './service-access.ts';

export type HttpSettings = {
  issuer: string;
  productName: string;
  version: string;
  corsOrigins: string[];
  /** Of our own pages: no request from them is foreign. */
  ownOrigins: string[];
  /** Development over http://localhost, see cookies.ts. */
  allowsPlainCookies: boolean;
  allowedHosts: string[];
  /** Addresses and CIDRs of proxies; nobody else's X-Forwarded-For counts. */
  trustProxy: string[];
};

export type ServerParts = {
  routes: Route[];
  hasMoved: ReturnType<typeof sessionMoved>;
  store: Store;
  accessTokens: AccessTokens;
  csrfTokens: CsrfTokens;
  secrets: Secrets;
  ipBlocks: IpBlockList;
  limiter: RateLimiter;
  clock: Clock;
  policy: Policy;
  settings: HttpSettings;
  log: FastifyBaseLogger;
  /** Null: nobody counts. */
  metrics: Metrics | null;
};

const BODY_LIMIT_BYTES = 64 * 1024;
const REQUEST_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 75_000; // longer than a balancer's, so that the balancer is the one who closes

/** The server, not yet listening. The order of what is installed is the order in which a request meets it. */
export async function buildServer({
  routes,
  hasMoved,
  store,
  accessTokens,
  csrfTokens,
  secrets,
  ipBlocks,
  limiter,
  clock,
  policy,
  settings,
  log,
  metrics,
}: ServerParts): Promise<FastifyInstance> {
  const { issuer } = settings;
  const app = Fastify({
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true }),
    childLoggerFactory: (logger) => logger, // a logger a request would cost more than the one line that it writes
    genReqId: (request) => requestIdOf(request.headers['x-request-id']),
    requestIdHeader: false,
    trustProxy: settings.trustProxy.length > 0 ? settings.trustProxy : false,
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    maxRequestsPerSocket: 0,
    forceCloseConnections: 'idle',
    return503OnClosing: false, // what arrives while we drain is still served
    routerOptions: { maxParamLength: 128 },
    frameworkErrors: malformedUrl(issuer),
    clientErrorHandler: malformedHttp(issuer),
  });

  app.decorateRequest('problem', null);
  installProblems(app, issuer); // before any register: a child keeps what it finds
  requireAccess(app);
  installJsonBody(app);
  installFormBody(app);
  greet(app, settings, ipBlocks, metrics);
  await installSecurityHeaders(app, issuer);
  if (settings.corsOrigins.length > 0) {
    await app.register(cors, {
      origin: settings.corsOrigins,
      methods: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'],
      exposedHeaders: ['X-Request-Id', 'RateLimit', 'RateLimit-Policy', 'Retry-After', 'WWW-Authenticate'],
      credentials: true,
      maxAge: 600,
    });
  }
  await installLimits(app, limiter);
  const cookies = cookiesOf({ allowsPlain: settings.allowsPlainCookies });
  const csrf = csrfOf({ csrfTokens, cookies, ownOrigins: [...settings.ownOrigins, ...settings.corsOrigins] });
  const access = accessCheck({ hasMoved, store, accessTokens, secrets, limiter, clock, policy, cookies, csrf });
  const services = serviceCheck({ clients: serviceClients({ store, secrets, clock }), limiter });
  mount(app, routes, { access, services, csrf, cookies, issuer });
  await reference(app, openApiDocument(routes, urlsOf, { title: settings.productName, issuer, version: settings.version }));
  installNotFound(app, issuer, methodsByPath(routes));
  return app;
}

/** First of all: the request id on whatever is answered, the host, whether the address is blocked, and one log line at the end, without query or body. */
function greet(app: FastifyInstance, { allowedHosts }: HttpSettings, ipBlocks: IpBlockList, metrics: Metrics | null): void {
  const isServed = hostCheck(allowedHosts);
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id);
    const [host, ...others] = request.raw.headersDistinct['host'] ?? [];
    const path = request.url;
    const isServedHere = others.length === 0 && !path.includes('://') && isServed(host, path);
    if (!isServedHere) done(new RefusalError(refuse('misdirected-request')));
    else if (request.routeOptions.config?.neverBlocked || !ipBlocks.isBlocked(request.ip)) done();
    else done(new RefusalError(refuse('forbidden', { detail: 'Requests from this address are not answered.' })));
  });
  app.addHook('onResponse', (request, reply, done) => {
    const { method, routeOptions, ip } = request;
    const fields = {
      reqId: request.id,
      method,
      route: routeOptions.url ?? 'unknown',
      status: reply.statusCode,
      ms: Math.round(reply.elapsedTime),
      ip,
    };
    if (!fields.route.startsWith('/health')) request.log.info(fields, 'request');
    const { route, status } = fields;
    metrics?.observe({ method, route, status, seconds: reply.elapsedTime / 1000, problem: request.problem });
    done();
  });
}

/** The reference for people at /docs, the document for programs at /openapi.json. */
async function reference(app: FastifyInstance, document: Record<string, unknown>): Promise<void> {
  const body = JSON.stringify(document);
  await app.register(swagger, { mode: 'static', specification: { document: document as never } });
  await app.register(async (docs) => {
    docs.addHook('onRoute', (route) => {
      route.config = { ...route.config, access: 'public' };
    });
    await docs.register(swaggerUi, { routePrefix: '/docs', uiConfig: { url: '/openapi.json' } });
  });
  app.get('/openapi.json', { config: { access: 'public' } }, (_request, reply) => {
    reply.header('content-type', 'application/json; charset=utf-8').header('cache-control', 'public, max-age=60').send(body);
  });
}

/** The methods that a path answers to, for 405. */
function methodsByPath(routes: readonly Route[]): (path: string) => string[] {
  const patterns = routes.flatMap((route) =>
    urlsOf(route).map((url) => ({
      method: route.method,
      pattern: new RegExp(`^${url.replace(/[.]/g, '\\.').replace(/\{\w+\}/g, '[^/]+')}$`),
    })),
  );
  return (path) => {
    const methods = new Set(patterns.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method as string));
    if (methods.has('GET')) methods.add('HEAD');
    return [...methods].sort();
  };
}
