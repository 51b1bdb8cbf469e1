import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import type { DatabaseAddress } from '#infrastructure/postgres/connect.ts';

export type Wire = {
  /** The same database, by way of the wire. */
  address: { url: string };
  /** How often one side has waited for the other since the last time this was asked; for one statement after another. */
  roundTrips(): number;
  /** Nothing passes any more and nobody is told: a frozen server, or one whose machine is gone. `answers`: nothing comes back. */
  freeze(which: 'all' | 'open' | 'answers'): void;
  thaw(): void;
  /** Ends the open connections: politely (FIN), or as a crashed machine does (RST). */
  cut(how: 'fin' | 'reset'): void;
  /** Whether new connections are taken. */
  refuse(isRefused: boolean): Promise<void>;
  connections(): number;
  close(): Promise<void>;
};

/** A stretch of network between the store and PostgreSQL that a test can count on, freeze and cut. */
export async function wireTo(address: DatabaseAddress): Promise<Wire> {
  const upstream = upstreamOf(address);
  const open = new Set<net.Socket>();
  const far = new Set<net.Socket>();
  let isFrozen = false;
  let trips = 0;
  let isAsking = false;

  const server = net.createServer((near) => {
    const there = net.connect(upstream);
    far.add(there);
    for (const [from, to] of [
      [near, there],
      [there, near],
    ] as const) {
      from.on('data', (chunk) => {
        if (from === near && !isAsking) trips++;
        isAsking = from === near;
        to.write(chunk);
      });
      from.on('error', () => {});
      from.on('close', () => {
        open.delete(from);
        far.delete(from);
        to.destroy();
      });
      open.add(from);
      if (isFrozen) from.pause();
    }
  });
  const listen = async (port: number) => {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  };
  const port = await listen(0);

  return {
    address: { url: urlThrough(address, port) },
    roundTrips() {
      const count = trips;
      trips = 0;
      return count;
    },
    freeze(which) {
      isFrozen = which === 'all';
      for (const socket of which === 'answers' ? far : open) socket.pause();
    },
    thaw() {
      isFrozen = false;
      for (const socket of open) socket.resume();
    },
    cut(how) {
      // A Unix socket cannot be reset.
      for (const socket of open) how === 'reset' && socket.remoteFamily !== undefined ? socket.resetAndDestroy() : socket.destroy();
    },
    async refuse(isRefused) {
      if (!isRefused) return void (await listen(port));
      const closed = once(server, 'close');
      server.close();
      for (const socket of open) socket.destroy();
      await closed;
    },
    connections: () => open.size / 2,
    async close() {
      for (const socket of open) socket.destroy();
      if (server.listening) await new Promise((resolve) => server.close(resolve));
    },
  };
}

function upstreamOf(address: DatabaseAddress): net.NetConnectOpts {
  if (!('url' in address)) return { path: `${address.socketDirectory}/.s.PGSQL.5432` };
  const { hostname, port } = new URL(address.url);
  return { host: hostname, port: Number(port || 5432) };
}

function urlThrough(address: DatabaseAddress, port: number): string {
  if (!('url' in address)) return `postgres://${address.user}@127.0.0.1:${port}/${address.database}`;
  const url = new URL(address.url);
  url.hostname = '127.0.0.1';
  url.port = String(port);
  return url.href;
}
