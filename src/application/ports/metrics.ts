import type { AuditRow } from './audit-trail.ts';

/** One answered request, by its route's pattern: what a client can write is in no label. */
export type Observed = { method: string; route: string; status: number; seconds: number; problem: string | null };

/** As Node's servers have it; `drop` is a connection too many. */
export type Connections = {
  getConnections(tell: (error: Error | null, open: number) => void): void;
  on(event: 'drop', heard: () => void): unknown;
};

export type Metrics = {
  observe(request: Observed): void;
  /** A refusal of what never became a request. */
  refused(route: string, code: string): void;
  /** Counts the connections of a server. */
  watch(server: Connections): void;
  /** Events as they are sealed: by one replica of all. */
  count(events: readonly Pick<AuditRow, 'line'>[]): void;
  /** In the text format of Prometheus. */
  text(): Promise<string>;
  contentType: string;
};
