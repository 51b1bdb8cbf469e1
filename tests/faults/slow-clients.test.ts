import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { codeOf } from '#tests/support/openapi-check.ts';
import { startService, type TestService } from '#tests/support/service.ts';
import { until } from '#tests/support/until.ts';

/** The service cuts a request after ten seconds, who does not read after forty; the rest is for a machine with other things to do. */
const REQUEST_SECONDS = 10;
const READING_SECONDS = 40;
const PATIENCE_SECONDS = 10;

type Client = { socket: Socket; said(): string; openForMs: Promise<number> };

/** A connection that sends this at once, and then, if so asked, a byte each time. */
function client({ origin }: TestService, first: string, drip: { byte: string; everyMs: number } | null = null): Client {
  const openedMs = performance.now();
  const socket = connect(Number(new URL(origin).port), '127.0.0.1');
  let text = '';
  socket.setEncoding('utf8').on('data', (chunk) => {
    text += chunk;
  });
  socket.write(first);
  const dripping = drip ? setInterval(() => socket.write(drip.byte), drip.everyMs) : undefined;
  const openForMs = new Promise<number>((resolve) => {
    const end = () => {
      clearInterval(dripping);
      resolve(performance.now() - openedMs);
    };
    socket.on('error', end).on('close', end);
  });
  return { socket, said: () => text, openForMs };
}

const HEAD = 'POST /api/auth/login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n';
const seconds = (ms: number) => ms / 1000;

describe('a client that takes its time', { timeout: 60_000 }, () => {
  let service: TestService;
  let clients: Record<'headers' | 'body' | 'chunks' | 'stalled' | 'silent' | 'reader', Client>;
  beforeAll(async () => {
    service = await startService({
      settings: { LOG_LEVEL: 'silent', REDIS_URL: '', METRICS_TOKEN: 'the token of the tests for slow clients' },
    });
    const drip = { byte: 'a', everyMs: 300 };
    clients = {
      headers: client(service, `${HEAD}x-slow: `, drip),
      body: client(service, `${HEAD}content-length: 5000\r\n\r\n{"email":"`, drip),
      chunks: client(service, `${HEAD}transfer-encoding: chunked\r\n\r\n`, { byte: '1\r\na\r\n', everyMs: 300 }),
      stalled: client(service, `${HEAD}content-length: 5000\r\n\r\n{`),
      silent: client(service, ''),
      reader: client(service, 'GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n'.repeat(200)),
    };
    clients.reader.socket.pause();
  });
  afterAll(async () => {
    for (const { socket } of Object.values(clients)) socket.destroy();
    await service.stop();
  });

  it('does not keep others from being served', async () => {
    for (let time = 0; time < 20; time++) expect((await service.api().get('/health')).status).toBe(200);
    for (const each of Object.values(clients)) expect(each.socket.closed).toBe(false);
  });

  it.each(['headers', 'body', 'chunks', 'stalled'] as const)('is cut off after ten seconds with 408: %s [V15.2.2]', async (which) => {
    const { openForMs, said } = clients[which];
    const openFor = seconds(await openForMs);
    expect(openFor).toBeGreaterThanOrEqual(REQUEST_SECONDS); // who is on a bad line gets all of them
    expect(openFor).toBeLessThan(REQUEST_SECONDS + PATIENCE_SECONDS);
    expect(said()).toMatch(/^HTTP\/1\.1 408 /);
    expect(codeOf(JSON.parse(said().split('\r\n\r\n')[1] ?? ''))).toBe('request-timeout');
  });

  it('is cut off when it says nothing at all', async () => {
    const openFor = seconds(await clients.silent.openForMs);
    expect(openFor).toBeGreaterThanOrEqual(REQUEST_SECONDS);
    expect(openFor).toBeLessThan(REQUEST_SECONDS + PATIENCE_SECONDS);
  });

  it('is cut off when it asks and does not read', async () => {
    await until(
      'its connection is gone',
      async () => {
        const open = await new Promise<number>((resolve) => service.app.server.getConnections((_, count) => resolve(count)));
        return open <= 1; // that of the client of the test
      },
      READING_SECONDS + PATIENCE_SECONDS,
    );
  });

  it('is counted', async () => {
    const headers = { authorization: 'Bearer the token of the tests for slow clients' };
    const text = await (await fetch(`${service.origin}/metrics`, { headers })).text();
    const counted = [...text.matchAll(/^latchkey_problems_total\{.*code="request-timeout".*\} (\d+)$/gm)].reduce(
      (sum, [, n]) => sum + Number(n),
      0,
    );
    expect(counted).toBeGreaterThanOrEqual(4);
  });
});

describe('connections', () => {
  it('have a limit: one too many is closed as it comes, and there is room again when another ends', async () => {
    const service = await startService({ settings: { MAX_CONNECTIONS: '10', LOG_LEVEL: 'silent' } });
    try {
      const ask = 'GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n';
      const first = Array.from({ length: 10 }, () => client(service, ask));
      for (const { said } of first) await until('it is answered', () => said().startsWith('HTTP/1.1 200'));
      const more = Array.from({ length: 20 }, () => client(service, ask));
      for (const { openForMs, said } of more) {
        await openForMs;
        expect(said()).toBe('');
      }
      for (const { socket } of first) expect(socket.closed).toBe(false);
      first[0]?.socket.destroy();
      await until('there is room', async () => {
        const next = client(service, ask.replace('\r\n\r\n', '\r\nconnection: close\r\n\r\n'));
        await next.openForMs;
        return next.said().startsWith('HTTP/1.1 200');
      });
      for (const { socket } of first) socket.destroy();
    } finally {
      await service.stop();
    }
  });
});

describe('a body that is too large', () => {
  it('is refused as soon as that shows, whether its length was said or not', async () => {
    const service = await startService({ settings: { LOG_LEVEL: 'silent' } });
    try {
      const said = client(service, `${HEAD}content-length: 1000000000\r\n\r\n{"a":"`);
      const unsaid = client(service, `${HEAD}transfer-encoding: chunked\r\n\r\n${`1000\r\n${'a'.repeat(4096)}\r\n`.repeat(17)}`);
      for (const each of [said, unsaid]) await until('it is refused', () => each.said().startsWith('HTTP/1.1 413'));
      for (const { socket } of [said, unsaid]) socket.destroy();
    } finally {
      await service.stop();
    }
  });
});
