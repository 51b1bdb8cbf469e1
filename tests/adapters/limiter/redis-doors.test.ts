import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest';
import type { RateLimits } from '#domain/rate-limit.ts';
import { openRedis, type RedisConnection, type RedisSettings } from '#infrastructure/redis/redis-connection.ts';
import { redisLimiter } from '#infrastructure/redis/redis-limiter.ts';
import { type Certificates, type RedisServer, redisCertificates, redisServer } from '#tests/support/redis-servers.ts';

/** How a Redis may be guarded: a password, a user of its ACL, TLS with a CA of one's own. */
const PASSWORD = 'a/pass:word@with%everything';
/** All that docs/deploy.md says a user needs. */
const ACL = '+eval +evalsha +time +hmget +hset +pexpire +ping +info +client'.split(' ');
const escaped = encodeURIComponent(PASSWORD);

describe.runIf(inject('redisUrl') !== null)('a Redis behind', () => {
  let certificates: Certificates;
  let server: RedisServer;
  let tlsServer: RedisServer;
  const opened: RedisConnection[] = [];

  beforeAll(async () => {
    certificates = redisCertificates();
    server = await redisServer((port) => [
      ...['--port', String(port), '--requirepass', PASSWORD],
      ...['--user', 'auth', 'on', `>${PASSWORD}`, '~latchkey:*', ...ACL],
    ]);
    tlsServer = await redisServer((port) => [
      ...['--port', '0', '--tls-port', String(port), '--requirepass', PASSWORD],
      ...certificates.options,
    ]);
  });
  afterEach(async () => {
    for (const connection of opened.splice(0)) await connection.close();
  });
  afterAll(async () => {
    await server.stop();
    await tlsServer.stop();
    certificates.remove();
  });

  async function state(url: string, more: Partial<RedisSettings> = {}): Promise<{ is: string; errors: string }> {
    const errors: unknown[] = [];
    const connection = await openRedis(url, { isOptional: false, onError: (error) => errors.push(error), ...more });
    opened.push(connection);
    return { is: await connection.dependency.check(), errors: errors.join('\n') };
  }

  it('a password opens to the password alone, and no error tells it', async () => {
    expect(await state(`redis://:${escaped}@127.0.0.1:${server.port}`)).toEqual({ is: 'up', errors: '' });
    for (const url of [`redis://127.0.0.1:${server.port}`, `redis://:${escaped}x@127.0.0.1:${server.port}`]) {
      const refused = await state(url);
      expect(refused.is).toBe('down');
      expect(refused.errors).not.toContain(PASSWORD);
    }
  });

  it('an ACL opens to its user, who needs little', async () => {
    expect(await state(`redis://auth:${escaped}@127.0.0.1:${server.port}`)).toEqual({ is: 'up', errors: '' });
    const [connection] = opened;
    const hour = { capacity: 2, windowSeconds: 3600 };
    const limiter = redisLimiter(connection as RedisConnection, { limits: { login: hour } as RateLimits, prefix: 'latchkey' });
    const draws = [1, 2, 3].map(() => limiter.take([{ limit: 'login', key: '192.0.2.1' }], 'refuse'));
    expect((await Promise.all(draws)).map(({ allowed }) => allowed)).toEqual([true, true, false]);
    expect((await state(`redis://nobody:${escaped}@127.0.0.1:${server.port}`)).is).toBe('down');
  });

  it('[V12.3.2] TLS is talked to when its certificate is of the CA that REDIS_CA names, and not otherwise', async () => {
    const at = (host: string) => `rediss://:${escaped}@${host}:${tlsServer.port}`;
    expect(await state(at('localhost'), { ca: certificates.ca })).toEqual({ is: 'up', errors: '' });
    expect((await state(at('127.0.0.1'), { ca: certificates.ca })).is).toBe('up');
    expect((await state(at('localhost'))).is).toBe('down'); // nobody vouches for it
    expect((await state(at('127.0.0.2'), { ca: certificates.ca })).is).toBe('down'); // it is somebody else's
    expect((await state(at('localhost').replace('rediss:', 'redis:'))).is).toBe('down');
  });
});
