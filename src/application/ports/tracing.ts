/** What is told of a span. Never a secret, an address, a name of somebody, or what a client wrote (ASVS 16.2.5). */
export type SpanAttributes = Readonly<Record<string, string | number | boolean>>;

export type SpanKind = 'internal' | 'server' | 'client' | 'producer' | 'consumer';

/** Who asked, as a client says it in `traceparent` (W3C Trace Context). */
export type Caller = {
  traceparent: string;
  /** Its trace goes on; that of anybody else is linked to ours, which begins anew. */
  isTrusted: boolean;
};

/** The first span of a trace here: whoever began it ends it. */
export type OpenSpan = {
  /** What is begun inside, timers and answers to it included, belongs to this span. */
  run<T>(work: () => T): T;
  /** @param failure the kind of error, null for none */
  end(name: string, attributes: SpanAttributes, failure: string | null): void;
};

/** OpenTelemetry, where a collector is named; everything else does without. No call here throws or waits for the collector. */
export type Tracing = {
  begin(name: string, kind: SpanKind, attributes: SpanAttributes, caller?: Caller): OpenSpan;
  /** Runs the work as a part of the span that is under way; without one it just runs. */
  span<T>(name: string, kind: SpanKind, attributes: SpanAttributes, work: () => T): T;
  /** For log lines: of the span under way, else nothing. */
  ids(): { trace_id: string; span_id: string } | Record<string, never>;
  /** Sends what is left, for two seconds at most. */
  stop(): Promise<void>;
};
