import type { ClaimedMessage } from '#application/ports/outbox.ts';
import type { Services } from '#application/ports/services.ts';
import type { Store } from '#application/ports/store.ts';
import type { SpanAttributes, SpanKind, Tracing } from '#application/ports/tracing.ts';

/** The same services, each verb of what is worth a look a span. Nothing here runs where nobody traces. */
export function tracedServices<Given extends Services>(services: Given, tracing: Tracing): Given {
  return {
    ...services,
    store: tracedStore(services.store, tracing),
    federation: services.federation && traced(services.federation, tracing, { called: 'cognito', kind: 'client' }),
    passwords: traced(services.passwords, tracing, { called: 'argon2id', kind: 'internal' }),
    accessTokens: { ...services.accessTokens, sign: traced(services.accessTokens, tracing, { called: 'token', kind: 'internal' }).sign },
  };
}

export type Called = { called: string; kind: SpanKind; attributes?: SpanAttributes };

/** Every function in it as a span: its name is where it stands, `postgres sessions.end`. Arguments and results are not told. */
export function traced<T extends object>(what: T, tracing: Tracing, as: Called, path = ''): T {
  return new Proxy(what, {
    get(target, key, self) {
      const value: unknown = Reflect.get(target, key, self);
      const at = path + String(key);
      if (typeof value === 'function')
        return (...args: unknown[]) =>
          tracing.span(`${as.called} ${at}`, as.kind, as.attributes ?? {}, () => Reflect.apply(value, target, args));
      return typeof value === 'object' && value !== null ? traced(value, tracing, as, `${at}.`) : value;
    },
  });
}

export const POSTGRES: Called = { called: 'postgres', kind: 'client', attributes: { 'db.system.name': 'postgresql' } };
export const REDIS: Called = { called: 'redis', kind: 'client', attributes: { 'db.system.name': 'redis' } };
export const DELIVERY: Called = { called: 'delivery', kind: 'client' };

/** postgres.js has no instrumentation of OpenTelemetry's: what a flow asks the store is the span, and tells more than SQL does. */
function tracedStore(store: Store, tracing: Tracing): Store {
  return {
    read: (query) => store.read((records) => query(traced(records, tracing, POSTGRES))),
    transaction: (work) =>
      tracing.span('postgres transaction', 'client', POSTGRES.attributes ?? {}, () =>
        store.transaction((records) => work(traced(records, tracing, POSTGRES))),
      ),
    hot: traced(store.hot, tracing, POSTGRES),
  };
}

type Work = { send(message: ClaimedMessage, stopping: AbortSignal): Promise<void> };

/** Each message that is delivered as a trace of its own: it may wait for hours after the request that caused it. */
export function tracedWork<Given extends Work>(work: Given, tracing: Tracing): Given {
  return {
    ...work,
    async send(message, stopping) {
      const { id, kind, template, attempts } = message;
      const attributes = { 'messaging.message.id': id, 'latchkey.message.kind': kind, 'latchkey.message.template': template, attempts };
      const span = tracing.begin('outbox deliver', 'consumer', attributes);
      let failure: string | null = null;
      try {
        await span.run(() => work.send(message, stopping));
      } catch (error) {
        failure = error instanceof Error ? error.name : 'Error';
        throw error;
      } finally {
        span.end('outbox deliver', {}, failure);
      }
    },
  };
}
