import { createServer, type IncomingHttpHeaders, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { until } from '#tests/support/until.ts';

export type Balancer = {
  origin: string;
  /** Every replica gets requests: who rolls goes on only then. */
  isWhole(seconds?: number): Promise<unknown>;
  /** How many requests this replica has been sent and has not answered. */
  underWay(replica: string): number;
  close(): Promise<void>;
};

/** Says in every answer which replica gave it. */
export const ANSWERED_BY = 'x-answered-by';

/**
 * What it does while no replica says that it is ready. refuse: 503 by itself, as Kubernetes has nobody to send to. ask-all: as
 * balancers of AWS and Envoy do, for whom a check that nobody passes is wrong; so requests meet the service on the worst of days too.
 */
export type WhenNoneIsReady = 'refuse' | 'ask-all';

const ASKS_EVERY_MS = 50;
const READY_WITHIN_MS = 1000;
const WHOLE_WITHIN_SECONDS = 30;
/** So often in a row must a replica be silent or not ready to be left out: once may be chance. One that says it is stopping is out at once. */
const FALLS_AFTER = 3;

/**
 * A tiny balancer: in turn, to the replicas whose /health/ready says 200. It opens a connection for each request, and where none is
 * taken it asks the next replica (nothing was sent, so nothing is sent twice). It repeats nothing else: where a connection breaks
 * behind it, it breaks the one before it.
 * @param replicas their origins, whether they run or not
 */
export async function balancer(replicas: readonly string[], whenNoneIsReady: WhenNoneIsReady): Promise<Balancer> {
  const ready = new Map(replicas.map((origin) => [origin, false]));
  const underWay = new Map(replicas.map((origin) => [origin, 0]));
  const count = (origin: string, by: number) => underWay.set(origin, (underWay.get(origin) ?? 0) + by);
  let isClosed = false;
  let turn = 0;
  const watch = async (origin: string) => {
    for (let failures = FALLS_AFTER; !isClosed; await delay(ASKS_EVERY_MS)) {
      const state = await readiness(origin);
      failures = state === 'ready' ? 0 : failures + 1;
      ready.set(origin, state !== 'stopping' && failures < FALLS_AFTER);
    }
  };
  const watches = replicas.map(watch);

  const server = createServer(async (incoming, outgoing) => {
    const body = Buffer.concat(await incoming.toArray());
    const good = replicas.filter((origin) => ready.get(origin));
    const candidates = good.length === 0 && whenNoneIsReady === 'ask-all' ? replicas : good;
    turn++;
    for (let tried = 0; tried < candidates.length; tried++) {
      const origin = candidates[(turn + tried) % candidates.length] ?? '';
      count(origin, 1);
      const outcome = await forward(origin, incoming, body, outgoing).finally(() => count(origin, -1));
      if (outcome === 'answered') return;
      if (outcome === 'broken') return void outgoing.destroy();
      ready.set(origin, false);
    }
    outgoing.writeHead(503).end(); // nobody is there; the crowd asks again, and the drill knows
  });
  server.keepAliveTimeout = 0; // it is never the balancer who closes
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    isWhole: (seconds = WHOLE_WITHIN_SECONDS) => until('every replica is ready', () => [...ready.values()].every(Boolean), seconds),
    underWay: (replica) => underWay.get(replica) ?? 0,
    async close() {
      isClosed = true;
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await Promise.all(watches);
    },
  };
}

/** @returns its word for it, or silent */
async function readiness(origin: string): Promise<string> {
  try {
    const answer = await fetch(`${origin}/health/ready`, { signal: AbortSignal.timeout(READY_WITHIN_MS) });
    return ((await answer.json()) as { status: string }).status;
  } catch {
    return 'silent';
  }
}

/** @returns answered; refused when no connection was taken; broken when no whole answer came over the one that was */
function forward(origin: string, { method = 'GET', url = '/', headers }: IncomingMessage, body: Buffer, outgoing: ServerResponse) {
  return new Promise<'answered' | 'refused' | 'broken'>((resolve) => {
    const sent = request(origin + url, { method, headers: onward(headers), agent: false }, async (answer) => {
      try {
        const content = Buffer.concat(await answer.toArray());
        outgoing.writeHead(answer.statusCode ?? 502, { ...onward(answer.headers), [ANSWERED_BY]: origin }).end(content);
        resolve('answered');
      } catch {
        resolve('broken');
      }
    });
    sent.on('error', ({ code }: NodeJS.ErrnoException) => resolve(code === 'ECONNREFUSED' ? 'refused' : 'broken'));
    sent.end(body);
  });
}

/** A connection is between two; so is how its body is cut. */
function onward({ connection: _, 'keep-alive': __, 'transfer-encoding': ___, ...headers }: IncomingHttpHeaders): IncomingHttpHeaders {
  return headers;
}
