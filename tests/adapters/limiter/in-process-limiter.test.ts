import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type BucketState, draw, type RateLimits } from '#domain/rate-limit.ts';
import { inProcessLimiter } from '#infrastructure/embedded/in-process-limiter.ts';

const minute = { capacity: 5, windowSeconds: 60 };
const limits: RateLimits = {
  global: minute,
  'per-ip': minute,
  'per-user': minute,
  login: minute,
  register: minute,
  'password-reset': minute,
  mfa: minute,
  'sms-number': minute,
  'sms-prefix': minute,
  'sms-total': minute,
};

function settable() {
  let nowMs = Date.UTC(2026, 0, 1);
  return {
    now: () => new Date(nowMs),
    pass: (ms: number) => {
      nowMs += ms;
    },
  };
}

describe('The limiter in process', () => {
  it('answers as the draw of the domain does, whatever comes when', async () => {
    const step = fc.record({ key: fc.constantFrom('a', 'b'), passMs: fc.integer({ min: -5000, max: 30_000 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const clock = settable();
        const limiter = inProcessLimiter(clock, { limits });
        const model = new Map<string, BucketState>();
        for (const { key, passMs } of steps) {
          clock.pass(passMs);
          const expected = draw(model.get(key), minute, 1, clock.now().getTime());
          if (expected.allowed) model.set(key, expected.state);
          const { allowed, readings } = await limiter.take([{ limit: 'login', key }], 'refuse');
          expect(allowed).toBe(expected.allowed);
          expect(readings[0]?.remaining).toBe(Math.floor(expected.state.tokens));
        }
      }),
    );
  });

  it('[V2.4.1] keeps no more buckets than it may, and the ones in use before idle ones', async () => {
    const limiter = inProcessLimiter(settable(), { limits, maxKeys: 100 });
    const take = (key: string) => limiter.take([{ limit: 'login', key }], 'refuse');
    for (let drawn = 0; drawn < 4; drawn += 1) {
      await take('in use');
      for (let other = 0; other < 90; other += 1) await take(`${drawn} ${other}`);
    }
    expect(limiter.size()).toBe(100);
    expect((await take('in use')).readings[0]?.remaining).toBe(0);
  });

  it('does not let one limit push out the counts of another', async () => {
    const limiter = inProcessLimiter(settable(), { limits, maxKeys: 10 });
    await limiter.take([{ limit: 'password-reset', key: 'one mailbox' }], 'refuse');
    for (let other = 0; other < 100; other += 1) await limiter.take([{ limit: 'per-ip', key: `${other}` }], 'refuse');
    const { readings } = await limiter.take([{ limit: 'password-reset', key: 'one mailbox' }], 'refuse');
    expect(readings[0]?.remaining).toBe(3);
  });

  it('forgets full buckets as new ones come', async () => {
    const clock = settable();
    const limiter = inProcessLimiter(clock, { limits });
    for (let early = 0; early < 50; early += 1) await limiter.take([{ limit: 'login', key: `early ${early}` }], 'refuse');
    clock.pass(60_000);
    for (let late = 0; late < 50; late += 1) await limiter.take([{ limit: 'login', key: `late ${late}` }], 'refuse');
    expect(limiter.size()).toBe(50);
  });
});
