import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type BucketState,
  draw,
  floodLimit,
  parseRateLimit,
  type RateLimit,
  readingOf,
  requireDistinct,
  secondsUntilTokens,
} from '#domain/rate-limit.ts';

const limits = fc.record({ capacity: fc.integer({ min: 1, max: 1000 }), windowSeconds: fc.constantFrom(1, 60, 3600) });
const steps = fc.array(fc.record({ passMs: fc.integer({ min: 0, max: 100_000 }), cost: fc.integer({ min: 1, max: 3 }) }), {
  maxLength: 200,
});
const START_MS = Date.UTC(2026, 0, 1);

function drained(limit: RateLimit, nowMs: number): BucketState {
  return draw(undefined, limit, limit.capacity, nowMs).state;
}

describe('A token bucket', () => {
  it('[V2.4.1] never gives out more than it holds and what has flowed in since', () => {
    fc.assert(
      fc.property(limits, steps, (limit, taken) => {
        let state: BucketState | undefined;
        let nowMs = START_MS;
        let given = 0;
        for (const { passMs, cost } of taken) {
          nowMs += passMs;
          const outcome = draw(state, limit, cost, nowMs);
          state = outcome.state;
          if (outcome.allowed) given += cost;
          expect(state.tokens).toBeGreaterThanOrEqual(0);
          expect(state.tokens).toBeLessThanOrEqual(limit.capacity);
        }
        const flowedIn = ((nowMs - START_MS) * limit.capacity) / (limit.windowSeconds * 1000);
        expect(given).toBeLessThanOrEqual(limit.capacity + flowedIn + 1e-6);
      }),
    );
  });

  it('gives a token after the seconds that it named, and none a second earlier', () => {
    fc.assert(
      fc.property(limits, fc.integer({ min: 0, max: 3_600_000 }), (limit, laterMs) => {
        const nowMs = START_MS + laterMs;
        const { allowed, state } = draw(drained(limit, START_MS), limit, 1, nowMs);
        fc.pre(!allowed);
        const seconds = secondsUntilTokens(state.tokens, 1, limit);
        expect(draw(state, limit, 1, nowMs + seconds * 1000 + 1).allowed).toBe(true);
        if (seconds > 1) expect(draw(state, limit, 1, nowMs + (seconds - 1) * 1000 - 1).allowed).toBe(false);
      }),
    );
  });

  it('is full again after its window, whatever was drawn', () => {
    fc.assert(
      fc.property(limits, (limit) => {
        const later = draw(drained(limit, START_MS), limit, 0, START_MS + limit.windowSeconds * 1000);
        expect(later.state.tokens).toBe(limit.capacity);
      }),
    );
  });

  it('keeps its tokens when a draw costs more than it holds', () => {
    const limit = { capacity: 5, windowSeconds: 60 };
    const { state } = draw(undefined, limit, 3, START_MS);
    expect(draw(state, limit, 3, START_MS)).toEqual({ allowed: false, state: { tokens: 2, updatedAtMs: START_MS } });
  });

  it('does not refill twice for clocks that differ', () => {
    fc.assert(
      fc.property(limits, fc.array(fc.integer({ min: -500, max: 500 }), { maxLength: 50 }), (limit, skewsMs) => {
        let state: BucketState | undefined = drained(limit, START_MS);
        let given = 0;
        for (const skewMs of skewsMs) {
          const outcome = draw(state, limit, 1, START_MS + skewMs);
          state = outcome.state;
          if (outcome.allowed) given += 1;
        }
        expect(given).toBeLessThanOrEqual((500 * limit.capacity) / (limit.windowSeconds * 1000) + 1e-6);
      }),
    );
  });

  it('is taken for a new one when its time lies more than a window ahead', () => {
    const limit = { capacity: 5, windowSeconds: 60 };
    expect(draw({ tokens: 0, updatedAtMs: START_MS + 60_000 }, limit, 1, START_MS).allowed).toBe(false);
    expect(draw({ tokens: 0, updatedAtMs: START_MS + 60_001 }, limit, 1, START_MS).allowed).toBe(true);
  });
});

describe('What a client is told of its bucket', () => {
  it('is whole numbers that never promise too much', () => {
    const limit = { capacity: 5, windowSeconds: 60 };
    expect(readingOf('login', limit, 3.99)).toEqual({ limit: 'login', ...limit, remaining: 3, resetSeconds: 13, retryAfterSeconds: 0 });
    expect(readingOf('login', limit, 0.5)).toMatchObject({ remaining: 0, resetSeconds: 54, retryAfterSeconds: 6 });
  });
});

describe('A draw', () => {
  it('names each of its buckets once', () => {
    const login = { limit: 'login' as const, key: 'a' };
    expect(() => requireDistinct([login, { limit: 'register', key: 'a' }, { limit: 'login', key: 'b' }])).not.toThrow();
    expect(() => requireDistinct([login, { ...login }])).toThrow(TypeError);
    expect(() => requireDistinct([])).toThrow(TypeError);
  });
});

describe('A flood', () => {
  it('is more than a bucket can give: whoever stops when refused is never taken for one', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1000 }), fc.constantFrom(1, 60, 3600, 86_400), (capacity, windowSeconds) => {
        const limit = { capacity, windowSeconds };
        const flood = floodLimit(limit);
        let [state, given]: [BucketState | undefined, number] = [undefined, 0];
        for (let ms = 0; ms <= flood.windowSeconds * 1000; ms += 500) {
          for (let outcome = draw(state, limit, 1, ms); outcome.allowed; outcome = draw(state, limit, 1, ms)) {
            state = outcome.state;
            given += 1;
          }
        }
        expect(given).toBeLessThan(flood.capacity);
      }),
      { numRuns: 50 },
    );
  });
});

describe('A limit in the settings', () => {
  it.each([
    ['5/minute', { capacity: 5, windowSeconds: 60 }],
    [' 3 / hour ', { capacity: 3, windowSeconds: 3600 }],
    ['1/second', { capacity: 1, windowSeconds: 1 }],
  ])('reads %s', (text, limit) => expect(parseRateLimit(text)).toEqual(limit));

  it.each(['0/minute', '-1/minute', '5', '5/week', '5/minutes', '1e3/hour', '', '5/toString', '9999999999/second'])(
    'refuses "%s"',
    (text) => expect(parseRateLimit(text)).toBeUndefined(),
  );
});
