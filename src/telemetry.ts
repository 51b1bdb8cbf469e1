import { hostname } from 'node:os';
import pino, { type DestinationStream, type Logger } from 'pino';
import type { Tracing } from '#application/ports/tracing.ts';
import { seldom } from '#infrastructure/schedule/seldom.ts';
import { parseHeaders } from '#infrastructure/telemetry/headers.ts';
import type { Config } from './config.ts';
import { loggedError } from './logged-error.ts';
import { versionOfPackage } from './version.ts';

/** Never in a log line, wherever a library puts it (ASVS 16.2.5). */
const REDACTED = ['authorization', 'cookie', 'password', 'token', 'refresh_token', 'secret', 'parameters', 'query'].flatMap((name) => [
  name,
  `*.${name}`,
  `*.*.${name}`,
]);
const REPORT_EVERY_MS = 60_000;

export type Telemetry = { log: Logger; tracing: Tracing | null };

/** The log, and traces where a collector is named: what they need is loaded only then. A line that belongs to a span names it. */
export async function openTelemetry(config: Config, destination?: DestinationStream): Promise<Telemetry> {
  const heard = { tell: (_error: unknown): void => {} }; // before there is a log, nothing was sent
  const tracing = await openTracing(config, (error) => heard.tell(error));
  const options = {
    level: config.LOG_LEVEL,
    redact: { paths: REDACTED, censor: '[redacted]' },
    serializers: { err: loggedError },
    ...(tracing ? { mixin: () => tracing.ids() } : {}),
  };
  const log = destination ? pino(options, destination) : pino(options);
  heard.tell = seldom(REPORT_EVERY_MS, (error) =>
    log.warn({ reason: error instanceof Error ? error.message : String(error) }, 'the collector does not take traces; these are dropped'),
  );
  return { log, tracing };
}

async function openTracing(config: Config, onError: (error: unknown) => void): Promise<Tracing | null> {
  const endpoint = config.OTEL_EXPORTER_OTLP_ENDPOINT;
  if (endpoint === undefined) return null;
  const { otlpTracing } = await import('#infrastructure/telemetry/otlp.ts');
  const headers = parseHeaders(config.OTEL_EXPORTER_OTLP_HEADERS?.reveal() ?? '') ?? {};
  const resource = { 'service.name': 'latchkey', 'service.version': versionOfPackage(), 'service.instance.id': hostname() };
  return otlpTracing({ endpoint, headers, share: config.OTEL_TRACES_SAMPLER_ARG, resource, onError });
}
