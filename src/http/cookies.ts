import type { FastifyReply, FastifyRequest } from 'fastify';
import type { SessionCookie } from '#application/session-cookie.ts';
import { DEVICE_COOKIE_SECONDS, deviceKind } from '#domain/device.ts';

/** A cookie by its plain name; `session` and `device` go out under the `__Host-` prefix (RFC 6265bis 4.1.3.2). */
export type Cookie = { name: 'session' | 'csrf_token' | 'device'; value: string; maxAgeSeconds: number };

/** What a browser keeps of its session. The CSRF token is there for the page to read, the session for nobody. */
export function sessionCookies(cookie: SessionCookie | null): Cookie[] {
  if (cookie === null) return [];
  const { value, csrfToken, maxAgeSeconds } = cookie;
  return [
    { name: 'session', value, maxAgeSeconds },
    { name: 'csrf_token', value: csrfToken, maxAgeSeconds },
  ];
}

/**
 * What a browser is told when its session is over: its cookies go, and what it keeps of this origin. Not its cookies as such: those of
 * neighbour hosts and the device's own would go too.
 */
export const SESSION_OVER: { headers: Record<string, string>; cookies: Cookie[] } = {
  headers: { 'clear-site-data': '"cache", "storage"' },
  cookies: [
    { name: 'session', value: '', maxAgeSeconds: 0 },
    { name: 'csrf_token', value: '', maxAgeSeconds: 0 },
  ],
};

/** What a browser keeps to be known again by, long after its session. */
export function deviceCookies(value: string | null): Cookie[] {
  return value === null ? [] : [{ name: 'device', value, maxAgeSeconds: DEVICE_COOKIE_SECONDS }];
}

/**
 * Reads and writes cookies.
 * @param allowsPlain in development over http://localhost: Safari alone keeps no Secure cookie there, and gets plain ones (docs/browsers.md)
 */
export function cookies({ allowsPlain }: { allowsPlain: boolean }) {
  const isPlain = (request: FastifyRequest) => allowsPlain && isSafari(request.headers['user-agent'] ?? '');
  const nameOf = (name: Cookie['name'], plain: boolean) => (plain || name === 'csrf_token' ? name : `__Host-${name}`);
  const all = (request: FastifyRequest, name: Cookie['name']) =>
    valuesOf(request.raw.headersDistinct['cookie'] ?? [], nameOf(name, isPlain(request)));
  return {
    /** Every value of this name that the browser sent. */
    all,
    /** @returns null when it is not there, or there twice: nobody can tell then which one the server set (ASVS 3.3.1, T15) */
    read(request: FastifyRequest, name: Cookie['name']): string | null {
      const values = all(request, name);
      return values.length === 1 ? (values[0] ?? null) : null;
    },
    write(request: FastifyRequest, reply: FastifyReply, set: readonly Cookie[]): void {
      const plain = isPlain(request);
      for (const { name, value, maxAgeSeconds } of set) {
        const marks = [plain ? '' : '; Secure', name === 'csrf_token' ? '' : '; HttpOnly'].join('');
        const line = `${nameOf(name, plain)}=${value}; Path=/; Max-Age=${maxAgeSeconds}; SameSite=Strict${marks}`;
        if (![reply.getHeader('set-cookie')].flat().includes(line)) reply.header('set-cookie', line);
      }
    },
  };
}

export type Cookies = ReturnType<typeof cookies>;

/** Every value that the headers give this name; what is no plain token was never set by us. */
function valuesOf(headers: readonly string[], name: string): string[] {
  const pairs = headers.flatMap((header) => header.split(';')).map((pair) => pair.trim());
  const values = pairs.filter((pair) => pair.startsWith(`${name}=`)).map((pair) => pair.slice(name.length + 1));
  return values.filter((value) => value !== '');
}

function isSafari(userAgent: string): boolean {
  return deviceKind(userAgent).startsWith('Safari');
}
