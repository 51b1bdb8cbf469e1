import rateLimit from '@fastify/rate-limit';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Allowance, Bucket, BucketReading, RateLimiter } from '#application/ports/services.ts';
import { networkOf } from '#domain/network.ts';
import { refuse } from '#domain/problems.ts';
import { FAILURE_COSTS, floodLimit, type RateLimit, type RateLimitName, readingOf } from '#domain/rate-limit.ts';
import { FloodStore } from './flood-store.ts';
import { RefusalError } from './problem.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Null where nothing is limited. */
    limits: RequestLimits | null;
  }
}

/** What a route declares of its limits. */
export type LimitsOfRoute = { added: readonly RateLimitName[]; isByFlow: boolean };

/** The limits of one request on its way to the answer. They are drawn once, as soon as everybody whom they count is known. */
export type RequestLimits = Allowance & {
  /** Adds the bucket of the account that asks. @throws RefusalError rate-limited, unless the flow draws */
  addAccount(accountId: string): Promise<void>;
  /** Draws what nobody has drawn yet. @throws RefusalError rate-limited */
  settle(): Promise<void>;
};

export type EdgeLimits = {
  /**
   * For what has no limit but that, and takes none from the API: pages, and the reference.
   * @throws RefusalError rate-limited for a network that floods
   */
  refuseFlood(request: FastifyRequest): Promise<void>;
  /** @throws RefusalError rate-limited for a network that floods, before anything is asked */
  begin(request: FastifyRequest, reply: FastifyReply, route: LimitsOfRoute): Promise<RequestLimits>;
};

/**
 * The limits of everybody together, of the address, of the route and of the account: all in one call to the limiter, which draws from
 * each or from none (docs/adr/0018). A route that adds one is critical: without the limiter it answers 503; the others
 * count in process meanwhile (docs/architecture.md). In front of them stands @fastify/rate-limit, in this process: who floods costs
 * no call.
 */
export async function installLimits(app: FastifyInstance, limiter: RateLimiter, perIp: RateLimit): Promise<EdgeLimits> {
  app.decorateRequest('limits', null);
  const flood = floodLimit(perIp);
  await app.register(rateLimit, {
    global: false,
    max: flood.capacity,
    timeWindow: flood.windowSeconds * 1000,
    store: FloodStore,
    keyGenerator: (request) => networkOf(request.ip),
  });
  const watch = app.createRateLimit();
  const watchPages = app.createRateLimit({ keyGenerator: (request) => `pages ${networkOf(request.ip)}` });

  // A wrong password or code has cost one token by now; it costs its network more before anybody hears that it was wrong.
  app.addHook('onSend', async (request, reply) => {
    if (reply.statusCode !== 401 || !request.routeOptions.config?.limitsFailures) return;
    await limiter.charge({ limit: 'per-ip', key: networkOf(request.ip) }, FAILURE_COSTS);
  });

  const refuseFlood = async (request: FastifyRequest, watched = watch) => {
    const seen = await watched(request);
    if (seen.isAllowed || !seen.isExceeded) return;
    const reading = { ...readingOf('per-ip', perIp, 0), retryAfterSeconds: Math.max(1, seen.ttlInSeconds) };
    throw new RefusalError(refuse('rate-limited', { retryAfterSeconds: reading.retryAfterSeconds }), limitHeaders([reading]));
  };

  return {
    refuseFlood: (request) => refuseFlood(request, watchPages),
    async begin(request, reply, route) {
      await refuseFlood(request);
      return requestLimits(limiter, reply, networkOf(request.ip), route);
    },
  };
}

function requestLimits(limiter: RateLimiter, reply: FastifyReply, network: string, { added, isByFlow }: LimitsOfRoute): RequestLimits {
  const own: Bucket[] = ['per-ip' as const, ...added].map((limit) => ({ limit, key: network }));
  let isDrawn = false;

  async function take(also: readonly Bucket[]) {
    if (isDrawn) throw new Error('the limits of a request are drawn once');
    isDrawn = true;
    const buckets: Bucket[] = [{ limit: 'global', key: 'all' }, ...own];
    const { allowed, readings, aside } = await limiter.take(buckets, added.length > 0 ? 'refuse' : 'local', also);
    reply.headers(limitHeaders(readings.slice(1))); // what everybody has left is not for this caller to know
    const waits = readings.map(({ retryAfterSeconds }) => retryAfterSeconds);
    const refusal = allowed ? null : refuse('rate-limited', { retryAfterSeconds: Math.max(1, ...waits) });
    return { refusal, also: aside };
  }

  async function settle() {
    if (isDrawn) return;
    const { refusal } = await take([]);
    if (refusal) throw new RefusalError(refusal);
  }

  return {
    take,
    settle,
    giveBack: (bucket) => limiter.charge(bucket, -1),
    async addAccount(accountId) {
      own.push({ limit: 'per-user', key: accountId });
      if (!isByFlow) await settle();
    },
  };
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
