import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { JWKS_MAX_AGE_SECONDS, secondsUntilRotatable } from '#domain/key-rotation.ts';
import { readKeyFolder } from '#infrastructure/crypto/key-folder.ts';
import { latchkeyProcess } from '#tests/support/command.ts';
import { kidOf } from '#tests/support/keys.ts';
import { has } from '#tests/support/programs.ts';
import { until } from '#tests/support/until.ts';
import { badDay, forAWhile, ISSUER, isUnderWay, reckon, recovers, troubledBy } from './support/day.ts';
import { fakeClock } from './support/fake-clock.ts';
import { expiresAtMs, type Verifier, verifier } from './support/verifier.ts';

/**
 * The signing key rotates twice, by the command, under two replicas and their load. The clocks of replicas, command and verifiers go a
 * hundred times as fast, in steps, so that the minutes of the settings are the real ones; they stand while the command runs and until a
 * replica has looked at its folder, which takes real seconds.
 */
const STEP_SECONDS = 15;
const STEP_TAKES_SECONDS = 0.1;
/** More than a step, for what takes real seconds on a machine that is busy. */
const LAST_SECONDS = 60;
const VERIFIERS_OF_EACH = 6;

type Held = { token: string; kid: string; expiresAtMs: number };

it.runIf(has('faketime'))(
  '[V13.3.4] two rotations cost no verification of any token that people got, by verifiers that keep the key set for ten minutes',
  async () => {
    await badDay(async (day) => {
      const clock = fakeClock();
      day.onEnd(clock.remove);
      const folder = mkdtempSync(path.join(tmpdir(), 'latchkey-rotation-'));
      day.onEnd(() => rmSync(folder, { recursive: true, force: true }));
      const settings = { ...clock.environment, KEYS_DIR: folder };
      const keys = (verb: string) => latchkeyProcess(day.postgres.address, ['keys', verb], settings).ended;
      const ring = () => readKeyFolder(folder).ring;
      expect(await keys('generate')).toMatchObject({ code: 0 });

      const replicas = await day.replicas({ settings });
      const verifiers = replicas.origins.flatMap((origin) =>
        Array.from({ length: VERIFIERS_OF_EACH }, (_, index) =>
          verifier(origin, ISSUER, 1 + (index * JWKS_MAX_AGE_SECONDS) / VERIFIERS_OF_EACH),
        ),
      );
      const fresh: string[] = [];
      const signedBy = new Map<string, number>();
      const failures: string[] = [];
      let held: Held[] = [];

      const show = async ({ token, kid }: Held, at: Date) => {
        const tried = async (verify: Verifier, index: number) => {
          await verify(token, at).catch((error) => failures.push(`verifier ${index} refuses what ${kid} signed: ${error}`));
        };
        await Promise.all(verifiers.map(tried));
      };
      /** Every token is shown to every verifier when somebody got it, and again in the last minute before it expires. */
      const verifyAll = async () => {
        const at = clock.now();
        const got = fresh.splice(0).map((token) => ({ token, kid: kidOf(token), expiresAtMs: expiresAtMs(token) }));
        for (const { kid } of got) signedBy.set(kid, (signedBy.get(kid) ?? 0) + 1);
        for (const one of got) await show(one, at);
        const lastAtMs = at.getTime() + LAST_SECONDS * 1000;
        const [ending, others] = [held.filter((one) => one.expiresAtMs <= lastAtMs), held.filter((one) => one.expiresAtMs > lastAtMs)];
        for (const one of ending) await show(one, at);
        held = [...others, ...got];
      };
      let seconds = 0;
      const step = async () => {
        await forAWhile(STEP_TAKES_SECONDS);
        await verifyAll();
        seconds += STEP_SECONDS;
        clock.set(seconds);
      };
      const published = async (origin: string) =>
        (await (await fetch(`${origin}/.well-known/jwks.json`)).text()).includes(ring().next?.kid ?? '');

      // Links for half an hour and step-up for ten minutes are short on this day, and codes of apps wrong: nobody asks for them.
      const crowd = day.crowd(replicas, {
        onToken: (token) => fresh.push(token),
        mayHaveExpired: (token) => expiresAtMs(token) <= clock.now().getTime(),
        without: ['reset-password', 'setup'],
      });
      await isUnderWay(crowd);
      expect(await keys('rotate')).toMatchObject({ code: 1, err: expect.stringContaining('Verifiers may not have seen the next key yet') });
      const troubled = await troubledBy(crowd, async () => {
        for (let round = 0; round < 2; round++) {
          while (secondsUntilRotatable(ring(), clock.now()) > 0) await step();
          const { next } = ring();
          expect(await keys('rotate')).toMatchObject({ code: 0 });
          expect(ring().current.kid).toBe(next?.kid);
          for (const origin of replicas.origins) await until('the replica has heard of it', () => published(origin));
          await recovers(crowd, replicas);
        }
        // Until everything that the first two keys signed has expired.
        const { kid } = ring().current;
        do await step();
        while (held.some((one) => one.kid !== kid));
      });
      await verifyAll();
      expect(failures).toEqual([]);
      expect(troubled).toBe(0);
      expect([...signedBy.values()].filter((count) => count > VERIFIERS_OF_EACH)).toHaveLength(3);
      console.log(`by key, tokens that ${verifiers.length} verifiers took twice: ${[...signedBy.values()]}`);
      await reckon(day, crowd);
    });
  },
);
