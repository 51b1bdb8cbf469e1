import rateLimit, { type FastifyRateLimitStore, type RateLimitOptions } from '@fastify/rate-limit';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Bucket, BucketReading, RateLimiter } from '#application/ports/services.ts';
import { networkOf } from '#domain/network.ts';
import { refuse } from '#domain/problems.ts';
import { FAILURE_COSTS, type RateLimitName } from '#domain/rate-limit.ts';
import { RefusalError } from './problem.ts';

declare module 'fastify' {
  interface FastifyRequest {
    limitSerial: number;
  }
}

/**
 * The limits per address, through @fastify/rate-limit: the coarse one of everything under the API, and with it, in the same
 * call to the limiter, those that a route adds. A route that adds one is critical: without the limiter it answers 503; the
 * others count in process meanwhile (DESIGN 6).
 */
export async function installLimits(app: FastifyInstance, limiter: RateLimiter): Promise<void> {
  /** From the store, which does not see the request, to the response headers. An entry lives for one hook's time. */
  const readings = new Map<number, BucketReading[]>();
  let serial = 0;
  app.decorateRequest('limitSerial', 0);

  const storeFor = (added: readonly RateLimitName[]): FastifyRateLimitStore => ({
    incr(key, done) {
      const [number = '', network = ''] = key.split(' ');
      const buckets: Bucket[] = ['per-ip' as const, ...added].map((limit) => ({ limit, key: network }));
      limiter.take(buckets, added.length > 0 ? 'refuse' : 'local').then(
        (taken) => {
          readings.set(Number(number), taken.readings);
          done(null, { current: taken.allowed ? 0 : 2, ttl: 1000 * retryAfter(taken.readings) });
        },
        (error: Error) => done(error),
      );
    },
    child: (options) => storeFor(addedBy(options)),
  });
  class LimiterStore implements FastifyRateLimitStore {
    incr = storeFor([]).incr;
    child = storeFor([]).child;
  }

  await app.register(rateLimit, {
    global: false, // mount.ts says which routes: all of the API
    max: 1, // the buckets decide; the store reports within or beyond
    timeWindow: 1000,
    store: LimiterStore as never, // the plugin's type wants a constructor with its own options
    keyGenerator: (request) => {
      request.limitSerial = ++serial; // not the request id: the client chooses that one
      return `${request.limitSerial} ${networkOf(request.ip)}`;
    },
    addHeaders: { 'x-ratelimit-limit': false, 'x-ratelimit-remaining': false, 'x-ratelimit-reset': false, 'retry-after': false },
    addHeadersOnExceeding: { 'x-ratelimit-limit': false, 'x-ratelimit-remaining': false, 'x-ratelimit-reset': false },
    errorResponseBuilder: (request) => {
      const taken = take(readings, request);
      return new RefusalError(refuse('rate-limited', { retryAfterSeconds: retryAfter(taken) }), limitHeaders(taken));
    },
  });
  // A wrong password or code has cost one token by now; it costs its network more before anybody hears that it was wrong.
  app.addHook('onSend', async (request, reply) => {
    const added = addedBy(request.routeOptions.config?.rateLimit || {});
    if (reply.statusCode !== 401 || added.length === 0) return;
    await limiter.charge({ limit: 'per-ip', key: networkOf(request.ip) }, FAILURE_COSTS);
  });
  app.addHook('preParsing', (request, reply, payload, done) => {
    const taken = take(readings, request);
    if (taken.length > 0) addLimitHeaders(reply, taken);
    done(null, payload);
  });
}

/** What a route declares as `config.rateLimit` so that the plugin limits it. */
export function limitConfig(added: readonly RateLimitName[]): RateLimitOptions {
  return { added } as RateLimitOptions; // the plugin hands what it does not know to `child`
}

/** `RateLimit` and `RateLimit-Policy` (IETF draft-ietf-httpapi-ratelimit-headers), one item a bucket. */
export function limitHeaders(readings: readonly BucketReading[]): Record<string, string> {
  return {
    'ratelimit-policy': readings.map(({ limit, capacity, windowSeconds }) => `"${limit}";q=${capacity};w=${windowSeconds}`).join(', '),
    ratelimit: readings
      .map(
        ({ limit, remaining, resetSeconds, retryAfterSeconds }) =>
          `"${limit}";r=${Math.floor(remaining)};t=${remaining < 1 ? retryAfterSeconds : resetSeconds}`,
      )
      .join(', '),
  };
}

/** Adds to those that are there: a request may draw from the address's buckets and from the account's. */
export function addLimitHeaders(reply: FastifyReply, readings: readonly BucketReading[]): void {
  for (const [name, value] of Object.entries(limitHeaders(readings))) {
    const before = reply.getHeader(name);
    reply.header(name, before === undefined ? value : `${before}, ${value}`);
  }
}

function retryAfter(readings: readonly BucketReading[]): number {
  return Math.max(1, ...readings.map(({ retryAfterSeconds }) => retryAfterSeconds));
}

function take(readings: Map<number, BucketReading[]>, request: FastifyRequest): BucketReading[] {
  const taken = readings.get(request.limitSerial) ?? [];
  readings.delete(request.limitSerial);
  return taken;
}

function addedBy(options: object): readonly RateLimitName[] {
  return 'added' in options && Array.isArray(options.added) ? (options.added as RateLimitName[]) : [];
}
