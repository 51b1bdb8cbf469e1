import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Tracing } from '#application/ports/tracing.ts';
import { parseHeaders } from '#infrastructure/telemetry/headers.ts';
import { otlpTracing } from '#infrastructure/telemetry/otlp.ts';
import { type Collector, collector } from '#tests/support/collector.ts';
import { until } from '#tests/support/until.ts';

let collected: Collector;
beforeEach(async () => {
  collected = await collector();
});
afterEach(() => collected.stop());

function open(share = 1): Tracing {
  return otlpTracing({ endpoint: `${collected.url}/`, headers: {}, share, resource: {}, onError: () => {} });
}

function some(tracing: Tracing, count: number): void {
  for (let each = 0; each < count; each++) tracing.begin(`span ${each}`, 'server', {}).end(`span ${each}`, {}, null);
}

describe('spans on their way to a collector', () => {
  it('are sent when the service stops, all of them', async () => {
    const tracing = open();
    some(tracing, 300);
    await tracing.stop();
    expect(new Set(collected.spans.map(({ name }) => name)).size).toBe(300);
  });

  it('wait in a queue that has an end while the collector hangs, and later ones arrive when it is back', async () => {
    collected.behave('hang');
    const tracing = open();
    some(tracing, 200);
    await until('the first are on their way', () => collected.received.length === 1);
    some(tracing, 10_000);
    collected.behave('take');
    await tracing.stop();
    expect(collected.spans.length).toBeGreaterThan(1000);
    expect(collected.spans.length).toBeLessThanOrEqual(2048);
  });

  it('hold up the end of the service for no longer than two seconds', async () => {
    collected.behave('hang');
    const tracing = open();
    some(tracing, 200);
    const startedMs = performance.now();
    await tracing.stop();
    expect(performance.now() - startedMs).toBeLessThan(5000);
    expect(collected.received.length).toBeGreaterThan(0);
  });

  it('are as many as the share says, and a span stands or falls with its trace', async () => {
    const tracing = open(0.25);
    for (let each = 0; each < 400; each++) {
      const span = tracing.begin('first', 'server', {});
      span.run(() => tracing.span('second', 'internal', {}, () => {}));
      span.end('first', {}, null);
    }
    await tracing.stop();
    const [first, second] = ['first', 'second'].map((sought) =>
      collected.spans.filter(({ name }) => name === sought).map((s) => s.traceId),
    );
    expect(first?.length).toBeGreaterThan(40);
    expect(first?.length).toBeLessThan(180);
    expect(second?.sort()).toEqual(first?.sort());
  });

  it('lie within the span that they are a part of, however short they are', async () => {
    const tracing = open();
    for (let each = 0; each < 200; each++) {
      const whole = tracing.begin('whole', 'server', {});
      const untilMs = performance.now() + each / 200; // at every fraction of a millisecond
      while (performance.now() < untilMs);
      whole.run(() => tracing.span('part', 'internal', {}, () => {}));
      whole.end('whole', {}, null);
    }
    await tracing.stop();
    const wholes = new Map(collected.spans.filter(({ name }) => name === 'whole').map((span) => [span.spanId, span]));
    const parts = collected.spans.filter(({ name }) => name === 'part');
    expect(parts).toHaveLength(200);
    const outside = parts.filter(({ parentSpanId = '', startNano, endNano }) => {
      const whole = wholes.get(parentSpanId);
      return whole === undefined || startNano < whole.startNano || endNano < startNano || endNano > whole.endNano;
    });
    expect(outside).toEqual([]);
  });

  it('fail with the kind of the error, not with its words; the error goes on as it was', async () => {
    const tracing = open();
    const canary = new TypeError('canary in the words');
    const span = tracing.begin('first', 'server', {});
    await expect(span.run(() => tracing.span('later', 'client', {}, () => Promise.reject(canary)))).rejects.toBe(canary);
    expect(() =>
      span.run(() =>
        tracing.span('at once', 'client', {}, () => {
          throw canary;
        }),
      ),
    ).toThrow(canary);
    span.end('first', {}, null);
    await tracing.stop();
    for (const name of ['later', 'at once']) {
      expect(collected.spans.find((each) => each.name === name)).toMatchObject({
        isError: true,
        attributes: { 'error.type': 'TypeError' },
      });
    }
    expect(JSON.stringify(collected.received)).not.toContain('canary');
  });

  it('are none without a span to belong to', async () => {
    const tracing = open();
    expect(tracing.span('lonely', 'client', {}, () => 7)).toBe(7);
    expect(tracing.ids()).toEqual({});
    await tracing.stop();
    expect(collected.spans).toEqual([]);
  });
});

describe('the headers for a collector', () => {
  it.each([
    ['a=b', { a: 'b' }],
    ['a=b,c=d%20e', { a: 'b', c: 'd e' }],
    ['authorization=Basic dXNlcjpwYXNz==', { authorization: 'Basic dXNlcjpwYXNz==' }],
    ['', {}],
    ['a', null],
    ['a=', null],
    ['a b=c', null],
    ['a=%', null],
    ['a=b\nc', null],
  ])('%j is %j', (text, headers) => {
    expect(parseHeaders(text)).toEqual(headers);
  });
});
