import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { type Context, type HrTime, SpanKind as Kind, ROOT_CONTEXT, type Span, SpanStatusCode, trace } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  type SpanExporter,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import type { Caller, SpanKind, Tracing } from '#application/ports/tracing.ts';
import { parseTraceparent } from './traceparent.ts';

export type OtlpSettings = {
  /** The base URL of the collector; spans go to `/v1/traces` below it. */
  endpoint: string;
  headers: Readonly<Record<string, string>>;
  /** The share of traces that are kept, 0 to 1. */
  share: number;
  /** Who we are: `service.name` and its like. */
  resource: Readonly<Record<string, string>>;
  /** The collector did not take some spans; they are gone. */
  onError: (error: unknown) => void;
};

/** More than this waits for nobody: what comes beyond is dropped. About 2 MB. */
const MOST_WAITING = 2048;
/** Few, because they become JSON on the event loop. */
const BATCH = 128;
const EVERY_MS = 500;
/** With its repetitions. Nobody waits for it. */
const EXPORT_MS = 10_000;
const FLUSH_MS = 2000;

const KINDS: Readonly<Record<SpanKind, Kind>> = {
  internal: Kind.INTERNAL,
  server: Kind.SERVER,
  client: Kind.CLIENT,
  producer: Kind.PRODUCER,
  consumer: Kind.CONSUMER,
};

/** Spans to a collector, by OTLP over HTTP (JSON). They leave in the background: a collector that is away costs its spans and nothing else. */
export function otlpTracing({ endpoint, headers, share, resource, onError }: OtlpSettings): Tracing {
  const url = `${endpoint.replace(/\/$/, '')}/v1/traces`;
  const exporter = reporting(new OTLPTraceExporter({ url, headers, timeoutMillis: EXPORT_MS }), onError);
  const ours = new TraceIdRatioBasedSampler(share);
  const provider = new TracerProvider({
    resource: resourceFromAttributes(resource),
    // Whoever calls from outside does not decide what we keep.
    sampler: new ParentBasedSampler({ root: ours, remoteParentSampled: ours, remoteParentNotSampled: ours }),
    spanLimits: { attributeCountLimit: 32, attributeValueLengthLimit: 256, linkCountLimit: 1, eventCountLimit: 0 },
    spanProcessors: [
      new BatchSpanProcessor({
        exporter,
        maxQueueSize: MOST_WAITING,
        maxExportBatchSize: BATCH,
        scheduledDelayMillis: EVERY_MS,
        exportTimeoutMillis: EXPORT_MS + EVERY_MS,
      }),
    ],
  });
  const tracer = provider.getTracer('latchkey');
  const active = new AsyncLocalStorage<{ span: Span; now: () => HrTime }>();

  return {
    begin(name, kind, attributes, caller) {
      const { context, links } = cameFrom(caller);
      const now = clockOfTrace();
      const span = tracer.startSpan(name, { kind: KINDS[kind], attributes, links, startTime: now() }, context);
      return {
        run: (work) => active.run({ span, now }, work),
        end(finalName, more, failure) {
          span.updateName(finalName).setAttributes(more);
          if (failure !== null) fail(span, failure);
          span.end(now());
        },
      };
    },
    span(name, kind, attributes, work) {
      const parent = active.getStore();
      if (parent === undefined) return work();
      const { now } = parent;
      const span = tracer.startSpan(name, { kind: KINDS[kind], attributes, startTime: now() }, trace.setSpan(ROOT_CONTEXT, parent.span));
      return active.run({ span, now }, () => ended(span, now, work));
    },
    ids() {
      const span = active.getStore()?.span.spanContext();
      return span === undefined ? {} : { trace_id: span.traceId, span_id: span.spanId };
    },
    async stop() {
      const waiting = new AbortController();
      await Promise.race([
        provider.shutdown().catch(() => {}), // it was told of already
        delay(FLUSH_MS, undefined, { signal: waiting.signal }).catch(() => {}),
      ]);
      waiting.abort();
    },
  };
}

/** A trace goes on from a caller that we trust; anybody else's is only pointed at, or strangers could write into the traces of others. */
function cameFrom(caller: Caller | undefined): { context: Context; links: { context: ReturnType<Span['spanContext']> }[] } {
  const remote = caller && parseTraceparent(caller.traceparent);
  if (!remote) return { context: ROOT_CONTEXT, links: [] };
  if (caller.isTrusted) return { context: trace.setSpanContext(ROOT_CONTEXT, remote), links: [] };
  return { context: ROOT_CONTEXT, links: [{ context: remote }] };
}

/**
 * The wall clock as it is now, carried on by the monotonic one for all spans of a trace. OpenTelemetry's own rounds the start of each to a
 * millisecond, so that a part could end after the whole.
 */
function clockOfTrace(): () => HrTime {
  const beganMs = Date.now();
  const sinceMs = performance.now();
  return () => {
    const ms = beganMs + (performance.now() - sinceMs);
    return [Math.floor(ms / 1000), Math.floor((ms % 1000) * 1e6)];
  };
}

/** Ends the span with the work, however that ends; what is not a promise is returned as it is. */
function ended<T>(span: Span, now: () => HrTime, work: () => T): T {
  const settle = (error?: unknown) => {
    if (error !== undefined) fail(span, error instanceof Error ? error.name : 'Error');
    span.end(now());
  };
  let result: T;
  try {
    result = work();
  } catch (error) {
    settle(error);
    throw error;
  }
  if (!(result instanceof Promise)) {
    settle();
    return result;
  }
  return result.then(
    (value) => {
      settle();
      return value;
    },
    (error) => {
      settle(error ?? new Error());
      throw error;
    },
  ) as T;
}

/** The kind of error only: its words may hold what a client wrote, or a row. */
function fail(span: Span, kind: string): void {
  span.setAttribute('error.type', kind).setStatus({ code: SpanStatusCode.ERROR });
}

function reporting(exporter: SpanExporter, onError: (error: unknown) => void): SpanExporter {
  return {
    export(spans, done) {
      exporter.export(spans, (result) => {
        if (result.error !== undefined || result.code !== 0) onError(result.error);
        done(result);
      });
    },
    forceFlush: async () => await exporter.forceFlush?.(),
    shutdown: () => exporter.shutdown(),
  };
}
