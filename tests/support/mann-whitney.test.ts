import { describe, expect, it } from 'vitest';
import { mannWhitney } from './mann-whitney.ts';

describe('the Mann-Whitney test', () => {
  it('agrees with scipy.stats.mannwhitneyu (asymptotic) on samples with ties', () => {
    const a = [19, 22, 16, 29, 24, 19, 22, 31, 17, 20, 25, 23, 21, 19, 30, 28, 22, 27, 18, 26];
    const b = [20, 11, 17, 12, 19, 16, 15, 18, 21, 13, 14, 22, 10, 17, 19, 16, 20, 12, 15, 18];
    expect(mannWhitney(a, b)).toBeCloseTo(0.0000399896, 7);
    expect(mannWhitney(a, a)).toBeCloseTo(1, 6);
  });

  it('tells two samples apart that differ by a tenth of their spread, when they are large', () => {
    const spread = Array.from({ length: 4000 }, (_, index) => index / 4000);
    expect(
      mannWhitney(
        spread,
        spread.map((value) => value + 0.1),
      ),
    ).toBeLessThan(0.01);
    expect(
      mannWhitney(
        spread,
        spread.map((value) => value + 0.001),
      ),
    ).toBeGreaterThan(0.01);
  });
});
