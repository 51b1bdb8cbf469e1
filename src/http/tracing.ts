import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Caller, OpenSpan, Tracing } from '#application/ports/tracing.ts';
import { methodLabel } from './method-label.ts';

declare module 'fastify' {
  interface FastifyRequest {
    span: OpenSpan | null;
  }
}

/** What probes and scrapers ask all day tells nobody anything. */
const QUIET = ['/health', '/health/live', '/health/ready', '/metrics'];

/**
 * A span for each request, by the route's pattern: OpenTelemetry's conventions for HTTP without `url.path`, `url.query` and
 * `client.address`, because paths and queries carry what people wrote, and addresses are personal.
 */
export function installTracing(app: FastifyInstance, tracing: Tracing): void {
  app.addHook('onRequest', (request, reply, done) => {
    const { url } = request.routeOptions;
    if (url !== undefined && QUIET.includes(url)) return done();
    const method = methodLabel(request.method);
    const attributes = { 'http.request.method': method, 'url.scheme': request.protocol, 'latchkey.request_id': request.id };
    const span = tracing.begin(method, 'server', attributes, callerOf(request));
    request.span = span;
    // Whoever leaves before the answer ends the span too.
    reply.raw.once('close', () => {
      const { statusCode } = reply;
      const hasLeft = !reply.raw.writableFinished;
      const more = {
        ...(url === undefined ? {} : { 'http.route': url }),
        ...(hasLeft ? {} : { 'http.response.status_code': statusCode }),
        ...(request.problem === null ? {} : { 'latchkey.problem': request.problem }),
      };
      const failure = hasLeft ? 'client left' : statusCode >= 500 ? (request.problem ?? String(statusCode)) : null;
      span.end(url === undefined ? method : `${method} ${url}`, more, failure);
    });
    span.run(done);
  });
}

/** A proxy that the operator named (TRUST_PROXY) speaks for a trace of ours; a client from anywhere is only linked to. */
function callerOf({ headers, ips = [] }: FastifyRequest): { traceparent: string; isTrusted: boolean } | undefined {
  const { traceparent } = headers;
  if (typeof traceparent !== 'string') return undefined;
  return { traceparent, isTrusted: ips.length > 1 } satisfies Caller;
}
