import { createHash } from 'node:crypto';
import type { Clock, KeyPublisher } from '#application/ports/services.ts';
import { jwksMaxAgeSeconds, keyAges, retirable } from '#domain/key-rotation.ts';
import { seldom } from '../schedule/seldom.ts';
import { createKeyFolder, type KeySet, manifestStamp, readKeyFolder } from './key-folder.ts';
import { type Algorithm, BadSigningKey, type SigningKey, signingKey, type VerifyingKey, verifyingKeys } from './signing-key.ts';

/** How soon a running service notices a change: after a leak each second counts, and a look costs one `stat`. */
const RELOAD_MS = 1000;
const REPORT_EVERY_MS = 10_000;

export type Keyring = KeyPublisher & {
  current(): SigningKey;
  /** A key that may verify a live token; null for any other `kid`. */
  find(kid: string): VerifyingKey | null;
  /** As far as the manifest tells; nothing of a key from the settings. */
  ages(): ReturnType<typeof keyAges>;
  stop(): void;
};

/** The keys of a folder, made at first use, read anew when its manifest changes. A manifest that cannot be read changes nothing. */
export function openKeyFolder(dir: string, alg: Algorithm, clock: Clock, onError: (error: unknown) => void): Keyring {
  createKeyFolder(dir, alg, clock.now());
  let stamp = manifestStamp(dir);
  const holder = hold(readKeyFolder(dir), clock);
  const report = seldom(REPORT_EVERY_MS, onError);
  const timer = setInterval(() => {
    try {
      const seen = manifestStamp(dir);
      if (seen !== stamp) holder.replace(readKeyFolder(dir));
      else holder.retire();
      stamp = seen;
    } catch (error) {
      holder.retire(); // what has expired leaves, whatever came instead
      report(error);
    }
  }, RELOAD_MS);
  timer.unref();
  return { ...holder.ring, stop: () => clearInterval(timer) };
}

/**
 * One key from the settings; a restart replaces it by another. Public keys beside its own are published and verify too: the one before
 * while its tokens live, and the one to come, so that replicas and verifiers know it when the first of them signs with it.
 */
export function keyringFromPem(privatePem: string, publicPems: string | undefined, clock: Clock, rsaAlg: Algorithm): Keyring {
  const key = signingKey(privatePem, rsaAlg);
  const others = publicPems === undefined ? [key] : verifyingKeys(publicPems, rsaAlg);
  if (!others.some(({ kid }) => kid === key.kid)) throw new BadSigningKey('JWT_PUBLIC_KEY does not belong to JWT_PRIVATE_KEY');
  const ring = { current: { kid: key.kid, signsSince: null }, next: null, previous: [] };
  const set: KeySet = { ring, current: key, keys: new Map([key, ...others].map((each) => [each.kid, each])) };
  return { ...hold(set, clock).ring, stop: () => {} };
}

function hold(first: KeySet, clock: Clock) {
  let set = first;
  let live = published(set, clock.now());
  let document = prepare(set, live);
  const refresh = (next: KeySet) => {
    set = next;
    live = published(set, clock.now());
    document = prepare(set, live);
  };
  return {
    replace: refresh,
    retire: () => {
      if (retirable(set.ring, clock.now()).some((kid) => live.has(kid))) refresh(set);
    },
    ring: {
      current: () => set.current,
      find: (kid: string) => live.get(kid) ?? null,
      ages: () => keyAges(set.ring, clock.now()),
      jwks: () => document,
      algorithms: () => [...new Set([...live.values()].map(({ alg }) => alg))],
    },
  };
}

function published({ ring, keys }: KeySet, now: Date): Map<string, VerifyingKey> {
  const gone = new Set(retirable(ring, now));
  return new Map([...keys].filter(([kid]) => !gone.has(kid)));
}

function prepare({ ring }: KeySet, live: ReadonlyMap<string, VerifyingKey>) {
  const body = JSON.stringify({ keys: [...live.values()].map(({ jwk }) => jwk) });
  const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
  return { body, etag, maxAgeSeconds: jwksMaxAgeSeconds(ring) };
}
