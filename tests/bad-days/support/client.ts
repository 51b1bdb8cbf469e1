import { Agent, type IncomingHttpHeaders, request } from 'node:http';
import type { z } from 'zod';
import type { MfaRequiredView, RecoveryCodesView, TokensView } from '#http/views.ts';
import { ANSWERED_BY } from './balancer.ts';

/** What a client of the drills looks at in an answer. */
export type Body = Partial<
  Omit<z.output<typeof TokensView>, 'status'> &
    Omit<z.output<typeof MfaRequiredView>, 'status'> &
    z.output<typeof RecoveryCodesView> & { status: string | number; type: string; secret: string }
>;

/**
 * @param status 0: no answer came, and nobody says whether it was done
 * @param by which replica answered, where a balancer says so
 */
export type Reply = { status: number; code: string; body: Body; by: string; retryAfterSeconds: number; ms: number };

export type Client = {
  post(path: string, body?: object, token?: string): Promise<Reply>;
  get(path: string, token?: string): Promise<Reply>;
  close(): void;
};

/** Nothing of ours takes as long, a queue for hashing included: who waits longer hangs. */
const LONGEST_MS = 12_000;

/** A client as people have them: it keeps its connections, and hears of resets as "no answer". */
export function clientOf(origin: string): Client {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const exchange = (method: string, path: string, body: object | undefined, token: string | undefined) =>
    new Promise<Reply>((resolve) => {
      const sentAtMs = performance.now();
      const payload = body === undefined ? undefined : JSON.stringify(body);
      const end = (status: number, code: string, body: Body = {}, headers: IncomingHttpHeaders = {}) => {
        const [by, retryAfterSeconds] = [String(headers[ANSWERED_BY] ?? ''), Number(headers['retry-after'] ?? Number.NaN)];
        resolve({ status, code, body, by, retryAfterSeconds, ms: performance.now() - sentAtMs });
      };
      const headers = {
        'user-agent': 'latchkey-bad-days',
        ...(payload === undefined ? {} : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(payload)) }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      };
      const sent = request(`${origin}/api/auth/${path}`, { agent, method, headers, timeout: LONGEST_MS }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk) => {
          text += chunk;
        });
        response.on('error', () => end(0, 'cut off'));
        response.on('end', () => {
          if (!response.complete) return end(0, 'cut off');
          const answer = parsed(text);
          end(response.statusCode ?? 0, answer.type?.split('/').at(-1) ?? '', answer, response.headers);
        });
      });
      sent.on('timeout', () => {
        end(0, 'hang');
        sent.destroy();
      });
      sent.on('error', (error: NodeJS.ErrnoException) => end(0, error.code ?? error.message));
      sent.end(payload);
    });
  return {
    post: (path, body, token) => exchange('POST', path, body, token),
    get: (path, token) => exchange('GET', path, undefined, token),
    close: () => agent.destroy(),
  };
}

function parsed(text: string): Body {
  try {
    return text === '' ? {} : (JSON.parse(text) as Body);
  } catch {
    return { type: 'about:not-json' };
  }
}
