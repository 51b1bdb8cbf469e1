import { z } from 'zod';
import { parseHeaders } from '#infrastructure/telemetry/headers.ts';
import { url, wholeNumber } from './schemas.ts';
import type { Setting } from './setting.ts';

const share = z
  .string()
  .regex(/^(0|1|0?\.\d{1,9}|1\.0+)$/, 'give a number from 0 to 1')
  .transform(Number);

export const TELEMETRY_SETTINGS = {
  METRICS_PORT: {
    describe: 'where /metrics is served for Prometheus, on HOST (default: nowhere); 0 takes any free port',
    schema: wholeNumber(0, 65535),
  },
  METRICS_TOKEN: {
    describe: 'the bearer token that opens /metrics on PORT; at least 16 characters (default: it is not there)',
    schema: z.string().min(16, 'give at least 16 random characters').max(4096),
    secret: true,
  },
  OTEL_EXPORTER_OTLP_ENDPOINT: {
    describe: 'the collector that traces go to, by OTLP over HTTP, such as http://collector:4318 (default: none are made)',
    schema: url('http:', 'https:'),
  },
  OTEL_EXPORTER_OTLP_HEADERS: {
    describe: 'comma-separated name=value (percent-encoded) that it is sent with them, such as a key',
    schema: z.string().refine((value) => parseHeaders(value) !== null, 'give name=value, with commas between several'),
    secret: true,
  },
  OTEL_TRACES_SAMPLER_ARG: { describe: 'the share of traces that are kept, 0 to 1', schema: share, default: '1' },
} as const satisfies Record<string, Setting>;
