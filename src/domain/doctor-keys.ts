import { type Finding, found } from './findings.ts';

export type KeyFacts = {
  /** Where they are, as people read it. */
  place: string;
  /** What keeps them from being used, as a sentence; null: nothing. */
  fault: string | null;
  /** Others than its owner can write to the folder. */
  isOpen: boolean;
  /** Null: there are none. `next` is never there when the key comes from a setting. */
  ring: {
    current: { kid: string; alg: string; signsSince: Date | null };
    next: { kid: string } | null;
    previous: { kid: string; retireAt: Date }[];
  } | null;
  isFolder: boolean;
};

const DAY_MS = 86_400_000;
const YEAR_DAYS = 365;

/** The signing keys, their ages and their folder. @param algorithm of the setting */
export function judgeKeys({ place, fault, isOpen, ring, isFolder }: KeyFacts, algorithm: string, now: Date): Finding[] {
  const findings: Finding[] = [];
  if (isOpen) findings.push(found('keys-folder-open', `Others can write to ${place}.`));
  if (fault !== null) return [...findings, found('keys-unusable', fault)];
  if (ring === null) return findings; // development makes them at the first start, and the settings of production ask for them
  const { current, next, previous } = ring;
  if (isFolder && next === null) findings.push(found('key-next-missing', `${place} has no next key.`));
  const days = current.signsSince === null ? 0 : Math.floor((now.getTime() - current.signsSince.getTime()) / DAY_MS);
  if (days > YEAR_DAYS) findings.push(found('key-old', `${current.kid} has signed for ${days} days.`));
  for (const { kid, retireAt } of previous) {
    if (retireAt > now) continue;
    const what = `${kid} verifies nothing any more since ${retireAt.toISOString().slice(0, 10)}.`;
    findings.push(found('key-expired', what, { todo: `latchkey keys retire ${kid}` }));
  }
  if (isFolder && current.alg !== algorithm)
    findings.push(found('key-algorithm', `${current.kid}, which signs, is ${current.alg}, and JWT_ALGORITHM is ${algorithm}.`));
  return findings;
}

/** How stored secrets stand to FERNET_KEY, by a look at some of them. `isWhole`: those were all. */
export type SealedFacts = { seen: number; underOld: number; lost: number; isWhole: boolean };

/** @param keys how many FERNET_KEY holds */
export function judgeSealed({ seen, underOld, lost, isWhole }: SealedFacts, keys: number): Finding[] {
  const of = isWhole ? `${seen} stored secrets` : `the ${seen} that were looked at`;
  if (lost > 0) return [found('secrets-lost', `No key of FERNET_KEY opens ${lost} of ${of}.`)];
  if (underOld > 0) return [found('secrets-under-old-keys', `${underOld} of ${of} are under an older key of FERNET_KEY.`)];
  if (keys > 1 && isWhole) return [found('fernet-keys-can-go', `FERNET_KEY holds ${keys} keys, and nothing is under the older ones.`)];
  return [];
}
