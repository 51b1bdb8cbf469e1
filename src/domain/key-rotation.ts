/**
 * The life of a signing key: published as `next`, signs as `current`, verifies as `previous`, gone (ASVS 13.3.4).
 * Times say when it entered the state.
 */
export type KeyRing = {
  current: { kid: string };
  /** Published already, signs from the next rotation on. */
  next: { kid: string; publishedAt: Date } | null;
  /** `retireAt`: when the last token that it signed has expired. */
  previous: { kid: string; retireAt: Date }[];
};

/** How long a verifier may keep the JWKS, hence how long a key is published before it signs. */
export const PUBLISH_LEAD_SECONDS = 600;

/** With no next key published, an unknown key may appear at any time: verifiers should ask again soon. */
const MAX_AGE_WITHOUT_NEXT_SECONDS = 60;

/** The JWKS `max-age`: nothing cached this long can miss a key that signs meanwhile. */
export function jwksMaxAgeSeconds(ring: KeyRing): number {
  return ring.next === null ? MAX_AGE_WITHOUT_NEXT_SECONDS : PUBLISH_LEAD_SECONDS;
}

/** Seconds that `next` must still be published before it may sign; 0 when it may, or when there is none. */
export function secondsUntilRotatable(ring: KeyRing, now: Date): number {
  if (ring.next === null) return 0;
  const readyAtMs = ring.next.publishedAt.getTime() + PUBLISH_LEAD_SECONDS * 1000;
  return Math.max(0, Math.ceil((readyAtMs - now.getTime()) / 1000));
}

/**
 * What was next signs, `freshKid` is published as the new next, the old current verifies until its last token expired.
 * Without a next, `freshKid` becomes next and nothing else changes: a key never signs unpublished.
 */
export function rotated(ring: KeyRing, freshKid: string, tokenLifetimeSeconds: number, now: Date): KeyRing {
  const next = { kid: freshKid, publishedAt: now };
  if (ring.next === null) return { ...ring, next };
  const retireAt = new Date(now.getTime() + (tokenLifetimeSeconds + CLOCK_LEEWAY_SECONDS) * 1000);
  return { current: { kid: ring.next.kid }, next, previous: [...ring.previous, { kid: ring.current.kid, retireAt }] };
}

/** Verifiers allow clocks to differ by up to this. */
export const CLOCK_LEEWAY_SECONDS = 60;

/** The previous keys whose last token has expired: they may leave the JWKS. */
export function retirable(ring: KeyRing, now: Date): string[] {
  return ring.previous.filter(({ retireAt }) => retireAt <= now).map(({ kid }) => kid);
}
