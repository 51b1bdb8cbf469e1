import type { AuditRow } from './audit-trail.ts';

/** One answered request, by its route's pattern: what a client can write is in no label. */
export type Observed = { method: string; route: string; status: number; seconds: number; problem: string | null };

export type Metrics = {
  observe(request: Observed): void;
  /** Events as they are sealed: by one replica of all. */
  count(events: readonly Pick<AuditRow, 'line'>[]): void;
  /** In the text format of Prometheus. */
  text(): Promise<string>;
  contentType: string;
};
