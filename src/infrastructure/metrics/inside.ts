import { Counter, Gauge, type Registry } from 'prom-client';
import { shared } from '#application/shared.ts';

/** What is looked at when somebody asks; what cannot be told just now (the database is away) is left out. */
export type Looked = {
  hashing(): { running: number; waiting: number; shed: number };
  limiterFallbacks(): number;
  outbox(): Promise<{ waiting: number; oldestSeconds: number }>;
  smsToday(): Promise<number>;
  smsPerDay: number;
  database(): { running: number; size: number; failures: number };
  signingKeys(): { state: string; seconds: number }[];
  dependencies(): Promise<{ name: string; state: 'up' | 'degraded' | 'down' }[]>;
  version: string;
};

type Sample = { value: number; labels?: Record<string, string> };
type Look = () => number | readonly Sample[] | Promise<number | readonly Sample[]>;

/** Makes counters and gauges whose values are looked up at each scrape. */
export type Watch = Record<'gauge' | 'counter', (name: string, help: string, look: Look, labelNames?: string[]) => void>;

/** Queues, pools, keys and dependencies, looked at when somebody scrapes. */
export function watchInside(registry: Registry, looked: Looked, onError: (error: unknown) => void): Watch {
  const registers = [registry];
  const readInto = (look: Look, clear: () => void, put: (labels: Record<string, string>, value: number) => void) => async () => {
    try {
      const found = await soon(look());
      clear();
      for (const { labels = {}, value } of typeof found === 'number' ? [{ value: found }] : found) put(labels, value);
    } catch (error) {
      clear();
      onError(error);
    }
  };
  const gauge: Watch['gauge'] = (name, help, look, labelNames = []) => {
    const clear = () => (labelNames.length === 0 ? made.remove() : made.reset());
    const collect = readInto(look, clear, (labels, value) => made.set(labels, value));
    const made: Gauge = new Gauge({ name: `latchkey_${name}`, help, registers, labelNames, collect });
  };
  const counter: Watch['counter'] = (name, help, look, labelNames = []) => {
    const collect = readInto(
      look,
      () => made.reset(),
      (labels, value) => made.inc(labels, value),
    );
    const made: Counter = new Counter({ name: `latchkey_${name}`, help, registers, labelNames, collect });
  };

  gauge('build_info', 'Always 1', () => [{ value: 1, labels: { version: looked.version, node: process.version } }], ['version', 'node']);
  gauge('hashing_running', 'Password hashes under way', () => looked.hashing().running);
  gauge('hashing_waiting', 'Password hashes that wait for their turn', () => looked.hashing().waiting);
  counter('hashing_shed_total', 'Password hashes turned away with 503 because too many waited', () => looked.hashing().shed);
  gauge(
    'database_running',
    'Pieces of work for PostgreSQL under way, those that wait for a connection included',
    () => looked.database().running,
  );
  gauge('database_pool_size', 'Connections to PostgreSQL at most', () => looked.database().size);
  counter('database_failures_total', 'Pieces of work that PostgreSQL did not answer in time', () => looked.database().failures);
  counter('limiter_fallbacks_total', 'Limits counted in this process because Redis was away, since the start', () =>
    looked.limiterFallbacks(),
  );
  gauge(
    'signing_key_age_seconds',
    'For how long the current key has signed and the next one is published',
    () => looked.signingKeys().map(({ state, seconds }) => ({ value: seconds, labels: { state } })),
    ['state'],
  );
  gauge(
    'dependency_up',
    '1: up, 0: down or degraded',
    async () => (await looked.dependencies()).map(({ name, state }) => ({ value: state === 'up' ? 1 : 0, labels: { dependency: name } })),
    ['dependency'],
  );
  const backlog = shared(looked.outbox);
  gauge('outbox_waiting', 'Messages that wait to be sent', async () => (await backlog()).waiting);
  gauge('outbox_oldest_seconds', 'How long the oldest of them waits', async () => (await backlog()).oldestSeconds);
  gauge('sms_today', 'Codes by SMS that were counted today (UTC), by all replicas', looked.smsToday);
  gauge('sms_per_day', 'How many may be (SMS_MAX_PER_DAY)', () => looked.smsPerDay);
  return { gauge, counter };
}

/** Who scrapes on a bad day gets what there is. A dead dependency has said so by then; a queue may take longer. */
const LOOK_MS = 1000;

async function soon<T>(looking: T | Promise<T>): Promise<T> {
  if (!(looking instanceof Promise)) return looking;
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error('it takes too long')), LOOK_MS);
  return await Promise.race([looking, late.promise]).finally(() => clearTimeout(timer));
}
