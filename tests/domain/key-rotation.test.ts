import { describe, expect, it } from 'vitest';
import { jwksMaxAgeSeconds, type KeyRing, PUBLISH_LEAD_SECONDS, retirable, rotated, secondsUntilRotatable } from '#domain/key-rotation.ts';

const at = (seconds: number) => new Date(seconds * 1000);
const ring: KeyRing = { current: { kid: 'a' }, next: { kid: 'b', publishedAt: at(0) }, previous: [] };

describe('key rotation [V13.3.4]', () => {
  it('lets what was next sign, publishes a new next, keeps the old one until its tokens are gone', () => {
    const after = rotated(ring, 'c', 900, at(1000));
    expect(after).toEqual({
      current: { kid: 'b' },
      next: { kid: 'c', publishedAt: at(1000) },
      previous: [{ kid: 'a', retireAt: at(1960) }],
    });
    expect(retirable(after, at(1959))).toEqual([]);
    expect(retirable(after, at(1960))).toEqual(['a']);
  });

  it('never lets a key sign that was not published', () => {
    const alone: KeyRing = { ...ring, next: null };
    expect(rotated(alone, 'c', 900, at(5))).toEqual({ current: { kid: 'a' }, next: { kid: 'c', publishedAt: at(5) }, previous: [] });
  });

  it('waits until verifiers that keep the JWKS for its max-age have the next key', () => {
    expect(secondsUntilRotatable(ring, at(1))).toBe(PUBLISH_LEAD_SECONDS - 1);
    expect(secondsUntilRotatable(ring, at(PUBLISH_LEAD_SECONDS))).toBe(0);
    expect(jwksMaxAgeSeconds(ring)).toBe(PUBLISH_LEAD_SECONDS);
    expect(jwksMaxAgeSeconds({ ...ring, next: null })).toBeLessThan(PUBLISH_LEAD_SECONDS);
  });
});
