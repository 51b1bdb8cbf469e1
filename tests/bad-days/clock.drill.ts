import { describe, expect, it } from 'vitest';
import { has } from '#tests/support/programs.ts';
import { totpCode } from '#tests/support/totp.ts';
import { chance } from './support/chance.ts';
import { clientOf } from './support/client.ts';
import { badDay, type Day, forAWhile, isUnderWay, reckon, works } from './support/day.ts';
import { type FakeClock, fakeClock } from './support/fake-clock.ts';
import { newLedger, newPerson, type PersonRecord } from './support/ledger.ts';
import { verbs } from './support/life.ts';
import { postbox } from './support/postbox.ts';

/** The clocks of the service's machines jump by an hour, there and back: two replicas that somebody set wrong together. */

const MINUTE = 60;
const HOUR = 60 * MINUTE;

function clockOf({ onEnd }: Day): FakeClock {
  const clock = fakeClock();
  onEnd(clock.remove);
  return clock;
}

/** Somebody who is signed in, and what they can do; each answer is theirs to judge. */
async function person(day: Day, origin: string) {
  const client = clientOf(origin);
  day.onEnd(client.close);
  const ledger = newLedger();
  const life = {
    client,
    ledger,
    postbox: postbox(day.mail),
    chance: chance(day.seed),
    isEnding: () => false,
    isOver: () => false,
    mayHaveExpired: () => true,
    onToken: () => {},
  };
  const who: PersonRecord = newPerson('ada@example.com', 'nine quiet rivers under 1 Bridge!');
  const does = verbs(life);
  await does.register(who);
  await does.verify(who);
  await does.login(who);
  const [session] = who.sessions;
  if (!session) throw new Error(`there is no session: ${ledger.complaints}`);
  return { who, session, does, client, ledger };
}

describe.runIf(has('faketime'))('[V16.5.3] when the clock jumps an hour, nobody is locked out for ever, nor let in', () => {
  it.each([
    { how: 'forward', first: HOUR },
    { how: 'back', first: -HOUR },
  ])('$how under load, and returns: nothing acknowledged is lost, no mail waits, nobody is signed out', async ({ first }) => {
    await badDay(async (day) => {
      const clock = clockOf(day);
      const replicas = await day.replicas({ settings: clock.environment });
      // Links for half an hour and step-up for ten minutes end with an hour: nobody asks for them on this day.
      const crowd = day.crowd(replicas, { mayHaveExpired: () => true, without: ['reset-password', 'setup'] });
      await isUnderWay(crowd);
      for (const offset of [first, 0]) {
        clock.set(offset);
        await works(crowd);
        await forAWhile(1);
      }
      await reckon(day, crowd);
    });
  });

  it('a second factor is not lost: recovery codes work meanwhile, and the app again as soon as the clock is right', async () => {
    await badDay(async (day) => {
      const clock = clockOf(day);
      const { origin } = await day.replicas({ settings: clock.environment });
      const { who, session, client, ledger } = await person(day, origin);
      const { secret = '' } = (await client.post('mfa/setup', undefined, session.accessToken)).body;
      const phone = (secondsOn = 0) => totpCode(secret, new Date(Date.now() + secondsOn * 1000));
      const { recovery_codes: codes = [] } = (await client.post('mfa/activate', { code: phone() }, session.accessToken)).body;
      const tryFactor = async (method: string, code: string) => {
        const { pre_auth_token } = (await client.post('login', { email: who.email, password: who.passwords[0] })).body;
        const { status, code: problem } = await client.post('verify-mfa', { pre_auth_token, method, code });
        return problem || status;
      };
      for (const [index, offset] of [HOUR, -HOUR].entries()) {
        clock.set(offset);
        expect(await tryFactor('totp', phone())).toBe('invalid-code');
        expect(await tryFactor('recovery_code', codes[index] ?? '')).toBe(200);
      }
      clock.set(MINUTE); // right again, and a minute later: the code of the enrolment is used up
      expect(await tryFactor('totp', phone(MINUTE))).toBe(200);
      expect(ledger.complaints).toEqual([]);
    });
  });

  it('a lock that was set while it was ahead ends, at the latest that hour later', async () => {
    await badDay(async (day) => {
      const clock = clockOf(day);
      const { origin } = await day.replicas({ settings: clock.environment });
      const { who, client } = await person(day, origin);
      const tryLogin = (password = who.passwords[0]) => client.post('login', { email: who.email, password });
      clock.set(HOUR);
      for (let wrong = 0; wrong < 5; wrong++) expect((await tryLogin('not the password at all')).status).toBe(401);
      const locked = await tryLogin();
      expect(locked.status).toBe(429);
      clock.set(0);
      const still = await tryLogin();
      expect(still.status).toBe(429);
      expect(still.retryAfterSeconds).toBeLessThanOrEqual(HOUR + 30 * MINUTE);
      clock.set(HOUR + 31 * MINUTE);
      expect((await tryLogin()).status).toBe(200);
    });
  });

  it('limits that are counted in process neither refuse nor admit for ever: one full bucket a jump', async () => {
    await badDay(async (day) => {
      const clock = clockOf(day);
      const settings = { ...clock.environment, RATE_LIMIT_LOGIN: '5/minute' };
      // One process, because these are its own: a second one has buckets of its own, and knows nothing of them.
      const { post } = await day.service({ settings, without: ['REDIS_URL'] });
      const admitted = async () => {
        let count = 0;
        // Nobody has this name: what refuses is the bucket, and no lock of an account.
        for (let tried = 0; tried < 10; tried++) {
          const email = `nobody-${Math.random()}@example.com`;
          if ((await post('login', { email, password: 'anything at all' })).status === 401) count++;
        }
        return count;
      };
      for (const offset of [0, HOUR, 0, -HOUR, 0]) {
        clock.set(offset);
        const count = await admitted();
        expect(count).toBeGreaterThanOrEqual(5);
        expect(count).toBeLessThan(10); // what flows in meanwhile on a slow machine is a token in twelve seconds
      }
    });
  });
});
