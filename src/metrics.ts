import type { Logger } from 'pino';
import type { Metrics } from '#application/ports/metrics.ts';
import type { Route } from '#http/route.ts';
import { metricsRoute } from '#http/routes/metrics.ts';
import type { Looked } from '#infrastructure/metrics/inside.ts';
import type { Config } from './config.ts';

/** `port`: where /metrics is served, if on a port of its own. */
export type Measured = { metrics: Metrics | null; routes: Route[]; port: number | null; stop(): Promise<void> };

/** Counters, where somebody reads them; loaded only then. */
export async function openMetrics(config: Config, looked: Looked, log: Logger): Promise<Measured> {
  const { METRICS_PORT: port, METRICS_TOKEN: token, HOST: host } = config;
  if (port === undefined && token === undefined) return { metrics: null, routes: [], port: null, stop: async () => {} };
  const { prometheus } = await import('#infrastructure/metrics/prometheus.ts');
  const { serveMetrics } = await import('#infrastructure/metrics/metrics-server.ts');
  const metrics = prometheus(looked, (error) => log.warn({ err: error }, 'a gauge cannot be read'));
  const server = port === undefined ? null : await serveMetrics(metrics, { host, port });
  const routes = token === undefined ? [] : [metricsRoute(metrics, token.reveal())];
  return { metrics, routes, port: server?.port ?? null, stop: async () => server?.stop() };
}
