import { Counter, collectDefaultMetrics, Histogram, Registry } from 'prom-client';
import type { Connections, Metrics } from '#application/ports/metrics.ts';
import { AUDIT_EVENTS } from '#domain/audit-event.ts';
import { type Looked, watchInside } from './inside.ts';

/** From what a prepared answer takes to a sign-in in a queue. */
const BUCKETS_SECONDS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

/**
 * RED for each route, and what tells an operator of an attack or a bad day before users do. Labels are the service's own words: routes
 * by their pattern, codes, types of events, names of dependencies. docs/observability.md lists them.
 */
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
  // From nought, or the first lockout of a process would be no increase.
  for (const type of Object.keys(AUDIT_EVENTS)) events.inc({ type }, 0);
  const risky = new Counter({
    name: 'latchkey_audit_events_high_risk_total',
    help: 'Audit events with a risk of 50 and more',
    registers,
  });
  const { gauge, counter } = watchInside(registry, looked, onError);

  return {
    observe({ method, route, status, seconds, problem }) {
      requests.observe({ method, route, status: String(status) }, seconds);
      if (problem !== null) problems.inc({ route, code: problem });
    },
    refused(route, code) {
      problems.inc({ route, code });
    },
    watch(server) {
      let dropped = 0;
      server.on('drop', () => dropped++);
      gauge('http_connections', 'Connections that are open', () => openConnections(server));
      counter('http_connections_dropped_total', 'Connections beyond MAX_CONNECTIONS, closed as they came', () => dropped);
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

function openConnections(server: Connections): Promise<number> {
  return new Promise((resolve, reject) => server.getConnections((error, open) => (error ? reject(error) : resolve(open))));
}
