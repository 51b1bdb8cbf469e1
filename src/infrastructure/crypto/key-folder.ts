import { randomUUID } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { type KeyRing, PUBLISH_LEAD_SECONDS } from '#domain/key-rotation.ts';
import { type Algorithm, BadSigningKey, generateKeyPem, type SigningKey, signingKey, type VerifyingKey } from './signing-key.ts';

/**
 * The signing keys in a folder: `<kid>.pem` each (0600), and `manifest.json`, which says what each is for. A folder can be
 * looked at, backed up, mounted and shared by replicas.
 */
type Manifest = {
  /** `signs_since` came later than the first manifests. */
  current: Entry & { signs_since?: string };
  next: (Entry & { published_at: string }) | null;
  previous: (Entry & { retire_at: string })[];
};
type Entry = { kid: string; alg: Algorithm };

export type KeySet = { ring: KeyRing; current: SigningKey; keys: ReadonlyMap<string, VerifyingKey> };

/** Reads manifest and keys. @throws BadSigningKey with a sentence for the operator when they do not fit */
export function readKeyFolder(dir: string): KeySet {
  const manifest = readManifest(dir);
  const current = readKey(dir, manifest.current.kid, manifest.current.alg);
  const entries = [...(manifest.next ? [manifest.next] : []), ...manifest.previous];
  const keys = new Map([current, ...entries.map(({ kid, alg }) => readKey(dir, kid, alg))].map((key) => [key.kid, key]));
  const since = manifest.current.signs_since ?? manifest.next?.published_at; // a rotation does both at one moment
  const ring: KeyRing = {
    current: { kid: manifest.current.kid, signsSince: since === undefined ? null : new Date(since) },
    next: manifest.next && { kid: manifest.next.kid, publishedAt: new Date(manifest.next.published_at) },
    previous: manifest.previous.map(({ kid, retire_at }) => ({ kid, retireAt: new Date(retire_at) })),
  };
  return { ring, current, keys };
}

/** Makes a current and a next key where there are none; of processes that start at once one wins and all agree. */
export function createKeyFolder(dir: string, alg: Algorithm, now: Date): void {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  if (manifestStamp(dir) !== null) return;
  const current = addKey(dir, alg);
  const next = addKey(dir, alg);
  // No set without it was ever given out: it may sign at any time.
  const publishedAt = new Date(now.getTime() - PUBLISH_LEAD_SECONDS * 1000);
  const manifest: Manifest = {
    current: { kid: current, alg, signs_since: now.toISOString() },
    next: { kid: next, alg, published_at: publishedAt.toISOString() },
    previous: [],
  };
  const draft = writeDraft(dir, manifest);
  let isFirst = false;
  try {
    isFirst = becomesManifest(dir, draft);
  } finally {
    rmSync(draft, { force: true });
    if (!isFirst) for (const kid of [current, next]) rmSync(keyPath(dir, kid));
  }
}

/** @returns false when another process was first: its keys count */
function becomesManifest(dir: string, draft: string): boolean {
  try {
    linkSync(draft, manifestPath(dir));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
  }
  // A file system without hard links, as FAT and many a mount of a desktop. If it is anything else, that is in the way here too, and said.
  let isFirst = false;
  whileLocked(dir, () => {
    if (manifestStamp(dir) !== null) return;
    renameSync(draft, manifestPath(dir));
    isFirst = true;
  });
  return isFirst;
}

/** Changes the ring as one step; keys that it does not name any more are deleted. */
export function writeKeyRing(dir: string, ring: KeyRing, keys: ReadonlyMap<string, Algorithm>): void {
  const entry = (kid: string): Entry => ({ kid, alg: keys.get(kid) ?? 'RS256' });
  const { kid, signsSince } = ring.current;
  const manifest: Manifest = {
    current: { ...entry(kid), ...(signsSince === null ? {} : { signs_since: signsSince.toISOString() }) },
    next: ring.next && { ...entry(ring.next.kid), published_at: ring.next.publishedAt.toISOString() },
    previous: ring.previous.map(({ kid, retireAt }) => ({ ...entry(kid), retire_at: retireAt.toISOString() })),
  };
  renameSync(writeDraft(dir, manifest), manifestPath(dir));
  const named = new Set([ring.current.kid, ring.next?.kid, ...ring.previous.map(({ kid }) => kid)]);
  for (const kid of keys.keys()) if (!named.has(kid)) rmSync(keyPath(dir, kid), { force: true });
}

/**
 * One change at a time: of two at once the second would write down what it read before the first.
 * @throws BadSigningKey while another command holds the folder
 */
export function whileLocked(dir: string, work: () => void): void {
  const lock = path.join(dir, '.lock');
  try {
    closeSync(openSync(lock, 'wx', 0o600));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw new BadSigningKey(`${dir} cannot be written to`, { cause });
    throw new BadSigningKey(`Another command changes the keys in ${dir}; try again. If none does, one was killed: delete ${lock}`, {
      cause,
    });
  }
  try {
    work();
  } finally {
    rmSync(lock);
  }
}

/** Makes a key and stores it. @returns its kid */
export function addKey(dir: string, alg: Algorithm, rsaBits?: number): string {
  const pem = generateKeyPem(alg, rsaBits);
  const { kid } = signingKey(pem, alg);
  writeDurably(keyPath(dir, kid), pem);
  return kid;
}

/** Changes whenever the manifest does; null when there is none. */
export function manifestStamp(dir: string): string | null {
  const stat = statSync(manifestPath(dir), { throwIfNoEntry: false });
  return stat ? `${stat.ino}-${stat.mtimeMs}-${stat.size}` : null;
}

const manifestPath = (dir: string) => path.join(dir, 'manifest.json');
const keyPath = (dir: string, kid: string) => path.join(dir, `${kid}.pem`);

function readManifest(dir: string): Manifest {
  try {
    return JSON.parse(readFileSync(manifestPath(dir), 'utf8')) as Manifest;
  } catch (cause) {
    throw new BadSigningKey(`${manifestPath(dir)} cannot be read; make keys with: latchkey keys generate`, { cause });
  }
}

function readKey(dir: string, kid: string, alg: Algorithm): SigningKey {
  const file = keyPath(dir, kid);
  const stat = statSync(file, { throwIfNoEntry: false });
  if (!stat) throw new BadSigningKey(`The signing key ${file} is missing, yet the manifest names it`);
  // What another user owns, as a mounted Secret of Kubernetes, is read by its group: else it could not be read at all.
  const tooMany = stat.uid === process.getuid?.() ? 0o077 : 0o027;
  if ((stat.mode & tooMany) !== 0) throw new BadSigningKey(`Others can read ${file}; run: chmod 600 ${file}`);
  const key = signingKey(readFileSync(file, 'utf8'), alg);
  if (key.kid !== kid) throw new BadSigningKey(`${file} holds another key than its name says`);
  return key;
}

function writeDraft(dir: string, manifest: Manifest): string {
  const draft = path.join(dir, `.manifest-${randomUUID()}.json`); // in containers that share a folder each process is number 1
  writeDurably(draft, `${JSON.stringify(manifest, null, 2)}\n`);
  return draft;
}

function writeDurably(file: string, content: string): void {
  const handle = openSync(file, 'wx', 0o600);
  try {
    writeSync(handle, content);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  chmodSync(file, 0o600); // whatever the umask is
}
