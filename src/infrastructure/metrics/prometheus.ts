import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Metrics } from '#application/ports/metrics.ts';

/** What is looked at when somebody asks; what cannot be told just now (the database is away) is left out. */
export type Looked = {
  hashing(): { running: number; waiting: number };
  limiterFallbacks(): number;
  outbox(): Promise<{ waiting: number; oldestSeconds: number }>;
};

/** From what a prepared answer takes to a sign-in in a queue. */
const BUCKETS_SECONDS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

/** RED for each route, and what tells an operator of an attack or a bad day before users do. */
export function prometheus(looked: Looked, onError: (error: unknown) => void): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry, prefix: 'latchkey_' });
  const requests = new Histogram({
    name: 'latchkey_http_request_duration_seconds',
    help: 'Requests by route, method and status',
    labelNames: ['route', 'method', 'status'] as const,
    buckets: BUCKETS_SECONDS,
    registers,
  });
  const problems = new Counter({
    name: 'latchkey_problems_total',
    help: 'Refusals and errors by route and code',
    labelNames: ['route', 'code'] as const,
    registers,
  });
  const events = new Counter({
    name: 'latchkey_audit_events_total',
    help: 'Audit events by type, counted by the replica that seals them',
    labelNames: ['type'] as const,
    registers,
  });
  const risky = new Counter({
    name: 'latchkey_audit_events_high_risk_total',
    help: 'Audit events with a risk of 50 and more',
    registers,
  });
  const gauge = (name: string, help: string, look: () => number | Promise<number>) =>
    new Gauge({
      name: `latchkey_${name}`,
      help,
      registers,
      async collect() {
        try {
          this.set(await look());
        } catch (error) {
          this.reset();
          onError(error);
        }
      },
    });
  gauge('hashing_running', 'Password hashes under way', () => looked.hashing().running);
  gauge('hashing_waiting', 'Password hashes that wait for their turn', () => looked.hashing().waiting);
  gauge('limiter_fallbacks', 'Limits counted in this process because Redis was away, since the start', () => looked.limiterFallbacks());
  let backlog: Promise<{ waiting: number; oldestSeconds: number }> | null = null;
  gauge('outbox_waiting', 'Messages that wait to be sent', async () => {
    backlog = looked.outbox();
    return (await backlog).waiting;
  });
  gauge('outbox_oldest_seconds', 'How long the oldest of them waits', async () => (await (backlog ?? looked.outbox())).oldestSeconds);

  return {
    observe({ method, route, status, seconds, problem }) {
      requests.observe({ method, route, status: String(status) }, seconds);
      if (problem !== null) problems.inc({ route, code: problem });
    },
    count(sealed) {
      for (const { line } of sealed) {
        const { type, risk } = JSON.parse(line) as { type: string; risk: number };
        events.inc({ type });
        if (risk >= 50) risky.inc();
      }
    },
    text: () => registry.metrics(),
    contentType: registry.contentType,
  };
}
