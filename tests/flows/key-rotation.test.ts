import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PUBLISH_LEAD_SECONDS } from '#domain/key-rotation.ts';
import { readKeyFolder } from '#infrastructure/crypto/key-folder.ts';
import { expectProblem } from '#tests/support/api.ts';
import { testClock } from '#tests/support/clock.ts';
import { latchkeyProcess } from '#tests/support/command.ts';
import { type Keys, keysOf, kidOf } from '#tests/support/keys.ts';
import { signedInPerson, signIn, tokensOf, tryLogin, verifiedPerson } from '#tests/support/people.ts';
import { startService, type TestService } from '#tests/support/service.ts';
import { until } from '#tests/support/until.ts';

/** What the contract promises: running services pick a rotation up by themselves within this long. */
const PICKED_UP_WITHIN_SECONDS = 30;

let dir: string;
let keys: Keys;
let replicas: [TestService, TestService];
beforeEach(async () => {
  dir = mkdtempSync(path.join(tmpdir(), 'latchkey-rotation-'));
  const clock = testClock();
  const settings = { KEYS_DIR: dir, JWT_ALGORITHM: 'ES256' };
  const first = await startService({ settings, clock });
  replicas = [first, await startService({ settings: { ...settings, ROLE: 'web' }, clock, database: first.database })];
  keys = keysOf(dir, clock);
});
afterEach(async () => {
  for (const replica of replicas.toReversed()) await replica.stop();
  rmSync(dir, { recursive: true, force: true });
});

const published = async (service: TestService) => {
  const jwks = (await (await fetch(`${service.origin}/.well-known/jwks.json`)).json()) as { keys: { kid: string }[] };
  return jwks.keys.map(({ kid }) => kid);
};
/** Until both replicas publish exactly these. */
const allPublish = (kids: (string | undefined)[]) =>
  until(
    'both replicas publish the new set',
    async () => (await Promise.all(replicas.map(published))).every((seen) => String(seen.toSorted()) === String(kids.toSorted())),
    PICKED_UP_WITHIN_SECONDS,
  );
const ring = () => readKeyFolder(dir).ring;

describe('latchkey keys rotate', () => {
  it('[V13.3.4] is picked up by running replicas, never signs with what was not published, and keeps old tokens good to their end', async () => {
    const [a, b] = replicas;
    const before = ring();
    const person = await signedInPerson(a);
    expect(kidOf(person.accessToken)).toBe(before.current.kid);
    expect(await published(b)).toContain(before.next?.kid);
    // The first next key was there from the first set on: nobody has one without it.
    expect(await keys('rotate')).toMatchObject({ code: 0 });
    expect(await keys('rotate')).toMatchObject({
      code: 1,
      complained: [expect.stringContaining(`try again in ${PUBLISH_LEAD_SECONDS} s`)],
    });
    await allPublish([before.current.kid, before.next?.kid, ring().next?.kid]);
    for (const replica of replicas) {
      expect((await replica.api().get('/api/auth/me', person.accessToken)).status).toBe(200);
      expect(kidOf(tokensOf(await tryLogin(replica.api(), person)).accessToken)).toBe(before.next?.kid);
    }

    a.clock.advance(2 * 3600);
    await allPublish([before.next?.kid, ring().next?.kid]);
    expect(await keys('rotate')).toMatchObject({ code: 0 });
  });

  it('of several at once comes one after the other, or is told to try again, and the ring stays whole', async () => {
    const { address } = replicas[0].database;
    const rotations = Array.from({ length: 4 }, () => latchkeyProcess(address, ['keys', 'rotate', '--now'], { KEYS_DIR: dir }).ended);
    const rans = await Promise.all(rotations);
    for (const { code, err } of rans) if (code !== 0) expect(err).toMatch(/Another command/);
    expect(rans.some(({ code }) => code === 0)).toBe(true);
    const { ring: whole, keys: known } = readKeyFolder(dir);
    const named = [whole.current.kid, whole.next?.kid, ...whole.previous.map(({ kid }) => kid)];
    expect([...known.keys()].toSorted()).toEqual(named.toSorted());
    const files = readdirSync(dir).filter((name) => name !== 'manifest.json');
    expect(files.toSorted()).toEqual(named.map((kid) => `${kid}.pem`).toSorted());
  });
});

describe('latchkey keys retire', () => {
  it('[V7.4.1] of the key that signs ends its tokens at once; the next one signs, and who refreshes stays signed in', async () => {
    const [a, b] = replicas;
    const person = await signedInPerson(a);
    a.clock.advance(PUBLISH_LEAD_SECONDS);
    const before = ring();
    const me = (token: string) => Promise.all(replicas.map((replica) => replica.api().get('/api/auth/me', token)));
    expect((await me(person.accessToken)).map(({ status }) => status)).toEqual([200, 200]); // remembered by both

    const ran = await keys('retire', before.current.kid);
    expect(ran).toMatchObject({ code: 0, complained: [] });
    expect(ran.printed[1]).toBe(`${before.next?.kid} signs`);
    await allPublish([before.next?.kid, ring().next?.kid]);
    for (const answer of await me(person.accessToken)) expectProblem(answer, 'unauthenticated');
    expect(readdirSync(dir)).not.toContain(`${before.current.kid}.pem`);

    const next = tokensOf(await b.api().post('/api/auth/refresh', { refresh_token: person.refreshToken }));
    expect(kidOf(next.accessToken)).toBe(before.next?.kid);
    expect((await me(next.accessToken)).map(({ status }) => status)).toEqual([200, 200]);
  });

  it('leaves something that signs and something next whatever is retired, and says what verifiers may notice', async () => {
    const all = () => [ring().current.kid, ring().next?.kid ?? ''];
    for (let round = 0; round < 2; round += 1) {
      for (const kid of all()) {
        const { code, printed } = await keys('retire', kid);
        expect({ code, said: printed[0] }).toEqual({ code: 0, said: expect.stringContaining(`${kid} is gone`) });
      }
    }
    const [current, next] = all();
    const young = await keys('retire', current ?? '');
    expect(young.complained).toEqual([expect.stringContaining(`for up to ${PUBLISH_LEAD_SECONDS} s`)]);
    expect(ring().current.kid).toBe(next);
    await allPublish(all());
    await signIn(replicas[1].api(), await verifiedPerson(replicas[0]));
    expect(await keys('retire', current ?? '')).toMatchObject({ code: 1, complained: [expect.stringContaining('There is no key')] });
    const dashed = `-${current}`; // one KID in 64 begins so, and is no option
    expect(await keys('retire', dashed)).toMatchObject({ code: 1, complained: [expect.stringContaining(`There is no key ${dashed} `)] });
    expect(execFileSync('ls', ['-l', dir], { encoding: 'utf8' }).match(/-rw-------/g)).toHaveLength(3);
  });
});
