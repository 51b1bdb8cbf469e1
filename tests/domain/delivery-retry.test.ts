import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nextAttemptAt } from '#domain/delivery-retry.ts';

const NOW = new Date('2026-03-01T00:00:00Z');
const NEVER = new Date('2036-03-01T00:00:00Z');
const waitSeconds = (attempts: number, chance: number) =>
  ((nextAttemptAt(attempts, NOW, NEVER, chance)?.getTime() ?? 0) - NOW.getTime()) / 1000;

describe('a message that was not taken', () => {
  it.each([
    [1, 0.5, 1],
    [2, 1, 2],
    [5, 8, 16],
    [11, 300, 600],
    [500, 300, 600],
  ])('is tried again after attempt %i in %d to %d seconds', (attempts, least, most) => {
    expect(waitSeconds(attempts, 0)).toBe(least);
    expect(waitSeconds(attempts, 0.999_999)).toBeCloseTo(most, 2);
  });

  it('is given up when that would be after it has expired', () => {
    expect(nextAttemptAt(1, NOW, new Date(NOW.getTime() + 500), 0)).toBeNull();
    expect(nextAttemptAt(1, NOW, new Date(NOW.getTime() + 501), 0)).toEqual(new Date(NOW.getTime() + 500));
  });

  it.each([
    ['a link of half an hour', 1800, 180],
    ['a code of five minutes', 300, 30],
    ['what has ten seconds left', 10, 5],
  ])('waits no longer than a tenth of its life, so that it is of use when the provider is back: %s', (_what, left, most) => {
    const at = nextAttemptAt(50, NOW, new Date(NOW.getTime() + left * 1000), 0.999_999);
    expect(((at?.getTime() ?? 0) - NOW.getTime()) / 1000).toBeCloseTo(most, 2);
  });

  it('waits as long as the provider asked for, within reason', () => {
    const wait = (asked: number) => ((nextAttemptAt(1, NOW, NEVER, 0, asked)?.getTime() ?? 0) - NOW.getTime()) / 1000;
    expect([0, 30, 1_000_000].map(wait)).toEqual([0.5, 30, 900]);
  });

  it('is never tried in the past, after its end, or later than ten minutes from now', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5000 }),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        fc.integer({ min: 1, max: 10_000 }),
        (attempts, chance, left) => {
          const expiresAt = new Date(NOW.getTime() + left * 1000);
          const at = nextAttemptAt(attempts, NOW, expiresAt, chance);
          if (at === null) return;
          expect(at > NOW && at < expiresAt && at.getTime() - NOW.getTime() <= 600_000).toBe(true);
        },
      ),
    );
  });
});
