import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  idleEnd,
  after as later,
  RESET_PASSWORD_TTL_SECONDS,
  type SessionLifetime,
  secondsUntil,
  touchSeconds,
  VERIFY_EMAIL_TTL_SECONDS,
} from '#domain/lifetimes.ts';

const NOW = new Date('2026-02-28T23:59:59.500Z');
const bearer: SessionLifetime = { idleSeconds: 7 * 86_400, absoluteSeconds: 30 * 86_400 };

describe('lifetimes', () => {
  it('of mailed secrets are within the 24 hours of NIST SP 800-63B-4 4.2.1.2', () => {
    expect(VERIFY_EMAIL_TTL_SECONDS).toBeLessThanOrEqual(86_400);
    expect(RESET_PASSWORD_TTL_SECONDS).toBeLessThanOrEqual(3600);
  });

  it('count whole seconds, the begun one as well, and never below zero', () => {
    expect(secondsUntil(later(NOW, 90), NOW)).toBe(90);
    expect(secondsUntil(new Date(NOW.getTime() + 1), NOW)).toBe(1);
    expect(secondsUntil(NOW, NOW)).toBe(0);
    expect(secondsUntil(later(NOW, -5), NOW)).toBe(0);
  });

  it('[V7.3.1] end a session seven days after its last use', () => {
    expect(idleEnd(NOW, later(NOW, bearer.absoluteSeconds), bearer)).toEqual(later(NOW, bearer.idleSeconds));
  });

  it('[V7.3.2] never end a session later than its absolute end, whenever it is used', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: bearer.absoluteSeconds }), (usedAfterSeconds) => {
        const absoluteEndAt = later(NOW, bearer.absoluteSeconds);
        const end = idleEnd(later(NOW, usedAfterSeconds), absoluteEndAt, bearer);
        expect(end.getTime()).toBe(Math.min(absoluteEndAt.getTime(), NOW.getTime() + (usedAfterSeconds + bearer.idleSeconds) * 1000));
      }),
    );
  });

  it('[V7.3.1] let the use of a session go unwritten for a minute at most, and never for so long that it could not slide', () => {
    expect(touchSeconds({ idleSeconds: 3600, absoluteSeconds: 86_400 })).toBe(60);
    expect(touchSeconds({ idleSeconds: 60, absoluteSeconds: 86_400 })).toBe(15);
  });
});
