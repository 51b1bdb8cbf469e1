import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import type { DatabaseAddress } from '#infrastructure/postgres/connect.ts';

export type Proxy = {
  port: number;
  /** RST to both sides of every connection. @returns how many there were */
  reset(): number;
  /** Swallows the next chunk on its way back that is such an answer, and resets its connection: it was done, and nobody hears of it. */
  loseAnswer(isAnswer: (chunk: Buffer) => boolean): Promise<void>;
  close(): Promise<void>;
};

/** A stretch of network that a drill can break. */
export async function proxyTo(upstream: net.NetConnectOpts): Promise<Proxy> {
  const open = new Set<readonly [near: net.Socket, far: net.Socket]>();
  const lost: { isAnswer: (chunk: Buffer) => boolean; resolve: () => void }[] = [];
  const server = net.createServer({ noDelay: true }, (near) => {
    const far = net.connect(upstream);
    const pair = [near, far] as const;
    open.add(pair);
    near.on('data', (chunk) => far.write(chunk));
    far.on('data', (chunk) => {
      if (!lost[0]?.isAnswer(chunk)) return void near.write(chunk);
      lost.shift()?.resolve();
      resetPair(pair);
    });
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('error', () => {});
      from.on('close', () => {
        open.delete(pair);
        to.destroy();
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    reset() {
      const pairs = [...open];
      for (const pair of pairs) resetPair(pair);
      return pairs.length;
    },
    loseAnswer: (isAnswer) => new Promise((resolve) => lost.push({ isAnswer, resolve })),
    async close() {
      for (const pair of open) resetPair(pair);
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A Unix socket cannot be reset: it is ended. */
function resetPair(pair: readonly net.Socket[]): void {
  for (const socket of pair) {
    if (socket.remoteFamily === undefined) socket.destroy();
    else socket.resetAndDestroy();
  }
}

/** The way to a PostgreSQL, and the address of the same database by way of the proxy in between. */
export async function proxyToPostgres(address: DatabaseAddress): Promise<Proxy & { address: DatabaseAddress }> {
  if ('url' in address) throw new TypeError('the servers of the drills are reached by their sockets');
  const proxy = await proxyTo({ path: `${address.socketDirectory}/.s.PGSQL.5432` });
  return { ...proxy, address: { url: `postgres://${address.user}@127.0.0.1:${proxy.port}/${address.database}` } };
}

/**
 * The last of an answer of PostgreSQL outside of a transaction (CommandComplete, ReadyForQuery with status I; documentation 54.7):
 * what was asked is committed by then.
 */
export function isCommitted(chunk: Buffer): boolean {
  return chunk.includes(READY_AND_IDLE) && COMPLETED.some((tag) => chunk.includes(tag));
}
const READY_AND_IDLE = Buffer.from('Z\0\0\0\u0005I');
const COMPLETED = ['COMMIT\0', 'INSERT 0 ', 'UPDATE ', 'DELETE ', 'SELECT '].map((tag) => Buffer.from(tag));

export const isGoodAnswer = (chunk: Buffer): boolean => /^HTTP\/1\.1 2\d\d /.test(chunk.subarray(0, 16).toString('latin1'));
