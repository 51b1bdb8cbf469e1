import type { Socket } from 'node:net';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { DependencyDown } from '#application/ports/errors.ts';
import { PROBLEMS, type ProblemCode, type Refusal, refuse } from '#domain/problems.ts';
import type { EdgeLimits } from './limits.ts';
import { requestIdOf } from './request-id.ts';

/** The one place where a "no" becomes a response (RFC 9457). Never a stack, SQL, a path of a file, or a secret (ASVS 16.5.1). */

declare module 'fastify' {
  interface FastifyRequest {
    /** The code that it was answered with, for those who count. */
    problem: ProblemCode | null;
  }
}

/** A refusal on its way to the error handler, for hooks that can only throw. */
export class RefusalError extends Error {
  readonly refusal: Refusal;
  readonly headers: Record<string, string>;

  constructor(refusal: Refusal, headers: Record<string, string> = {}) {
    super(refusal.refused);
    this.refusal = refusal;
    this.headers = headers;
  }
}

export type Problem = {
  type: string;
  title: string;
  status: number;
  detail: string;
  instance: string;
  errors?: { pointer: string; detail: string }[];
};

export function problemOf(refusal: Refusal, issuer: string, requestId: string): Problem {
  const { status, title, detail } = PROBLEMS[refusal.refused];
  return {
    type: `${issuer}/problems/${refusal.refused}`,
    title,
    status,
    detail: refusal.detail ?? detail,
    instance: requestId,
    ...(refusal.errors === undefined ? {} : { errors: refusal.errors }),
  };
}

export function sendProblem(reply: FastifyReply, refusal: Refusal, issuer: string): FastifyReply {
  const problem = problemOf(refusal, issuer, reply.request.id);
  reply.request.problem = refusal.refused;
  if (refusal.retryAfterSeconds !== undefined) reply.header('retry-after', String(Math.max(1, refusal.retryAfterSeconds)));
  if (problem.status === 401 && !reply.hasHeader('www-authenticate')) reply.header('www-authenticate', challengeOf(refusal, reply.request));
  return reply
    .code(problem.status)
    .header('cache-control', 'no-store')
    .header('content-type', 'application/problem+json; charset=utf-8')
    .serializer((body: unknown) => JSON.stringify(body))
    .send(problem);
}

/** RFC 6750 section 3: who showed a token hears that it is no good. With what RFC 9470 adds for a step-up. */
function challengeOf({ refused, challenge, detail = PROBLEMS[refused].detail }: Refusal, { headers }: FastifyRequest): string {
  const isShown = refused === 'unauthenticated' && headers.authorization !== undefined;
  if (challenge === undefined) return isShown ? 'Bearer error="invalid_token"' : 'Bearer';
  const asked = Object.entries(challenge).map(([name, value]) => `, ${name}="${value}"`);
  return `Bearer error="insufficient_user_authentication", error_description="${detail}"${asked.join('')}`;
}

/** Errors of Fastify, its plugins and Node by their status; any other 4xx is a request that is not valid, and the rest is ours. */
const BY_STATUS: Record<number, { code: ProblemCode; detail?: string }> = {
  400: { code: 'invalid-request' },
  403: { code: 'not-found' }, // a plugin that serves files, asked for what lies outside of them
  404: { code: 'not-found' },
  408: { code: 'request-timeout' },
  413: { code: 'payload-too-large' },
  414: { code: 'invalid-request', detail: 'The URL is too long.' },
  415: { code: 'unsupported-media-type' },
  431: { code: 'request-header-fields-too-large' },
};

function knownAs(status: number): { code: ProblemCode; detail?: string } | undefined {
  return BY_STATUS[status] ?? (status >= 400 && status < 500 ? { code: 'invalid-request' } : undefined);
}

export function installProblems(app: FastifyInstance, issuer: string): void {
  app.setErrorHandler((error: FastifyError, request, reply) => {
    if (error instanceof RefusalError) return sendProblem(reply.headers(error.headers), error.refusal, issuer);
    if (error instanceof DependencyDown) {
      request.log.warn({ reqId: request.id, dependency: error.dependency, err: error.cause }, 'a dependency does not answer');
      return sendProblem(reply, refuse('unavailable', { retryAfterSeconds: error.retryAfterSeconds }), issuer);
    }
    const known = knownAs(error.statusCode ?? 500);
    if (known) return sendProblem(reply, refuse(known.code, known.detail === undefined ? {} : { detail: known.detail }), issuer);
    request.log.error({ reqId: request.id, err: error }, 'request failed');
    return sendProblem(reply, refuse('internal-error'), issuer);
  });
}

/** 404, or 405 with `Allow` where the path answers to other methods (RFC 9110 15.5.6). */
export function installNotFound(
  app: FastifyInstance,
  { issuer, limits, methodsOf }: { issuer: string; limits: EdgeLimits; methodsOf: (path: string) => string[] },
): void {
  app.setNotFoundHandler(async (request, reply) => {
    // Limited like the API itself, or guessing paths would be free.
    await (await limits.begin(request, reply, { added: [], isByFlow: false })).settle();
    const methods = methodsOf(request.url.split('?')[0] ?? '/');
    if (methods.length === 0) return sendProblem(reply, refuse('not-found'), issuer);
    return sendProblem(reply.header('allow', methods.join(', ')), refuse('method-not-allowed'), issuer);
  });
}

/** For errors that Fastify meets before routing (a URL that cannot be decoded): no hook has run yet. */
export function malformedUrl(issuer: string) {
  return (_error: FastifyError, request: FastifyRequest, reply: FastifyReply): void => {
    reply.header('x-request-id', request.id);
    sendProblem(reply, refuse('invalid-request', { detail: 'The URL cannot be read.' }), issuer);
  };
}

/** For what is not even HTTP, or comes too slowly: the answer is written to the socket by hand. */
export function malformedHttp(issuer: string, count: (code: ProblemCode) => void) {
  return (error: Error & { code?: string }, socket: Socket): void => {
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy();
      return;
    }
    const code: ProblemCode =
      error.code === 'HPE_HEADER_OVERFLOW'
        ? 'request-header-fields-too-large'
        : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
          ? 'request-timeout'
          : 'invalid-request';
    count(code);
    const problem = problemOf(refuse(code), issuer, requestIdOf(undefined));
    const body = JSON.stringify(problem);
    const head = [
      `HTTP/1.1 ${problem.status} ${problem.title}`,
      'content-type: application/problem+json; charset=utf-8',
      'cache-control: no-store',
      `x-request-id: ${problem.instance}`,
      `content-length: ${Buffer.byteLength(body)}`,
      'connection: close',
    ];
    socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
  };
}
