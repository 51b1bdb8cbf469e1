import { type Agent, type IncomingMessage, request } from 'node:http';
import { expect } from 'vitest';
import type { z } from 'zod';
import type { ProblemCode } from '#domain/problems.ts';
import type { Problem } from '#http/problem.ts';
import type { AdministeredUser } from '#http/routes/administer-users.ts';
import type { AuditEventView } from '#http/routes/audit-trail.ts';
import type { MfaRequiredView, PasskeyView, RecoveryCodesView, SessionView, TokensView, User } from '#http/views.ts';
import { codeOf, type Seen } from './openapi-check.ts';

/** Where a client calls from, and what it says of itself. */
export type Caller = { ip?: string; userAgent?: string };

export type Answer = Omit<Seen, 'body'> & { body: Wire; setCookies: string[] };

/** Every field that an answer can have: the OpenAPI check vouches for those that a test asks for. */
export type Wire = Omit<z.output<typeof TokensView>, 'status'> &
  z.output<typeof User> &
  Omit<z.output<typeof MfaRequiredView>, 'status'> &
  z.output<typeof PasskeyView> &
  z.output<typeof RecoveryCodesView> &
  Required<Problem> & {
    status: string | number;
    sessions: z.output<typeof SessionView>[];
    credentials: z.output<typeof PasskeyView>[];
    next_cursor: string | null;
    dependencies: Record<string, string>;
    secret: string;
    otpauth_uri: string;
    qr_code: string;
    challenge: string;
    users: z.output<typeof AdministeredUser>[];
    ip_blocks: { id: string; network: string }[];
    ends_at: string | null;
    events: z.output<typeof AuditEventView>[];
    live_sessions: number;
    acr: string;
    csrf_token: string;
  };

export type Sent = { body?: unknown; raw?: string; token?: string; headers?: Record<string, string> };

export type Api = {
  request(method: string, path: string, sent?: Sent): Promise<Answer>;
  get(path: string, token?: string): Promise<Answer>;
  post(path: string, body?: unknown, token?: string): Promise<Answer>;
  put(path: string, body: unknown, token?: string): Promise<Answer>;
  patch(path: string, body: unknown, token?: string): Promise<Answer>;
  delete(path: string, token?: string): Promise<Answer>;
};

/**
 * A client over real sockets; each of its answers was held against the OpenAPI document. The caller's address goes by
 * X-Forwarded-For, as from a proxy: test services trust this machine.
 */
export function apiOf(origin: string, agent: Agent, check: (seen: Seen) => void, caller: Caller = {}): Api {
  async function call(method: string, path: string, { body, raw, token, headers = {} }: Sent = {}): Promise<Answer> {
    const payload = raw ?? (body === undefined ? undefined : JSON.stringify(body));
    const answer = await exchange(agent, origin, method, path, payload, {
      ...(payload === undefined ? {} : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(payload)) }),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(caller.ip === undefined ? {} : { 'x-forwarded-for': caller.ip }),
      'user-agent': caller.userAgent ?? 'latchkey-tests',
      ...headers,
    });
    check(answer);
    return answer;
  }
  return {
    request: call,
    get: (path, token) => call('GET', path, token === undefined ? {} : { token }),
    post: (path, body, token) => call('POST', path, { body, ...(token === undefined ? {} : { token }) }),
    put: (path, body, token) => call('PUT', path, { body, ...(token === undefined ? {} : { token }) }),
    patch: (path, body, token) => call('PATCH', path, { body, ...(token === undefined ? {} : { token }) }),
    delete: (path, token) => call('DELETE', path, token === undefined ? {} : { token }),
  };
}

function exchange(
  agent: Agent,
  origin: string,
  method: string,
  path: string,
  payload: string | undefined,
  headers: Record<string, string>,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(origin + path, { agent, method, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk) => {
        text += chunk;
      });
      response.on('error', reject).on('end', () => resolve(answerOf(method, path, response, text)));
    });
    sent.on('error', reject).end(payload);
  });
}

function answerOf(method: string, path: string, { statusCode = 0, headers: given }: IncomingMessage, text: string): Answer {
  const headers = Object.fromEntries(Object.entries(given).map(([name, value]) => [name, String(value)]));
  const isJson = /\bjson\b/.test(headers['content-type'] ?? '');
  const setCookies = given['set-cookie'] ?? [];
  return { method, path, status: statusCode, headers, setCookies, text, body: isJson && text !== '' ? JSON.parse(text) : {} };
}

/** The answer is this problem. */
export function expectProblem(answer: Answer, code: ProblemCode): void {
  expect({ status: answer.status, code: codeOf(answer.body), text: answer.text }).toMatchObject({ code });
}

/** How many answers there were of each status and problem code, as `{ '200': 1, 'invalid-token': 49 }`. */
export function tally(answers: readonly Answer[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { status, body } of answers) {
    const kind = codeOf(body) || String(status);
    counts[kind] = (counts[kind] ?? 0) + 1;
  }
  return counts;
}

/** What a stranger can tell two answers apart by: everything but the request id and the date. */
export function visible({ status, headers, text }: Answer): object {
  const { 'x-request-id': id, date: _, ratelimit: __, ...rest } = headers;
  return { status, headers: rest, text: id === undefined ? text : text.replaceAll(id, 'the request id') };
}
