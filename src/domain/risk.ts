/** What is known about one step of a sign-in when it is judged: the password, the second factor, or a passkey. */
export type Signals = {
  isHoneypotFilled: boolean;
  /** The account has devices, and this is none of them. */
  isNewDevice: boolean;
  /** The account has devices, and none of them was ever in this network. */
  isNewNetwork: boolean;
  /** Wrong passwords in this lane just before; for a second factor, wrong ones of those. */
  failuresBefore: number;
  /**
   * Accounts, real or not, that wrong passwords came for from this network within the hour; 0 of a private or local one: behind a proxy
   * that TRUST_PROXY does not name, that is everybody.
   */
  accountsFromNetwork: number;
  /** Networks that wrong passwords for this account came from of late: as long as they are kept, two days. */
  networksOfAccount: number;
  /**
   * Networks that this account was signed in from within `RECENT_SECONDS`, this one not counted; 0 when this is a private or local one:
   * each pod has an address of its own, and nobody travelled between them.
   */
  recentNetworks: number;
  /** A refresh token of the account came back within `REUSED_SECONDS`: somebody else held what its owner holds. */
  isTokenReused: boolean;
};

/** Windows of the signals. */
export const GUESSED_SECONDS = 60 * 60;
export const RECENT_SECONDS = 15 * 60;
export const REUSED_SECONDS = 24 * 60 * 60;
/** The counts are not counted further than this. */
export const MOST_COUNTED = 50;

/** The rules, each with its points and what it tells: docs/risk.md is generated from this table. Points add up, to 100 at most. */
export const RISK_RULES = {
  'new-device': { points: 10, tells: 'The account has devices, and this is none of them', holds: (s) => s.isNewDevice },
  'new-network': { points: 10, tells: 'No device of the account was ever in this network', holds: (s) => s.isNewNetwork },
  'failures-before': {
    points: 20,
    tells: 'Three or more wrong passwords, or wrong second factors, came just before',
    holds: (s) => s.failuresBefore >= 3,
  },
  'many-accounts': {
    points: 70,
    tells: 'Wrong passwords for 20 or more accounts came from this network, which is no private or local one, within the hour',
    holds: (s) => s.accountsFromNetwork >= 20,
  },
  'many-networks': {
    points: 40,
    tells: 'Wrong passwords for this account came from 10 or more networks within two days',
    holds: (s) => s.networksOfAccount >= 10,
  },
  'impossible-pace': {
    points: 40,
    tells: 'The account was signed in from three or more other networks within 15 minutes, and this one is no private or local one',
    holds: (s) => s.recentNetworks >= 3,
  },
  'token-reuse': {
    points: 40,
    tells: 'A refresh token of the account came back within the last day',
    holds: (s) => s.isTokenReused,
  },
  honeypot: { points: 50, tells: 'The hidden form field was filled in', holds: (s) => s.isHoneypotFilled },
} as const satisfies Record<string, { points: number; tells: string; holds: (signals: Signals) => boolean }>;

export type RiskRule = keyof typeof RISK_RULES;
export type Risk = { points: number; rules: RiskRule[] };

/**
 * Which rules hold, in the order of the table, and what they add up to.
 * @param before those that held at the step before: a sign-in is as risky as all of it
 */
export function riskOf(signals: Signals, before: readonly RiskRule[] = []): Risk {
  const rules = (Object.keys(RISK_RULES) as RiskRule[]).filter((rule) => before.includes(rule) || RISK_RULES[rule].holds(signals));
  return { rules, points: rules.reduce((sum, rule) => sum + RISK_RULES[rule].points, 0) };
}

/** The score of an event: its own risk and what the rules add. */
export function scoreOf(ownRisk: number, { points }: Risk): number {
  return Math.min(100, ownRisk + points);
}

/** The rules that tell of a network and nobody else. What strangers do to an account from elsewhere is no reason to shut its owner out. */
const RULES_OF_NETWORKS: readonly RiskRule[] = ['failures-before', 'many-accounts', 'honeypot'];

/** The score by which a network is blocked: the event's own risk, and what the rules add that tell of the network. */
export function networkScoreOf(ownRisk: number, rules: readonly string[]): number {
  const points = RULES_OF_NETWORKS.filter((rule) => rules.includes(rule)).map((rule) => RISK_RULES[rule].points);
  return points.reduce((sum, each) => sum + each, ownRisk);
}

/** From which score on something is done about a sign-in that succeeded (mail, step-up) or failed (block). */
export const RESPONSES = {
  mail: { from: 40, tells: 'The owner gets the mail about a sign-in, even on a device that is not new' },
  stepUp: { from: 60, tells: 'The session begins as if its sign-in were long ago: sensitive routes ask for a factor first' },
  block: {
    from: 90,
    tells:
      'A failed sign-in, by its own risk and the rules of the network (`failures-before`, `many-accounts`, `honeypot`): its network gets no answer for 15 minutes; never a private or local one',
  },
};

export const BLOCK_SECONDS = 15 * 60;
