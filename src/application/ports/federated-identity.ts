/** A user as another provider vouches for them. */
export type Identity = {
  /** The provider, as its tokens name it; with `subject`, who this is for good. */
  issuer: string;
  subject: string;
  /** How the provider calls the user. */
  username: string | null;
  /** Only an address that the provider itself has verified. */
  verifiedEmail: string | null;
  /** When the user signed in there. */
  authenticatedAt: Date;
};

/** How it is answered. `sms`: by a code that the provider sends, whichever way. */
export type ChallengeMethod = 'totp' | 'sms' | 'new_password';

/** What the provider asks besides the password. */
export type Challenge = {
  /** In the provider's own words. */
  asks: string;
  /** Strongest first; of several the user takes one. */
  methods: ChallengeMethod[];
  /** Of several methods: how the provider calls each. */
  offered: Partial<Record<ChallengeMethod, string>>;
  /** The factor that the right answer proves. */
  proves: 'totp' | 'sms' | 'email' | null;
  /** How the provider calls the user. */
  username: string;
  /** What it wants to see again: a live credential, to be kept sealed. */
  state: string;
};

export type ProviderAnswer =
  | { kind: 'proven'; identity: Identity }
  | { kind: 'challenge'; challenge: Challenge }
  /** It asks for what cannot be answered here; `lacks`: attributes that it wants of its user with a new password. */
  | { kind: 'unsupported'; asks: string; lacks: string[] }
  /** Nobody is told why; `reason` is for the audit trail. */
  | { kind: 'wrong'; reason: string };

export type ChallengeAnswer =
  | ProviderAnswer
  /** What was begun is over: it begins with the password again. */
  | { kind: 'over' }
  /** The new password is not taken there; `detail` is the provider's own words. */
  | { kind: 'password-policy'; detail: string };

/**
 * Another provider whose users may sign in here. Each verb is bounded in time.
 * @throws DependencyDown when it does not answer, does not judge now (throttling), or is not set up for us: never a wrong password
 */
export interface FederatedIdentity {
  name: 'cognito';
  signIn(username: string, password: string): Promise<ProviderAnswer>;
  /** @param given the code, or the new password @param challenge one of a single method */
  answer(challenge: Challenge, given: string): Promise<ChallengeAnswer>;
  /** Takes one of several methods: a code that is sent is sent then. Each challenge once. @returns what is asked next */
  choose(challenge: Challenge, method: ChallengeMethod): Promise<ChallengeAnswer>;
  /** Spends the time of a sign-in that is wrong, whoever it is about (ASVS 6.3.8). */
  decoy(username: string): Promise<void>;
  /** @returns null for anything less than a valid token of ours there */
  verify(token: string): Promise<VerifiedToken | null>;
}

export type VerifiedToken = {
  identity: Identity;
  /** Asks the provider for what this kind of token does not carry; null when the token carries it. @returns null: the token may not ask */
  askEmail: (() => Promise<Pick<Identity, 'verifiedEmail'> | null>) | null;
};
