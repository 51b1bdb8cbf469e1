import net from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { DependencyDown } from '#application/ports/errors.ts';
import type { RateLimiter } from '#application/ports/services.ts';
import type { RateLimits } from '#domain/rate-limit.ts';
import { openRedis, type RedisConnection } from '#infrastructure/redis/redis-connection.ts';
import { redisLimiter } from '#infrastructure/redis/redis-limiter.ts';
import { type RedisStub, redisStub } from '#tests/support/redis-stub.ts';
import { until } from '#tests/support/until.ts';

/** What a Redis, or whoever stands before it, says and does on days that no server of the tests can be brought to. */

const limits = { login: { capacity: 20, windowSeconds: 3600 } } as RateLimits;
const login = [{ limit: 'login', key: '192.0.2.1' }] as const;
const DRAWN = '*3\r\n:1\r\n:1\r\n$2\r\n19\r\n';
const LOADING = '-LOADING Redis is loading the dataset in memory\r\n';
const INFO_LOADING = 'loading:1\r\nloading_eta_seconds:600\r\n';
const bulk = (text: string) => `$${text.length}\r\n${text}\r\n`;
const isDraw = (command: string[]) => command[0] === 'eval' || command[0] === 'evalsha';

let redis: RedisStub;
let opened: RedisConnection[] = [];
let told: unknown[];
beforeEach(async () => {
  redis = await redisStub();
  told = [];
});
afterEach(async () => {
  for (const connection of opened) await connection.close();
  opened = [];
  await redis.stop();
});

async function open(isCluster = false): Promise<RedisConnection> {
  const connection = await openRedis(redis.url, { isOptional: false, isCluster, onError: (error) => told.push(error) });
  opened.push(connection);
  return connection;
}
const limiterOn = (connection: RedisConnection): RateLimiter => redisLimiter(connection, { limits, prefix: 'odd' });
const draws = (limiter: RateLimiter) =>
  until('it draws', () =>
    limiter.take(login, 'refuse').then(
      ({ allowed }) => allowed,
      () => false,
    ),
  );

describe('[V16.5.2] a limiter on a Redis', () => {
  it.each([
    ['one number', ':1\r\n'],
    ['nothing', '_\r\n'],
    ['a text', '+OK\r\n'],
    ['a draw of fewer buckets', '*2\r\n:1\r\n:1\r\n'],
    ['a draw of more buckets', '*4\r\n:1\r\n:1\r\n$2\r\n19\r\n$2\r\n19\r\n'],
    ['tokens that are no number', '*3\r\n:1\r\n:1\r\n$3\r\nnan\r\n'],
    ['a yes that is a text', '*3\r\n+1\r\n:1\r\n$2\r\n19\r\n'],
  ])('that answers a draw with %s refuses, as without Redis', async (_what, answer) => {
    redis.reply = (command) => (isDraw(command) ? answer : null);
    const limiter = limiterOn(await open());
    await expect(limiter.take(login, 'refuse')).rejects.toThrow(DependencyDown);
    expect(String(told[0])).toContain('something else');
    redis.reply = (command) => (isDraw(command) ? DRAWN : null);
    await draws(limiter);
  });

  it.each([
    ['Redis 7 says it', "READONLY You can't write against a read only replica. script: fde9b1b7, on @user_script:37."],
    [
      'Redis 6.2 says it',
      "ERR Error running script (call to f_fde9b1b7): @user_script:37: @user_script: 37: -READONLY You can't write against a read only replica. ",
    ],
    ['one that serves no old data says it', "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."],
  ])('that is a replica by now, as %s, connects anew to find the primary, once however many hear of it', async (_how, said) => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error) => void warnings.push(warning);
    process.on('warning', onWarning);
    redis.reply = (command, connection) => (isDraw(command) ? (connection === 1 ? `-${said}\r\n` : DRAWN) : null);
    const limiter = limiterOn(await open());
    const asked = Array.from({ length: 50 }, () => limiter.take(login, 'refuse'));
    for (const outcome of await Promise.allSettled(asked)) expect(outcome).toMatchObject({ reason: expect.any(DependencyDown) });
    await draws(limiter);
    expect(redis.connections()).toBe(2);
    process.off('warning', onWarning);
    expect(warnings).toEqual([]); // of listeners on the socket, for one
  });

  it('that loads its data holds up no start, is told of by its own words, and is used as soon as it has loaded', async () => {
    redis.reply = (command) => (command[0] === 'info' ? bulk(INFO_LOADING) : isDraw(command) ? LOADING : null);
    const startMs = performance.now();
    const connection = await open();
    expect(performance.now() - startMs).toBeLessThan(1000);
    const limiter = limiterOn(connection);
    await expect(limiter.take(login, 'refuse')).rejects.toThrow(DependencyDown);
    expect(await connection.dependency.check()).toBe('down');
    expect(String(told[0])).toContain('LOADING');
    redis.reply = (command) => (isDraw(command) ? DRAWN : null);
    const loadedMs = performance.now();
    await draws(limiter);
    expect(performance.now() - loadedMs).toBeLessThan(1000);
  });

  it('that goes on greeting for ever holds up no start', async () => {
    redis.reply = (command) => (command[0] === 'hello' ? '*99\r\n' : '+still\r\n');
    const talking = setInterval(() => redis.talk('+still\r\n'), 100);
    const startMs = performance.now();
    const connection = await open();
    expect(performance.now() - startMs).toBeLessThan(4000);
    clearInterval(talking);
    expect(await connection.dependency.check()).toBe('down');
  });

  it.each(['reset', 'fin'] as const)(
    'whose connection breaks by %s is done with or refused at once: nothing is sent again, nothing takes the answer of another',
    async (how) => {
      redis.reply = ([name, word = '']) => (name === 'echo' ? bulk(word) : null);
      const made = vi.spyOn(net.Socket.prototype, 'connect');
      const { run } = await open();
      const socket = (made.mock.contexts as net.Socket[]).find(({ remotePort }) => String(remotePort) === new URL(redis.url).port);
      made.mockRestore();
      const outcomes: unknown[] = [];
      let waiting = 0;
      const ask = (word: string) => {
        const sentAtMs = performance.now();
        waiting++;
        run((client) => client.echo(word)).then(
          (said) => outcomes.push(said === word ? 'done' : { word, said }),
          (error) => outcomes.push(error instanceof DependencyDown && performance.now() - sentAtMs < 150 ? 'refused' : error),
        );
      };
      // Between the 'error' and the 'close' of the socket, and in every turn around it.
      for (const event of ['error', 'end', 'finish', 'close'])
        socket?.prependListener(event, () => {
          ask(event);
          queueMicrotask(() => ask(`${event}, a microtask later`));
          process.nextTick(() => ask(`${event}, a tick later`));
          setImmediate(() => ask(`${event}, a turn later`));
        });
      ask('before');
      redis.cut(how);
      await until('it is connected again', async () => {
        const before = outcomes.length;
        ask('after');
        await until('all are told', () => outcomes.length === waiting);
        return outcomes[before] === 'done' && redis.connections() === 2;
      });
      expect(waiting).toBeGreaterThan(8);
      expect(outcomes.filter((outcome) => outcome !== 'done' && outcome !== 'refused')).toEqual([]);
      const words = redis.asked.filter(([name, word]) => name === 'echo' && word !== 'after').map(([, word]) => word);
      expect(words).toEqual([...new Set(words)]);
    },
  );
});
