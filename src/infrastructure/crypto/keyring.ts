import { createHash } from 'node:crypto';
import type { Clock, KeyPublisher } from '#application/ports/services.ts';
import { jwksMaxAgeSeconds, retirable } from '#domain/key-rotation.ts';
import { createKeyFolder, type KeySet, manifestStamp, readKeyFolder } from './key-folder.ts';
import { type Algorithm, BadSigningKey, isPair, type SigningKey, signingKey } from './signing-key.ts';

/** How soon a running service notices a rotation; the command line promises 30 seconds. */
const RELOAD_MS = 10_000;

export type Keyring = KeyPublisher & {
  current(): SigningKey;
  /** A key that may verify a live token; null for any other `kid`. */
  find(kid: string): SigningKey | null;
  stop(): void;
};

/** The keys of a folder, made at first use, read anew when its manifest changes. A manifest that cannot be read changes nothing. */
export function openKeyFolder(dir: string, alg: Algorithm, clock: Clock, onError: (error: unknown) => void): Keyring {
  createKeyFolder(dir, alg, clock.now());
  let stamp = manifestStamp(dir);
  const holder = hold(readKeyFolder(dir), clock);
  const timer = setInterval(() => {
    const seen = manifestStamp(dir);
    try {
      if (seen !== stamp) holder.replace(readKeyFolder(dir));
      else holder.retire();
      stamp = seen;
    } catch (error) {
      onError(error);
    }
  }, RELOAD_MS);
  timer.unref();
  return { ...holder.ring, stop: () => clearInterval(timer) };
}

/** One key from the settings; it is replaced by a restart with another. */
export function keyringFromPem(privatePem: string, publicPem: string | undefined, clock: Clock, rsaAlg: Algorithm): Keyring {
  const key = signingKey(privatePem, rsaAlg);
  if (publicPem !== undefined && !isPair(privatePem, publicPem))
    throw new BadSigningKey('JWT_PUBLIC_KEY does not belong to JWT_PRIVATE_KEY');
  const set: KeySet = { ring: { current: { kid: key.kid }, next: null, previous: [] }, keys: new Map([[key.kid, key]]) };
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
      current: () => keyOf(set, set.ring.current.kid),
      find: (kid: string) => live.get(kid) ?? null,
      jwks: () => document,
      algorithms: () => [...new Set([...live.values()].map(({ alg }) => alg))],
    },
  };
}

function published({ ring, keys }: KeySet, now: Date): Map<string, SigningKey> {
  const gone = new Set(retirable(ring, now));
  return new Map([...keys].filter(([kid]) => !gone.has(kid)));
}

function prepare({ ring }: KeySet, live: ReadonlyMap<string, SigningKey>) {
  const body = JSON.stringify({ keys: [...live.values()].map(({ jwk }) => jwk) });
  const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
  return { body, etag, maxAgeSeconds: jwksMaxAgeSeconds(ring) };
}

function keyOf({ keys }: KeySet, kid: string): SigningKey {
  const key = keys.get(kid);
  if (!key) throw new BadSigningKey(`There is no signing key ${kid}`);
  return key;
}
