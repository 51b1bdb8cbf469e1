import { expect } from 'vitest';
import type { Answer, Api, Sent } from './api.ts';
import { type Person, verifiedPerson } from './people.ts';
import type { TestService } from './service.ts';

/** A browser as far as cookies go: it keeps what it is given, sends it back, and its page shows the CSRF token. */
export type CookieClient = Pick<Api, 'get' | 'post' | 'delete'> & {
  /** @param sent `csrf` in place of the right token; null sends none */
  request(method: string, path: string, sent?: Sent & { csrf?: string | null }): Promise<Answer>;
  jar: Map<string, string>;
};

export function cookieClient(api: Api, jar = new Map<string, string>()): CookieClient {
  async function request(method: string, path: string, { csrf, headers = {}, ...sent }: Sent & { csrf?: string | null } = {}) {
    const token = csrf === undefined ? jar.get('csrf_token') : csrf;
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    const answer = await api.request(method, path, {
      ...sent,
      headers: {
        ...(cookie === '' ? {} : { cookie }),
        ...(typeof token === 'string' && method !== 'GET' ? { 'x-csrf-token': token } : {}),
        ...headers,
      },
    });
    for (const line of answer.setCookies) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      if (/; Max-Age=0\b/.test(line)) jar.delete(name);
      else jar.set(name, value);
    }
    return answer;
  }
  return {
    jar,
    request,
    get: (path) => request('GET', path),
    post: (path, body) => request('POST', path, { body }),
    delete: (path) => request('DELETE', path),
  };
}

/** Signs in by cookie. */
export async function signInByCookie(client: CookieClient, { email, password }: Person): Promise<string> {
  const answer = await client.post('/api/auth/login', { email, password, transport: 'cookie' });
  expect(answer.status, answer.text).toBe(200);
  return answer.body.session_id;
}

export type Browsing = Person & { browser: CookieClient; sessionId: string };

/** Somebody signed in by cookie. */
export async function browsingPerson(service: TestService): Promise<Browsing> {
  const person = await verifiedPerson(service);
  const browser = cookieClient(service.api());
  return { ...person, browser, sessionId: await signInByCookie(browser, person) };
}
