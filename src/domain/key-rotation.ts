/**
 * The life of a signing key: published as `next`, signs as `current`, verifies as `previous`, gone (ASVS 13.3.4).
 * Times say when it entered the state.
 */
export type KeyRing = {
  /** `signsSince` null: nobody noted it. */
  current: { kid: string; signsSince: Date | null };
  /** Published already, signs from the next rotation on. */
  next: { kid: string; publishedAt: Date } | null;
  /** `retireAt`: when the last token that it signed has expired. */
  previous: { kid: string; retireAt: Date }[];
};

/** How long a verifier may keep the JWKS. */
export const JWKS_MAX_AGE_SECONDS = 600;

/** The slowest way of a change to a running service: a mounted Secret of Kubernetes. A shared folder takes a second. */
export const PICK_UP_SECONDS = 120;

/** How long a key is published before it signs: the last replica may have given out the set without it, for its max-age, until it knew. */
export const PUBLISH_LEAD_SECONDS = JWKS_MAX_AGE_SECONDS + PICK_UP_SECONDS;

/** With no next key published, an unknown key may appear at any time: verifiers should ask again soon. */
const MAX_AGE_WITHOUT_NEXT_SECONDS = 60;

/** The JWKS `max-age`: nothing cached this long can miss a key that signs meanwhile. */
export function jwksMaxAgeSeconds(ring: KeyRing): number {
  return ring.next === null ? MAX_AGE_WITHOUT_NEXT_SECONDS : JWKS_MAX_AGE_SECONDS;
}

/** Seconds that `next` must still be published before it may sign; 0 when it may, or when there is none. */
export function secondsUntilRotatable(ring: KeyRing, now: Date): number {
  if (ring.next === null) return 0;
  const readyAtMs = ring.next.publishedAt.getTime() + PUBLISH_LEAD_SECONDS * 1000;
  return Math.max(0, Math.ceil((readyAtMs - now.getTime()) / 1000));
}

/**
 * What was next signs, `freshKid` is published as the new next, the old current verifies until its last token expired: one that a
 * replica signed which had not heard of this yet. Without a next, `freshKid` becomes next and nothing else changes: a key never signs
 * unpublished.
 * @param tokenLifetimeSeconds the longest life of a token that was signed with it
 */
export function rotated(ring: KeyRing, freshKid: string, tokenLifetimeSeconds: number, now: Date): KeyRing {
  const next = { kid: freshKid, publishedAt: now };
  if (ring.next === null) return { ...ring, next };
  const retireAt = new Date(now.getTime() + (tokenLifetimeSeconds + PICK_UP_SECONDS + CLOCK_LEEWAY_SECONDS) * 1000);
  return { current: { kid: ring.next.kid, signsSince: now }, next, previous: [...still(ring, now), { kid: ring.current.kid, retireAt }] };
}

/**
 * A key leaves at once, because somebody else may have it. Something signs afterwards whatever it was: for the current key the next
 * one, published long ago as a rule, for want of it a fresh one that no verifier knows yet; and there is a next one.
 * @param fresh makes a key @returns its kid
 */
export function retired(ring: KeyRing, kid: string, fresh: () => string, now: Date): KeyRing {
  const previous = still(ring, now).filter((key) => key.kid !== kid);
  if (kid !== ring.current.kid && kid !== ring.next?.kid) return { ...ring, previous };
  const current = kid === ring.current.kid ? { kid: ring.next?.kid ?? fresh(), signsSince: now } : ring.current;
  return { current, next: { kid: fresh(), publishedAt: now }, previous };
}

/** Verifiers allow clocks to differ by up to this. */
export const CLOCK_LEEWAY_SECONDS = 60;

/** The previous keys whose last token has expired: they may leave the JWKS. */
export function retirable(ring: KeyRing, now: Date): string[] {
  return ring.previous.filter(({ retireAt }) => retireAt <= now).map(({ kid }) => kid);
}

/** For how long the current key has signed and the next one is published; nothing of what nobody noted. */
export function keyAges(ring: KeyRing, now: Date): { state: 'current' | 'next'; seconds: number }[] {
  const ages = [
    { state: 'current' as const, since: ring.current.signsSince },
    { state: 'next' as const, since: ring.next?.publishedAt ?? null },
  ];
  return ages.flatMap(({ state, since }) =>
    since === null ? [] : [{ state, seconds: Math.max(0, (now.getTime() - since.getTime()) / 1000) }],
  );
}

function still(ring: KeyRing, now: Date): KeyRing['previous'] {
  return ring.previous.filter(({ retireAt }) => retireAt > now);
}
