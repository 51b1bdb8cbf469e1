import { createHash, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import type { Metrics } from '#application/ports/metrics.ts';
import { refuse } from '#domain/problems.ts';
import { type Route, route } from '../route.ts';

/** Prometheus asks with a token of its own: it is no user, and must be answered when nobody can sign in. */
export function metricsRoute(metrics: Metrics, token: string): Route {
  const expected = hashOf(`Bearer ${token}`);
  return route({
    method: 'GET',
    path: '/metrics',
    tag: 'Operations',
    summary: 'Counters for Prometheus',
    description: 'With METRICS_TOKEN as bearer token. On METRICS_PORT it is served without.',
    access: 'public',
    neverBlocked: true,
    problems: ['unauthenticated'],
    mediaType: 'text/plain',
    responses: { 200: { description: 'In the text format of Prometheus', schema: z.string() } },
    async handler({ authorization }) {
      if (!timingSafeEqual(hashOf(authorization), expected)) return refuse('unauthenticated');
      return { status: 200, body: await metrics.text(), headers: { 'content-type': metrics.contentType, 'cache-control': 'no-store' } };
    },
  });
}

function hashOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
