import { describe, expect, it } from 'vitest';
import {
  JWKS_MAX_AGE_SECONDS,
  jwksMaxAgeSeconds,
  type KeyRing,
  keyAges,
  PICK_UP_SECONDS,
  PUBLISH_LEAD_SECONDS,
  retirable,
  retired,
  rotated,
  secondsUntilRotatable,
} from '#domain/key-rotation.ts';

const at = (seconds: number) => new Date(seconds * 1000);
const ring: KeyRing = { current: { kid: 'a', signsSince: at(0) }, next: { kid: 'b', publishedAt: at(0) }, previous: [] };

describe('key rotation [V13.3.4]', () => {
  it('lets what was next sign, publishes a new next, keeps the old one until its tokens are gone', () => {
    const after = rotated(ring, 'c', 900, at(1000));
    expect(after).toEqual({
      current: { kid: 'b', signsSince: at(1000) },
      next: { kid: 'c', publishedAt: at(1000) },
      previous: [{ kid: 'a', retireAt: at(2080) }],
    });
    expect(retirable(after, at(2079))).toEqual([]);
    expect(retirable(after, at(2080))).toEqual(['a']);
  });

  it('never lets a key sign that was not published', () => {
    const alone: KeyRing = { ...ring, next: null };
    expect(rotated(alone, 'c', 900, at(5))).toEqual({ ...alone, next: { kid: 'c', publishedAt: at(5) } });
  });

  it('counts how long a key signs from when it began: another next key makes it no younger', () => {
    const anew: KeyRing = { ...ring, next: { kid: 'c', publishedAt: at(900) } };
    expect(keyAges(anew, at(1000))).toEqual([
      { state: 'current', seconds: 1000 },
      { state: 'next', seconds: 100 },
    ]);
    expect(
      keyAges(
        retired(anew, 'c', () => 'd', at(950)),
        at(1000),
      )[0],
    ).toEqual({ state: 'current', seconds: 1000 });
    expect(keyAges({ ...ring, current: { kid: 'a', signsSince: null }, next: null }, at(1000))).toEqual([]);
  });

  it('waits until verifiers that keep the JWKS for its max-age have the next key', () => {
    expect(secondsUntilRotatable(ring, at(1))).toBe(PUBLISH_LEAD_SECONDS - 1);
    expect(secondsUntilRotatable(ring, at(PUBLISH_LEAD_SECONDS))).toBe(0);
    expect(jwksMaxAgeSeconds(ring) + PICK_UP_SECONDS).toBe(PUBLISH_LEAD_SECONDS); // of the replica that heard of it last
    expect(jwksMaxAgeSeconds({ ...ring, next: null })).toBeLessThan(JWKS_MAX_AGE_SECONDS);
  });

  it('forgets keys that are gone, so that the ring does not grow', () => {
    const twice = rotated(rotated(ring, 'c', 900, at(1000)), 'd', 900, at(9000));
    expect(twice.previous.map(({ kid }) => kid)).toEqual(['b']);
  });

  it('has a successor sign at once when a key is retired, whichever it is, and publishes a next one', () => {
    const made: string[] = [];
    const fresh = () => {
      made.push(`fresh-${made.length}`);
      return made.at(-1) ?? '';
    };
    const aged: KeyRing = { ...ring, previous: [{ kid: 'z', retireAt: at(5000) }] };
    const next = (kid: string) => ({ kid, publishedAt: at(7) });
    const signing = (kid: string) => ({ kid, signsSince: at(7) });
    expect(retired(aged, 'a', fresh, at(7))).toEqual({ current: signing('b'), next: next('fresh-0'), previous: aged.previous });
    expect(retired(aged, 'b', fresh, at(7))).toEqual({ current: ring.current, next: next('fresh-1'), previous: aged.previous });
    expect(retired(aged, 'z', fresh, at(7))).toEqual(ring);
    const alone: KeyRing = { ...ring, next: null };
    expect(retired(alone, 'a', fresh, at(7))).toEqual({ current: signing('fresh-2'), next: next('fresh-3'), previous: [] });
  });
});
