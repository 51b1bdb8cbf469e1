import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { chance } from './chance.ts';
import { clientOf } from './client.ts';
import { type Ledger, newLedger, newPerson, type Operation, type PersonRecord, type SessionRecord } from './ledger.ts';
import { type Life, verbs } from './life.ts';
import type { Postbox } from './postbox.ts';

export type Crowd = {
  ledger: Ledger;
  /** The replicas that it lives on, as the ledger names them. */
  replicas: readonly string[];
  /** Lets everybody finish what they began, and looks whether whoever should be signed in is, and can sign in. */
  goHome(): Promise<void>;
  /** As they stand, with what they began left in doubt. */
  leave(): Promise<void>;
};

export type CrowdOptions = {
  origin: string;
  /** Where the origin is a balancer's: the origins of those behind it. */
  replicas?: readonly string[];
  postbox: Postbox;
  seed: number;
  /** How many act at once, each with one request at a time. */
  size?: number;
  mayHaveExpired?: Life['mayHaveExpired'];
  onToken?: Life['onToken'];
  /** What nobody does on this day. */
  without?: readonly Operation[];
};

export const CROWD_SIZE = 8;
/** A modest load: what is proved is that nothing goes missing, not how much goes through. */
const THINKS_MS = { least: 20, most: 200 };
/**
 * Then somebody new comes. In every other place nobody stays for long, so that people register on the worst of days too; and a few are
 * loyal: signed in all day, or nobody would refresh while nobody can sign in.
 */
const STAYS = { long: 25, short: 3 };
const LOYAL = 2;
/** What was begun must be answered by then: twice what recovery may take. */
const PATIENCE_MS = 20_000;
const AT_ONCE = 4;

export function startCrowd({
  origin,
  replicas = [''],
  postbox,
  seed,
  size = CROWD_SIZE,
  mayHaveExpired = () => false,
  onToken = () => {},
  without = [],
}: CrowdOptions): Crowd {
  const ledger = newLedger();
  const client = clientOf(origin);
  const daily = DAILY.filter(([, operation]) => !without.includes(operation));
  let overAtMs = Number.POSITIVE_INFINITY;
  const isEnding = () => overAtMs < Number.POSITIVE_INFINITY;
  const life = (place: number): Life => ({
    client,
    ledger,
    postbox,
    chance: chance(seed + place),
    isEnding,
    isOver: () => performance.now() > overAtMs,
    mayHaveExpired,
    onToken,
  });

  const act = async (place: number) => {
    const mine = life(place);
    while (!isEnding()) {
      const person = newPerson(`p${randomBytes(8).toString('hex')}@example.com`, newPassword());
      ledger.people.push(person);
      if (place < LOYAL) await stay(mine, person, QUIET, Number.POSITIVE_INFINITY);
      else await stay(mine, person, daily, place % 2 ? STAYS.short : STAYS.long);
    }
  };
  const places = Array.from({ length: size }, (_, place) => act(place));

  return {
    ledger,
    replicas,
    async leave() {
      overAtMs = 0;
      await Promise.all(places);
      client.close();
    },
    async goHome() {
      overAtMs = performance.now() + PATIENCE_MS;
      await Promise.all(places);
      const last = verbs(life(size));
      const waiting = [...ledger.people];
      const look = async () => {
        for (let person = waiting.pop(); person; person = waiting.pop()) {
          for (const session of person.sessions.filter(({ state }) => state === 'open')) {
            if (await last.refresh(person, session)) await last.me(person, session);
          }
          const canSignIn = person.verified === 'done' && (person.totp === 'none' || person.codes.some(({ state }) => state === 'unused'));
          if (canSignIn && !(await last.login(person))) ledger.complaints.push(`${person.email} cannot sign in any more`);
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, look));
      client.close();
    },
  };
}

const newPassword = () => `nine quiet rivers ${randomBytes(6).toString('hex')}`;

const DAILY: readonly (readonly [number, Operation])[] = [
  [30, 'refresh'],
  [20, 'me'],
  [12, 'login'],
  [10, 'logout'],
  [12, 'change-password'],
  [10, 'setup'],
  [6, 'reset-password'],
];

const QUIET = DAILY.filter(([, operation]) => operation === 'refresh' || operation === 'me');

/** Comes, gets verified, and lives here for a while. */
async function stay(life: Life, person: PersonRecord, daily: typeof DAILY, longest: number): Promise<void> {
  const does = verbs(life);
  const { chance: luck, isEnding } = life;
  await does.register(person);
  if (person.registered !== 'done') return;
  await does.verify(person);
  for (let done = 0; done < longest && person.verified === 'done' && !isEnding(); done++) {
    const session = open(person, luck.number());
    if (!session) {
      if (!(await does.login(person))) return;
      continue;
    }
    const what = luck.pick(daily);
    if (what === 'refresh') await does.refresh(person, session);
    else if (what === 'me') await does.me(person, session);
    else if (what === 'login') await does.login(person);
    else if (what === 'logout') await does.logout(person, session);
    else if (what === 'change-password' && person.passwords.length === 1) await does.changePassword(person, session, newPassword());
    else if (what === 'setup' && person.totp === 'none') await does.enrol(person, session);
    else if (what === 'reset-password') await does.reset(person, newPassword());
    await delay(luck.between(THINKS_MS.least, THINKS_MS.most));
  }
}

function open({ sessions }: PersonRecord, number: number): SessionRecord | undefined {
  const living = sessions.filter(({ state }) => state === 'open');
  return living[Math.floor(number * living.length)];
}
