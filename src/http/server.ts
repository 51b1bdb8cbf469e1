import cors from '@fastify/cors';
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import Fastify, { type FastifyBaseLogger, type FastifyInstance, type FastifyReply, type FastifyRequest, LogController } from 'fastify';
import type { legacyCaller } from '#application/legacy-caller.ts';
import type { Metrics } from '#application/ports/metrics.ts';
import type { AccessTokens, Clock, CsrfTokens, IpBlockList, Policy, RateLimiter, Secrets } from '#application/ports/services.ts';
import type { Store } from '#application/ports/store.ts';
import type { Tracing } from '#application/ports/tracing.ts';
import { serviceClients } from '#application/service-clients.ts';
import type { sessionMoved } from '#application/session-moved.ts';
import { refuse } from '#domain/problems.ts';
import type { RateLimit } from '#domain/rate-limit.ts';
import { accessCheck } from './access.ts';
import { cookies as cookiesOf } from './cookies.ts';
import { csrf as csrfOf } from './csrf.ts';
import { hostCheck } from './hosts.ts';
import { installFormBody, installJsonBody } from './json-body.ts';
import { type EdgeLimits, installLimits } from './limits.ts';
import { methodLabel } from './method-label.ts';
import { mount, requireAccess, urlsOf } from './mount.ts';
import { openApiDocument } from './openapi.ts';
import { installNotFound, installProblems, malformedHttp, malformedUrl, RefusalError } from './problem.ts';
import { requestIdOf } from './request-id.ts';
import type { Route } from './route.ts';
import { referenceRoute } from './routes/reference.ts';
import { installSecurityHeaders } from './security-headers.ts';
import { serviceCheck } from './service-access.ts';
import { cutSlowReaders } from './slow-readers.ts';
import { installTracing } from './tracing.ts';

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
  /** What one address may ask, from which follows what is a flood. */
  perIp: RateLimit;
  /** Open at once; more are closed as they come. */
  maxConnections: number;
};

export type ServerParts = {
  routes: Route[];
  hasMoved: ReturnType<typeof sessionMoved>;
  /** Null: tokens of a replaced service count for nothing. */
  legacyCaller: ReturnType<typeof legacyCaller> | null;
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
  /** Null: nobody traces. */
  tracing: Tracing | null;
  /** From then on each answer ends its connection: an open one would be closed under somebody's next request. */
  isStopping(): boolean;
};

const BODY_LIMIT_BYTES = 64 * 1024;
const HEADER_LIMIT_BYTES = 16 * 1024;
/** From the first byte of a request to its last: who sends slower is cut off, within the second in which Node looks. */
const REQUEST_TIMEOUT_MS = 10_000;
const LOOK_EVERY_MS = 1000;
const UNKNOWN_ROUTE = 'unknown';
const CLIENT_LEFT = 499;
const KEEP_ALIVE_MS = 75_000; // longer than a balancer's, so that the balancer is the one who closes

/** The server, not yet listening. The order of what is installed is the order in which a request meets it. */
export async function buildServer({
  legacyCaller,
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
  tracing,
  isStopping,
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
    http: {
      connectionsCheckingInterval: LOOK_EVERY_MS,
      headersTimeout: REQUEST_TIMEOUT_MS,
      maxHeaderSize: HEADER_LIMIT_BYTES,
      requireHostHeader: false, // Node would refuse without a problem: `greet` does
    },
    keepAliveTimeout: KEEP_ALIVE_MS,
    maxRequestsPerSocket: 0,
    forceCloseConnections: 'idle',
    return503OnClosing: false, // what arrives while we drain is still served
    routerOptions: { maxParamLength: 128 },
    frameworkErrors: malformedUrl(issuer),
    clientErrorHandler: malformedHttp(issuer, (code) => metrics?.refused(UNKNOWN_ROUTE, code)),
  });
  app.server.maxConnections = settings.maxConnections;
  // An expectation that nobody knows may be ignored (RFC 9110 10.1.1): Node would answer 417, without a problem.
  app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response));
  const stopLooking = cutSlowReaders(app.server);
  app.addHook('onClose', async () => stopLooking());

  app.decorateRequest('problem', null);
  app.decorateRequest('span', null);
  installProblems(app, issuer); // before any register: a child keeps what it finds
  requireAccess(app);
  installJsonBody(app);
  installFormBody(app);
  if (tracing) installTracing(app, tracing);
  greet(app, settings, ipBlocks, metrics);
  app.addHook('onSend', (_request, reply, payload, done) => {
    if (isStopping()) reply.header('connection', 'close');
    done(null, payload);
  });
  await installSecurityHeaders(app, issuer);
  if (settings.corsOrigins.length > 0) {
    // Answered as without CORS, where the plugin would write a text of its own.
    app.addHook('onRequest', (request, reply, done) => {
      const { origin, 'access-control-request-method': asked } = request.headers;
      if (request.method !== 'OPTIONS' || (origin && asked)) done();
      else reply.callNotFound();
    });
    await app.register(cors, {
      origin: settings.corsOrigins,
      methods: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'],
      exposedHeaders: ['X-Request-Id', 'RateLimit', 'RateLimit-Policy', 'Retry-After', 'WWW-Authenticate'],
      credentials: true,
      maxAge: 600,
    });
  }
  const limits = await installLimits(app, limiter, settings.perIp);
  const cookies = cookiesOf({ allowsPlain: settings.allowsPlainCookies });
  const csrf = csrfOf({ csrfTokens, cookies, ownOrigins: [...settings.ownOrigins, ...settings.corsOrigins] });
  const access = accessCheck({ legacyCaller, hasMoved, store, accessTokens, secrets, clock, policy, cookies, csrf });
  const services = serviceCheck({ clients: serviceClients({ store, secrets, clock }), limits });
  const mounted = [...routes, referenceRoute(() => app.swagger())];
  mount(app, mounted, { access, services, csrf, cookies, limits, issuer });
  await reference(app, limits, () => openApiDocument(mounted, urlsOf, { title: settings.productName, issuer, version: settings.version }));
  installNotFound(app, { issuer, limits, methodsOf: methodsByPath(mounted) });
  return app;
}

/** First of all: the request id on whatever is answered, the host, whether the address is blocked; and at the end it is told of. */
function greet(app: FastifyInstance, { allowedHosts }: HttpSettings, ipBlocks: IpBlockList, metrics: Metrics | null): void {
  const isServed = hostCheck(allowedHosts);
  app.addHook('onRequest', (request, reply, done) => {
    // Its client has gone already: nobody hears an answer, and there is no address to count by. Node keeps one that was read in time.
    if (request.socket.remoteAddress === undefined) return void reply.hijack();
    reply.header('x-request-id', request.id);
    reply.raw.once('close', () => (request.span ? request.span.run(() => tell(request, reply, metrics)) : tell(request, reply, metrics)));
    const [host, ...others] = request.raw.headersDistinct['host'] ?? [];
    const path = request.url;
    const isOurForm = path.startsWith('/') || path === '*'; // the others name a host themselves (RFC 9112 3.2)
    const isServedHere = others.length === 0 && isOurForm && isServed(host, path);
    const isNameless = host === undefined && request.raw.httpVersion === '1.1'; // RFC 9112 3.2
    if (isNameless) done(new RefusalError(refuse('invalid-request', { detail: 'The request has no Host header.' })));
    else if (!isServedHere) done(new RefusalError(refuse('misdirected-request')));
    else if (request.routeOptions.config?.neverBlocked || !ipBlocks.isBlocked(request.ip)) done();
    else done(new RefusalError(refuse('forbidden', { detail: 'Requests from this address are not answered.' })));
  });
}

/** One log line, without query or body, and one count: also of a request whose client left before the answer (as nginx has it, 499). */
function tell(request: FastifyRequest, reply: FastifyReply, metrics: Metrics | null): void {
  const { id: reqId, method, ip, problem } = request;
  const route = request.routeOptions.url ?? UNKNOWN_ROUTE;
  const status = reply.raw.writableFinished ? reply.statusCode : CLIENT_LEFT;
  const ms = reply.elapsedTime;
  if (!route.startsWith('/health')) request.log.info({ reqId, method, route, status, ms: Math.round(ms), ip }, 'request');
  metrics?.observe({ method: methodLabel(method), route, status, seconds: ms / 1000, problem });
}

/** The document as the reference has it too, made and written anew for each request: programs get the one that is kept. */
const MADE_ANEW = ['/docs/json', '/docs/yaml'];

/** The reference for people at /docs, over the document that programs get. */
async function reference(app: FastifyInstance, limits: EdgeLimits, document: () => Record<string, unknown>): Promise<void> {
  await app.register(swagger, {
    openapi: {},
    transform: ({ url }) => ({ schema: { hide: true }, url }),
    transformObject: () => document() as never,
  });
  await app.register(async (docs) => {
    docs.addHook('onRoute', (route) => {
      route.config = { ...route.config, access: 'public' };
    });
    docs.addHook('onRequest', async (request, reply) => {
      if (MADE_ANEW.includes(request.routeOptions.url ?? '')) return reply.callNotFound();
      await limits.refuseFlood(request);
    });
    await docs.register(swaggerUi, { routePrefix: '/docs', uiConfig: { url: '/openapi.json' } });
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
