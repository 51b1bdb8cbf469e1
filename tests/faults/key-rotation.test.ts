import { chmodSync, copyFileSync, cpSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Clock } from '#application/ports/services.ts';
import { PUBLISH_LEAD_SECONDS } from '#domain/key-rotation.ts';
import { readKeyFolder } from '#infrastructure/crypto/key-folder.ts';
import type { Answer } from '#tests/support/api.ts';
import { type TestClock, testClock } from '#tests/support/clock.ts';
import { type Keys, keysOf, kidOf } from '#tests/support/keys.ts';
import { type SignedIn, signedInPerson, tokensOf } from '#tests/support/people.ts';
import { startService, type TestService } from '#tests/support/service.ts';
import { until } from '#tests/support/until.ts';

/**
 * Signing keys rotate twice while two replicas sign and twenty-four strangers verify. Time is the test's: services, command and verifiers
 * read one clock, which moves by a step whenever everybody has had a turn, so that the minutes of the settings are the real ones.
 * What takes real time (a replica's look at its folder) happens while the clock stands and the load goes on.
 *
 * The worst case of each promise: the second replica hears of every change as late as a mounted Secret may (LAG_SECONDS); a verifier
 * keeps the set for the whole of its max-age and asks nobody about a key that it does not know; verifiers fetch at staggered times, half of
 * them from the late replica; rotations come as soon as the command allows; tokens are shown until the second in which they expire.
 */
const STEP_SECONDS = 15;
/** While nothing is left to do but to see the first key go. */
const LATE_STEP_SECONDS = 60;
const LAG_SECONDS = 120;
const MAX_AGE_SECONDS = 600;
const CLIENTS = 4;
const VERIFIERS_OF_EACH = 12;

const ISSUER = 'https://auth.example.com';
type Held = { token: string; kid: string; expiresAt: number };
type Verifier = (token: string, at: Date) => Promise<void>;

let clock: TestClock;
let replicas: [TestService, TestService];
let folders: [string, string];
let keys: Keys;
beforeAll(async () => {
  clock = testClock();
  const dir = () => mkdtempSync(path.join(tmpdir(), 'latchkey-drill-'));
  folders = [dir(), dir()];
  keys = keysOf(folders[0], clock);
  const settings = (KEYS_DIR: string, ROLE = 'all') => ({ KEYS_DIR, ROLE, JWT_ALGORITHM: 'ES256', ISSUER, ALLOWED_HOSTS: '127.0.0.1' });
  const first = await startService({ settings: settings(folders[0]), clock });
  cpSync(folders[0], folders[1], { recursive: true });
  replicas = [first, await startService({ settings: settings(folders[1], 'web'), clock, database: first.database })];
});
afterAll(async () => {
  for (const replica of replicas.toReversed()) await replica.stop();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

const jwksOf = async ({ origin }: TestService) => {
  const answer = await fetch(`${origin}/.well-known/jwks.json`);
  const maxAge = Number(/^public, max-age=(\d+)$/.exec(answer.headers.get('cache-control') ?? '')?.[1]);
  return { set: (await answer.json()) as JSONWebKeySet, maxAge };
};
const kidsOf = async (service: TestService) => (await jwksOf(service)).set.keys.map(({ kid }) => kid ?? '').toSorted();

/** Keeps what it fetched for as long as it may, beginning at the time when it had it; its first set ends early, to stagger it. */
function verifier(source: TestService, time: Clock, firstSeconds: number): Verifier {
  let kept: ReturnType<typeof createLocalJWKSet> | undefined;
  let keptUntil = 0;
  return async (token, at) => {
    if (kept === undefined || at.getTime() >= keptUntil) {
      const { set, maxAge } = await jwksOf(source);
      expect(maxAge).toBe(MAX_AGE_SECONDS);
      keptUntil = time.now().getTime() + (kept === undefined ? firstSeconds : maxAge) * 1000;
      kept = createLocalJWKSet(set);
    }
    await jwtVerify(token, kept, { issuer: ISSUER, audience: ISSUER, typ: 'at+jwt', algorithms: ['ES256'], currentDate: at });
  };
}

/** As a client asks: a machine that is busy sheds load, and that is nobody's key. */
const patiently = (ask: () => Promise<Answer>): Promise<Answer> =>
  until('it answers', async () => {
    const answer = await ask();
    return answer.status === 503 ? null : answer;
  });

/** As a mounted Secret changes: the keys first, then what names them, in one step. */
function sync(): void {
  const [from, to] = folders;
  for (const name of readdirSync(from).filter((each) => each.endsWith('.pem'))) {
    copyFileSync(path.join(from, name), path.join(to, name));
    chmodSync(path.join(to, name), 0o600);
  }
  copyFileSync(path.join(from, 'manifest.json'), path.join(to, '.draft'));
  renameSync(path.join(to, '.draft'), path.join(to, 'manifest.json'));
}

describe('two rotations under load', () => {
  it('[V13.3.4] cost no verification, wherever a token was signed and whenever a verifier fetched the keys', {
    timeout: 300_000,
  }, async () => {
    const people: SignedIn[] = [];
    while (people.length < CLIENTS) people.push(await signedInPerson(replicas[0]));
    const verifiers = replicas.flatMap((replica) =>
      Array.from({ length: VERIFIERS_OF_EACH }, (_, index) => verifier(replica, clock, 1 + (index * MAX_AGE_SECONDS) / VERIFIERS_OF_EACH)),
    );
    let held: Held[] = [];
    const [signedBy, failures] = [new Set<string>(), [] as string[]];
    let [verified, turn] = [0, 0];

    const refresh = async (person: SignedIn, index: number) => {
      const [signer, other] = (turn + index) % 2 === 0 ? replicas : replicas.toReversed();
      const asked = () => (signer as TestService).api().post('/api/auth/refresh', { refresh_token: person.refreshToken });
      Object.assign(person, tokensOf(await patiently(asked)));
      const { exp } = JSON.parse(Buffer.from(person.accessToken.split('.')[1] ?? '', 'base64url').toString()) as { exp: number };
      held.push({ token: person.accessToken, kid: kidOf(person.accessToken), expiresAt: exp * 1000 });
      signedBy.add(kidOf(person.accessToken));
      const me = await patiently(() => (other as TestService).api().get('/api/auth/me', person.accessToken));
      if (me.status !== 200) failures.push(`turn ${turn}: a replica answers ${me.status} to a token of the other`);
    };
    const verifyAll = async () => {
      const at = clock.now();
      held = held.filter(({ expiresAt }) => expiresAt > at.getTime());
      // Of each key the newest, and those that are about to expire.
      const byKey = Map.groupBy(held, ({ kid }) => kid);
      const shown = [...byKey.values()].flatMap((tokens) => [...tokens.slice(0, 2), ...tokens.slice(-2)]);
      for (const { token, kid } of shown) {
        const outcomes = await Promise.allSettled(verifiers.map((verify) => verify(token, at)));
        verified += outcomes.length;
        for (const [index, outcome] of outcomes.entries())
          if (outcome.status === 'rejected') failures.push(`turn ${turn}: verifier ${index} of ${kid}: ${outcome.reason}`);
      }
    };

    const turnOfAll = () => Promise.all([...people.map(refresh), verifyAll()]);
    /** The load goes on while a replica reads its folder anew. */
    const heardOf = async (replica: TestService) => {
      const kid = readKeyFolder(folders[0]).ring.next?.kid ?? '';
      let hasHeard = false;
      const hearing = until('the replica has heard of it', async () => (await kidsOf(replica)).includes(kid)).finally(() => {
        hasHeard = true;
      });
      while (!hasHeard) await turnOfAll();
      await hearing;
    };
    const first = readKeyFolder(folders[0]).ring.current.kid;
    const rotations: number[] = [];
    let syncAt = Number.POSITIVE_INFINITY;
    const began = clock.now().getTime();
    const seconds = () => (clock.now().getTime() - began) / 1000;
    const isPublished = async () => (await Promise.all(replicas.map(kidsOf))).some((kids) => kids.includes(first));
    while (rotations.length < 2 || (await isPublished())) {
      turn += 1;
      clock.advance(rotations.length === 2 && syncAt === Number.POSITIVE_INFINITY ? LATE_STEP_SECONDS : STEP_SECONDS);
      if (rotations.length < 2 && (await keys('rotate')).code === 0) {
        rotations.push(seconds());
        syncAt = seconds() + LAG_SECONDS;
        await heardOf(replicas[0]);
      }
      // At the last moment, the verifiers fetch what the late replica does not know yet.
      await turnOfAll();
      if (seconds() >= syncAt) {
        syncAt = Number.POSITIVE_INFINITY;
        sync();
        await heardOf(replicas[1]);
      }
      expect(failures.slice(0, 5)).toEqual([]);
      expect(seconds()).toBeLessThan(3 * 3600);
    }
    // At once, for there was never a set without the first next key; and as soon as the second has been published long enough.
    expect(rotations).toEqual([STEP_SECONDS, STEP_SECONDS + PUBLISH_LEAD_SECONDS]);
    expect(signedBy.size).toBe(3);
    for (const replica of replicas) expect(await kidsOf(replica)).not.toContain(first);
    expect(verified).toBeGreaterThan(10_000);
  });
});
