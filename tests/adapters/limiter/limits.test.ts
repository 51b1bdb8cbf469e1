import Fastify, { type FastifyInstance } from 'fastify';
import { beforeEach, describe, expect, it } from 'vitest';
import { DependencyDown } from '#application/ports/errors.ts';
import type { RateLimiter } from '#application/ports/services.ts';
import type { RateLimits } from '#domain/rate-limit.ts';
import { installLimits, limitConfig } from '#http/limits.ts';
import { installProblems } from '#http/problem.ts';
import { inProcessLimiter } from '#infrastructure/embedded/in-process-limiter.ts';
import { withFallback } from '#infrastructure/redis/with-fallback.ts';

const limits: RateLimits = {
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

/** The limits alone on a server of three routes; the routes count how often they were reached. */
async function serverWith(limiter: RateLimiter) {
  const app: FastifyInstance = Fastify({ trustProxy: '127.0.0.1', genReqId: (request) => String(request.headers['x-request-id']) });
  installProblems(app, 'https://auth.example.com');
  await installLimits(app, limiter);
  let reached = 0;
  const handler = async () => {
    reached += 1;
    return {};
  };
  app.post(WRONG, { config: { rateLimit: limitConfig(['mfa']) } }, async (_request, reply) => reply.code(401).send({}));
  app.get(PLAIN, { config: { rateLimit: limitConfig([]) } }, handler);
  app.post(CRITICAL, { config: { rateLimit: limitConfig(['login']) } }, handler);
  app.get('/health', handler);
  let sent = 0;
  const ask = (method: 'GET' | 'POST', url: string, from = '192.0.2.1') => {
    sent += 1;
    return app.inject({ method, url, headers: { 'x-forwarded-for': from, 'x-request-id': `request-${sent}` } });
  };
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
    expect(answers.filter(({ statusCode }) => statusCode === 429)).toHaveLength(45);
  });

  it('refuses with a problem that says when to come back', async () => {
    for (let sent = 0; sent < 5; sent += 1) await server.ask('POST', CRITICAL);
    const refused = await server.ask('POST', CRITICAL);
    expect(refused.statusCode).toBe(429);
    expect(refused.headers['content-type']).toMatch(/^application\/problem\+json/);
    expect(refused.json()).toMatchObject({ type: 'https://auth.example.com/problems/rate-limited', status: 429 });
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
    expect((await server.ask('POST', WRONG, '192.0.2.7')).statusCode).toBe(401);
    expect((await server.ask('POST', WRONG, '192.0.2.7')).statusCode).toBe(429);
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
    expect((await server.ask('POST', CRITICAL, '2001:db8:0:1:ffff::1')).statusCode).toBe(429);
    expect((await server.ask('POST', CRITICAL, '2001:db8:0:2::1')).statusCode).toBe(200);
    expect((await server.ask('POST', CRITICAL, '192.0.2.2')).statusCode).toBe(200);
  });

  it('leaves routes that are not of the API alone', async () => {
    for (let sent = 0; sent < 30; sent += 1) {
      const { statusCode, headers } = await server.ask('GET', '/health');
      expect([statusCode, headers['ratelimit']]).toEqual([200, undefined]);
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
    expect([critical.statusCode, critical.json().type]).toEqual([503, 'https://auth.example.com/problems/unavailable']);
    expect(Number(critical.headers['retry-after'])).toBeGreaterThan(0);
    expect(server.reached()).toBe(0);

    const answers = [];
    for (let sent = 0; sent < 12; sent += 1) answers.push((await server.ask('GET', PLAIN)).statusCode);
    expect(answers).toEqual([...Array(10).fill(200), 429, 429]);
    expect(limiter.fallbacks()).toBe(12);
  });
});
