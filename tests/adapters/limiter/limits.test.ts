import { Agent } from 'node:http';
import Fastify from 'fastify';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { z } from 'zod';
import { DependencyDown } from '#application/ports/errors.ts';
import type { RateLimiter } from '#application/ports/services.ts';
import { refuse } from '#domain/problems.ts';
import type { RateLimits } from '#domain/rate-limit.ts';
import { cookies as cookiesOf } from '#http/cookies.ts';
import { csrf as csrfOf } from '#http/csrf.ts';
import { installLimits } from '#http/limits.ts';
import { mount } from '#http/mount.ts';
import { installNotFound, installProblems } from '#http/problem.ts';
import type { Route } from '#http/route.ts';
import { csrfTokens } from '#infrastructure/crypto/csrf-tokens.ts';
import { inProcessLimiter } from '#infrastructure/embedded/in-process-limiter.ts';
import { withFallback } from '#infrastructure/redis/with-fallback.ts';
import { apiOf } from '#tests/support/api.ts';

const limits: RateLimits = {
  global: { capacity: 500, windowSeconds: 3600 },
  'per-ip': { capacity: 10, windowSeconds: 60 },
  'per-user': { capacity: 10, windowSeconds: 60 },
  login: { capacity: 5, windowSeconds: 60 },
  register: { capacity: 3, windowSeconds: 60 },
  'password-reset': { capacity: 3, windowSeconds: 3600 },
  mfa: { capacity: 10, windowSeconds: 60 },
  'sms-number': { capacity: 5, windowSeconds: 3600 },
  'sms-prefix': { capacity: 50, windowSeconds: 3600 },
  'sms-total': { capacity: 1000, windowSeconds: 86_400 },
};
const clock = { now: () => new Date(Date.UTC(2026, 0, 1)) };
const PLAIN = '/api/auth/me';
const CRITICAL = '/api/auth/login';
const WRONG = '/api/auth/verify-mfa';
const BY_FLOW = '/api/auth/forgot-password';

const nobody = () => Promise.reject(new Error('no route here asks'));
const cookies = cookiesOf({ allowsPlain: false });
const issuer = 'https://auth.example.com';

/** The limits alone on a server of a few routes; the routes count how often they were reached. */
async function serverWith(limiter: RateLimiter, given: RateLimits = limits) {
  const app = Fastify({ trustProxy: '127.0.0.1' });
  let reached = 0;
  const at = (method: 'GET' | 'POST', path: string, rest: Partial<Route>) =>
    ({
      ...{ method, path, tag: 'x', summary: 'x', access: 'public', problems: [], responses: { 204: { description: 'x' } } },
      handler: async () => {
        reached += 1;
        return { status: 204 };
      },
      ...rest,
    }) as Route;
  const byFlow: Route['handler'] = async ({ body, allowance }) => {
    if ((body as { email: string }).email === 'nobody') return refuse('invalid-request');
    const { refusal, also } = await allowance.take([{ limit: 'password-reset', key: (body as { email: string }).email }]);
    if (refusal) return refusal;
    reached += 1;
    return { status: also.allowed ? 202 : 204 };
  };
  installProblems(app, issuer);
  const edge = await installLimits(app, limiter, given['per-ip']);
  const routes = [
    at('POST', WRONG, { limits: ['mfa'], handler: async () => refuse('invalid-code') }),
    at('GET', PLAIN, {}),
    at('POST', CRITICAL, { limits: ['login'] }),
    at('POST', BY_FLOW, { limits: ['register'], isLimitedByFlow: true, body: z.strictObject({ email: z.string() }), handler: byFlow }),
    at('GET', '/health', {}),
  ];
  const csrf = csrfOf({ csrfTokens: csrfTokens(Buffer.alloc(32)), cookies, ownOrigins: [] });
  mount(app, routes, {
    access: { identifyIfThere: nobody, identifyIfLive: nobody, guard: nobody },
    services: nobody,
    csrf,
    cookies,
    limits: edge,
    issuer,
  });
  installNotFound(app, { issuer, limits: edge, methodsOf: () => [] });
  const origin = await app.listen({ host: '127.0.0.1', port: 0 });
  const agent = new Agent({ keepAlive: true });
  onTestFinished(async () => {
    agent.destroy();
    await app.close();
  });
  /** @param given a body, or the bytes of one */
  async function ask(method: 'GET' | 'POST', url: string, ip = '192.0.2.1', given?: object | string) {
    const sent = typeof given === 'string' ? { raw: given } : { body: given };
    const { status, headers, body } = await apiOf(origin, agent, () => {}, { ip }).request(method, url, sent);
    return { status, headers, body };
  }
  return { ask, reached: () => reached };
}

describe('The limits at the edge', () => {
  let server: Awaited<ReturnType<typeof serverWith>>;
  beforeEach(async () => {
    server = await serverWith(inProcessLimiter(clock, { limits }));
  });

  it('tells the policy and what is left on every limited response', async () => {
    const { headers } = await server.ask('POST', CRITICAL);
    expect(headers['ratelimit-policy']).toBe('"per-ip";q=10;w=60, "login";q=5;w=60');
    expect(headers['ratelimit']).toMatch(/^"per-ip";r=9;t=\d+, "login";r=4;t=12$/);
    expect(Object.keys(headers).filter((name) => name.startsWith('x-ratelimit'))).toEqual([]);
  });

  it('[V2.4.1] lets exactly as many reach the route as its smallest bucket holds when 50 come at once', async () => {
    const answers = await Promise.all(Array.from({ length: 50 }, () => server.ask('POST', CRITICAL)));
    expect(server.reached()).toBe(5);
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(45);
  });

  it('refuses with a problem that says when to come back', async () => {
    for (let sent = 0; sent < 5; sent += 1) await server.ask('POST', CRITICAL);
    const refused = await server.ask('POST', CRITICAL);
    expect(refused.status).toBe(429);
    expect(refused.headers['content-type']).toMatch(/^application\/problem\+json/);
    expect(refused.body).toMatchObject({ type: 'https://auth.example.com/problems/rate-limited', status: 429 });
    expect(refused.headers['retry-after']).toBe('12');
    expect(refused.headers['ratelimit']).toMatch(/"login";r=0/);
  });

  it('draws nothing from the coarse limit when the limit of the route is used up', async () => {
    for (let sent = 0; sent < 20; sent += 1) await server.ask('POST', CRITICAL);
    expect((await server.ask('GET', PLAIN)).headers['ratelimit']).toMatch(/^"per-ip";r=4;/);
  });

  it('[V6.3.1] lets a failure weigh more than a success: four tokens of its network', async () => {
    const left = async (from: string) => /"per-ip";r=(\d+)/.exec(String((await server.ask('GET', PLAIN, from)).headers['ratelimit']))?.[1];
    await server.ask('POST', WRONG, '192.0.2.7');
    await server.ask('POST', CRITICAL, '192.0.2.8');
    expect([await left('192.0.2.7'), await left('192.0.2.8')]).toEqual(['5', '8']);
    await server.ask('POST', WRONG, '192.0.2.7');
    expect((await server.ask('POST', WRONG, '192.0.2.7')).status).toBe(401);
    expect((await server.ask('POST', WRONG, '192.0.2.7')).status).toBe(429);
  });

  it('[V15.3.4] takes the right-most hop that is no proxy for the caller, whatever stands left of it', async () => {
    const left = async (chain: string) =>
      /"per-ip";r=(\d+)/.exec(String((await server.ask('GET', PLAIN, chain)).headers['ratelimit']))?.[1];
    expect(await left('192.0.2.9')).toBe('9');
    expect(await left('203.0.113.1, 192.0.2.9')).toBe('8');
    expect(await left('192.0.2.10, 192.0.2.9, 127.0.0.1')).toBe('7');
    expect(await left('garbage, 192.0.2.9')).toBe('6');
    expect(await left('192.0.2.10')).toBe('9');
    expect(await left('192.0.2.9, 2001:db8:5:5::1')).toBe('9');
    expect(await left('192.0.2.9, 2001:db8:5:5:ffff::2')).toBe('8');
  });

  it('counts an IPv6 network as one caller and others by themselves', async () => {
    for (let sent = 0; sent < 5; sent += 1) await server.ask('POST', CRITICAL, `2001:db8:0:1::${sent + 1}`);
    expect((await server.ask('POST', CRITICAL, '2001:db8:0:1:ffff::1')).status).toBe(429);
    expect((await server.ask('POST', CRITICAL, '2001:db8:0:2::1')).status).toBe(204);
    expect((await server.ask('POST', CRITICAL, '192.0.2.2')).status).toBe(204);
  });

  it('[V2.4.1] refuses everybody when the bucket of everybody is empty, which no header shows', async () => {
    const few = { ...limits, global: { capacity: 3, windowSeconds: 60 } };
    const shared = await serverWith(inProcessLimiter(clock, { limits: few }), few);
    const answers = await Promise.all(Array.from({ length: 5 }, (_, index) => shared.ask('GET', PLAIN, `192.0.2.${index}`)));
    expect(answers.map(({ status }) => status).sort()).toEqual([204, 204, 204, 429, 429]);
    for (const { headers } of answers) expect(JSON.stringify(headers)).not.toContain('global');
    const refused = answers.find(({ status }) => status === 429);
    expect(refused?.headers).toMatchObject({ 'retry-after': '20', ratelimit: '"per-ip";r=10;t=0' });
  });

  it('draws nothing from the bucket of everybody for an address that is refused: one of them shuts nobody else out', async () => {
    const few = { ...limits, global: { capacity: 15, windowSeconds: 60 } };
    const shared = await serverWith(inProcessLimiter(clock, { limits: few }), few);
    for (let sent = 0; sent < 60; sent += 1) await shared.ask('GET', PLAIN, '192.0.2.66');
    expect((await shared.ask('GET', PLAIN, '192.0.2.1')).status).toBe(204);
  });

  it('leaves the draw to a flow that knows whom the request is about, and makes it for one that ends sooner', async () => {
    const about = (email: string) => server.ask('POST', BY_FLOW, '192.0.2.1', { email });
    expect([(await about('a')).status, (await about('nobody')).status, (await about('nobody')).status]).toEqual([202, 400, 400]);
    const refused = [await about('a'), await about('nobody'), await server.ask('POST', BY_FLOW, '192.0.2.1', { surplus: 1 })];
    expect(refused.map(({ status }) => status)).toEqual([429, 429, 429]);
    expect(server.reached()).toBe(1);
  });

  it('counts what is refused before its flow: a body that cannot be read', async () => {
    for (let sent = 0; sent < 3; sent += 1) {
      const broken = await server.ask('POST', BY_FLOW, '192.0.2.1', '{"email":');
      expect([broken.status, broken.headers['ratelimit-policy']]).toEqual([400, '"per-ip";q=10;w=60, "register";q=3;w=60']);
    }
    expect((await server.ask('POST', BY_FLOW, '192.0.2.1', '{"email":')).status).toBe(429);
  });

  it('shows nothing of what a flow adds, and lets the request pass when that is used up', async () => {
    const answers = [];
    for (let sent = 0; sent < 4; sent += 1) answers.push(await server.ask('POST', BY_FLOW, `192.0.2.${sent}`, { email: 'one mailbox' }));
    expect(answers.map(({ status }) => status)).toEqual([202, 202, 202, 204]);
    for (const { headers } of answers) expect(headers['ratelimit-policy']).toBe('"per-ip";q=10;w=60, "register";q=3;w=60');
  });

  it('asks nobody about an address that floods, while others are served', async () => {
    let asked = 0;
    const local = inProcessLimiter(clock, { limits });
    const counting: RateLimiter = {
      ...local,
      take: (...call) => {
        asked += 1;
        return local.take(...call);
      },
    };
    const flooded = await serverWith(counting);
    const answers = [];
    for (let sent = 0; sent < 150; sent += 1) answers.push(await flooded.ask('GET', PLAIN, '2001:db8:7:7::1'));
    expect(asked).toBe(100);
    const last = answers.at(-1);
    expect([last?.status, Number(last?.headers['retry-after']) > 0, last?.headers['ratelimit-policy']]).toEqual([
      429,
      true,
      '"per-ip";q=10;w=60',
    ]);
    expect((await flooded.ask('GET', PLAIN, '2001:db8:7:7:8::9')).status).toBe(429);
    expect((await flooded.ask('GET', PLAIN, '2001:db8:7:8::1')).status).toBe(204);
  });

  it('goes on counting floods by a clock that nobody sets back', async () => {
    const flooded = await serverWith(inProcessLimiter(clock, { limits }));
    for (let sent = 0; sent < 50; sent += 1) await flooded.ask('GET', PLAIN);
    const setBack = vi.spyOn(Date, 'now').mockReturnValue(Date.now() - 3_600_000);
    try {
      for (let sent = 0; sent < 51; sent += 1) await flooded.ask('GET', PLAIN);
      const { headers } = await flooded.ask('GET', PLAIN);
      expect(Number(headers['retry-after'])).toBeLessThanOrEqual(60);
    } finally {
      setBack.mockRestore();
    }
  });

  it('counts paths that are not there', async () => {
    const statuses = [];
    for (let sent = 0; sent < 12; sent += 1) statuses.push((await server.ask('GET', `/api/auth/${sent}`)).status);
    expect(statuses).toEqual([...Array(10).fill(404), 429, 429]);
  });

  it('leaves routes that are not of the API alone', async () => {
    for (let sent = 0; sent < 30; sent += 1) {
      const { status, headers } = await server.ask('GET', '/health');
      expect([status, headers['ratelimit']]).toEqual([204, undefined]);
    }
  });
});

describe('[V16.5.3] The limits without Redis', () => {
  const down = () => Promise.reject(new DependencyDown('redis'));
  const gone: RateLimiter = { take: down, charge: down };

  it('close the critical routes with 503, unreached, and count the others in process', async () => {
    const limiter = withFallback(gone, inProcessLimiter(clock, { limits }), () => {});
    const server = await serverWith(limiter);
    const critical = await server.ask('POST', CRITICAL);
    expect([critical.status, critical.body.type]).toEqual([503, 'https://auth.example.com/problems/unavailable']);
    expect(Number(critical.headers['retry-after'])).toBeGreaterThan(0);
    expect(server.reached()).toBe(0);

    const answers = [];
    for (let sent = 0; sent < 12; sent += 1) answers.push((await server.ask('GET', PLAIN)).status);
    expect(answers).toEqual([...Array(10).fill(204), 429, 429]);
    expect(limiter.fallbacks()).toBe(12);
  });
});
