import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Metrics } from '#application/ports/metrics.ts';

const TIMEOUT_MS = 5000;

/** Serves `/metrics` on a port of its own, which only the operator's network reaches; nothing else is there. */
export async function serveMetrics(
  metrics: Metrics,
  where: { host: string; port: number },
): Promise<{ port: number; stop(): Promise<void> }> {
  const server = createServer({ requestTimeout: TIMEOUT_MS }, async (request, response) => {
    if (request.method !== 'GET' || request.url !== '/metrics') {
      response.writeHead(404).end();
      return;
    }
    try {
      const text = await metrics.text();
      response.writeHead(200, { 'content-type': metrics.contentType, 'cache-control': 'no-store' }).end(text);
    } catch {
      response.writeHead(500).end();
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(where.port, where.host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
