/** What is known about one sign-in when it is judged; all of it comes with the look-up. */
export type Signals = {
  isHoneypotFilled: boolean;
  /** The account has devices, and this is none of them. */
  isNewDevice: boolean;
  /** The account has devices, and none of them was ever in this network. */
  isNewNetwork: boolean;
  /** Wrong passwords in this lane just before. */
  failuresBefore: number;
  /** Accounts, real or not, that wrong passwords came for from this network within the hour. */
  accountsFromNetwork: number;
  /** Networks that wrong passwords for this account came from of late: as long as they are kept, two days. */
  networksOfAccount: number;
  /** Networks that this account was signed in from within `RECENT_SECONDS`, this one not counted. */
  recentNetworks: number;
};

/** Windows of the signals. */
export const GUESSED_SECONDS = 60 * 60;
export const RECENT_SECONDS = 15 * 60;
/** The counts are not counted further than this. */
export const MOST_COUNTED = 50;

/** The rules, each with its points and what it tells: docs/risk.md is generated from this table. Points add up, to 100 at most. */
export const RISK_RULES = {
  'new-device': { points: 10, tells: 'The account has devices, and this is none of them', holds: (s) => s.isNewDevice },
  'new-network': { points: 10, tells: 'No device of the account was ever in this network', holds: (s) => s.isNewNetwork },
  'failures-before': { points: 20, tells: 'Three or more wrong passwords came just before', holds: (s) => s.failuresBefore >= 3 },
  'many-accounts': {
    points: 70,
    tells: 'Wrong passwords for 20 or more accounts came from this network within the hour',
    holds: (s) => s.accountsFromNetwork >= 20,
  },
  'many-networks': {
    points: 40,
    tells: 'Wrong passwords for this account came from 10 or more networks within two days',
    holds: (s) => s.networksOfAccount >= 10,
  },
  'impossible-pace': {
    points: 40,
    tells: 'The account was signed in from three or more other networks within 15 minutes',
    holds: (s) => s.recentNetworks >= 3,
  },
  honeypot: { points: 50, tells: 'The hidden form field was filled in', holds: (s) => s.isHoneypotFilled },
} as const satisfies Record<string, { points: number; tells: string; holds: (signals: Signals) => boolean }>;

export type RiskRule = keyof typeof RISK_RULES;
export type Risk = { points: number; rules: RiskRule[] };

/** Which rules hold, in the order of the table, and what they add up to. */
export function riskOf(signals: Signals): Risk {
  const rules = (Object.keys(RISK_RULES) as RiskRule[]).filter((rule) => RISK_RULES[rule].holds(signals));
  return { rules, points: rules.reduce((sum, rule) => sum + RISK_RULES[rule].points, 0) };
}

/** The score of an event: its own risk and what the rules add. */
export function scoreOf(ownRisk: number, { points }: Risk): number {
  return Math.min(100, ownRisk + points);
}

/** From which score on something is done about a sign-in that succeeded (mail, step-up) or failed (block). */
export const RESPONSES = {
  mail: { from: 40, tells: 'The owner gets the mail about a sign-in, even on a device that is not new' },
  stepUp: { from: 60, tells: 'The session begins as if its sign-in were long ago: sensitive routes ask for a factor first' },
  block: { from: 90, tells: 'A failed sign-in: its network gets no answer for 15 minutes; never a private or local one' },
};

export const BLOCK_SECONDS = 15 * 60;
