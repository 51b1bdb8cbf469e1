import type { Acr, Amr } from '#domain/assurance.ts';
import type { SessionBinding } from '#domain/device.ts';
import type { LegacySubject } from '#domain/legacy-token.ts';
import type { Lifetimes } from '#domain/lifetimes.ts';
import type { LockoutPolicy } from '#domain/lockout.ts';
import type { Brand } from '#domain/mail-layout.ts';
import type { PasswordPolicy } from '#domain/password-policy.ts';
import type { PhoneNumber } from '#domain/phone.ts';
import type { Refusal } from '#domain/problems.ts';
import type { RateLimitName } from '#domain/rate-limit.ts';
import type { Role } from '#domain/roles.ts';
import type { TicketSecret } from '#domain/tickets.ts';
import type { FederatedIdentity } from './federated-identity.ts';
import type { OutboxMessage } from './outbox.ts';
import type { Passkeys } from './passkeys.ts';
import type { Store } from './store.ts';

/** Everything a flow may need; each flow names its part: `Needs<'store' | 'clock'>`. */
export type Services = {
  store: Store;
  passwords: PasswordHasher;
  commonPasswords: CommonPasswords;
  accessTokens: AccessTokens;
  refreshTokens: RefreshTokens;
  csrfTokens: CsrfTokens;
  secrets: Secrets;
  secretBox: SecretBox;
  oneTimePasswords: OneTimePasswords;
  passkeys: Passkeys;
  /** null: nobody signs in by another provider. */
  federation: FederatedIdentity | null;
  phoneNumbers: PhoneNumbers;
  courier: Courier;
  clock: Clock;
  policy: Policy;
};

export type Needs<Names extends keyof Services> = Pick<Services, Names>;

/** What the operator decided. */
export type Policy = {
  issuer: string;
  /** Where links in mail lead: an origin, without a slash at the end. */
  frontendUrl: string;
  productName: string;
  /** How mails look. */
  brand: Brand;
  passwords: PasswordPolicy;
  lockout: LockoutPolicy;
  lifetimes: Lifetimes;
  revealRegistrationConflicts: boolean;
  /** How long a deleted account can be kept; 0: it is erased at once. */
  deletionGraceDays: number;
  /** How long an account that somebody registered waits for its address to be verified; 0: for ever. */
  unverifiedAccountDays: number;
  secondFactors: SecondFactorPolicy;
  sessions: SessionPolicy;
  providers: ProviderPolicy;
};

/** AUTH_PROVIDER: where clients may sign in. `drains`: the first right password of the other provider is hashed here. */
export type ProviderPolicy = { allowed: readonly ('native' | 'cognito')[]; drains: boolean };

export type SessionPolicy = {
  /** Of one account at once; with one more the oldest ends. 0: any number. */
  most: number;
  binding: SessionBinding;
};

export type SecondFactorPolicy = {
  /** Whether everybody must hold a second factor (ASVS 6.3.3). */
  isRequired: boolean;
  /** False: phones are no second factor (ASVS 6.6.1, L3). */
  allowsSms: boolean;
  /** Codes by SMS on one day (UTC), by all replicas. */
  smsPerDay: number;
  /** Whether a passkey that counts backwards is refused, rather than taken for one factor and flagged. */
  refusesCounterRegression: boolean;
  /** How recent the authentication of a sensitive request must be (RFC 9470 `max_age`). */
  stepUpMaxAgeSeconds: number;
};

export interface Clock {
  now(): Date;
}

/** Argon2id behind a gate of as many at once as there are cores. */
export interface PasswordHasher {
  /** @throws DependencyDown when the queue is full (load is shed with 503) */
  hash(password: string): Promise<string>;
  /**
   * Costs the same for `null` (no such account) as for a real hash: it verifies against a decoy (ASVS 6.3.8).
   * `outdated`: right, but hashed with other parameters than those of today.
   * @throws DependencyDown when the queue is full
   */
  verify(hash: string | null, password: string): Promise<'right' | 'outdated' | 'wrong'>;
}

export interface CommonPasswords {
  has(lowerCased: string): boolean;
}

/** Claims of an access token (RFC 9068 2.2), in our words; the signer adds `iss`, `aud`, `client_id` and `jti`. */
export type AccessClaims = {
  accountId: string;
  sessionId: string;
  issuedAt: Date;
  expiresAt: Date;
  authTime: Date;
  acr: Acr;
  amr: readonly Amr[];
  roles: readonly Role[];
};

export interface AccessTokens {
  /** Signs off the event loop. */
  sign(claims: AccessClaims): Promise<string>;
  /** Signature, algorithm of the key, type, issuer, audience, times. @returns null for anything less than a valid one */
  verify(token: string, now: Date): { accountId: string; sessionId: string } | null;
  /** Every claim of a valid one, as it stands in the token. */
  claims(token: string, now: Date): Record<string, unknown> | null;
}

/** Access tokens of the service that this one replaces. */
export interface LegacyTokens {
  /**
   * Signature, algorithm, issuer, audience, times, what it is for, and whether their time is over. @returns null for anything less
   * @throws DependencyDown when the keys to verify it with cannot be had
   */
  verify(token: string, now: Date): Promise<LegacySubject | null>;
}

/** The keys that may verify a live token and the next one, as JWKS (RFC 7517). */
export interface KeyPublisher {
  jwks(): { body: string; etag: string; maxAgeSeconds: number };
  /** The `alg` values in use, for discovery. */
  algorithms(): string[];
}

/** What a refresh token says; authentic, but the session row decides whether it still counts. */
export type RefreshTokenParts = { sessionId: string; counter: number; secret: Buffer };

export interface RefreshTokens {
  encode(parts: RefreshTokenParts): string;
  /** @returns null unless the server made it: garbage never reaches the database */
  decode(token: string): RefreshTokenParts | null;
}

/** What a page shows to prove that it may use the cookie of its session (ASVS 3.5.1). */
export interface CsrfTokens {
  issue(sessionId: string): string;
  isFor(sessionId: string, token: string): boolean;
}

export interface Secrets {
  /** UUIDv7, for identifiers only (ASVS 11.5.1: never as a secret). */
  id(): string;
  /** 256 random bits in base64url with their hash. */
  ticket(): TicketSecret;
  /** The hash of a ticket that came back. */
  ticketHash(token: string): Buffer;
  /** 256 random bits with their hash, for a session's refresh tokens. */
  refreshSecret(): { secret: Buffer; hash: Buffer };
  refreshSecretHash(secret: Buffer): Buffer;
  /** A recovery code of 120 random bits, and its hash. */
  recoveryCode(): { code: string; hash: Buffer };
  /** The hash of a recovery code as it was typed. */
  recoveryCodeHash(typed: string): Buffer;
  /** Six random digits. */
  smsCode(): string;
  /** A keyed hash: six digits alone could be found by trying them all. @param boundTo what the code is good for, by its id */
  smsCodeHash(boundTo: string, code: string): Buffer;
  /** A keyed hash of a login identifier: the throttle table names nobody. */
  identifierHash(canonical: string): Buffer;
}

/** Encrypts what must be read again, with a key that is not in the database (Fernet). */
export interface SecretBox {
  seal(text: string): string;
  /** @throws when no key of ours made it, or it was changed since */
  open(sealed: string): string;
}

/** Time-based one-time passwords: RFC 6238 with SHA-1, six digits, 30 seconds, as every authenticator app knows them. */
export interface OneTimePasswords {
  /** 160 random bits in base 32 (RFC 4226 R6). */
  newSecret(): Promise<string>;
  /** The `otpauth://` URI and its QR code as a `data:image/png` URI. */
  provisioning(secret: string, accountName: string): Promise<{ uri: string; qrCode: string }>;
  /** The time step that this code belongs to: the present one or, by setting, the one before (RFC 6238 5.2). @returns null for neither */
  stepOf(secret: string, code: string, at: Date): Promise<number | null>;
}

export interface PhoneNumbers {
  /** @param typed in any human form @returns null when it is no number that can get an SMS */
  parse(typed: string): Promise<PhoneNumber | null>;
}

export type Bucket = { limit: RateLimitName; key: string };

export type BucketReading = {
  limit: RateLimitName;
  capacity: number;
  windowSeconds: number;
  remaining: number;
  /** Until the bucket is full again. */
  resetSeconds: number;
  /** Until it would let the same request pass; 0 when it does. */
  retryAfterSeconds: number;
};

export type Draw = { allowed: boolean; readings: BucketReading[] };

export interface RateLimiter {
  /**
   * Draws one token from every bucket, or from none when one of them is empty; one round trip.
   * @param whenDown without an answer from Redis: `refuse` throws DependencyDown (fail closed), `local` counts in process
   * @param aside drawn in the same call, likewise from each or from none, and only with the others, to whom they make no difference
   */
  take(buckets: readonly Bucket[], whenDown: 'refuse' | 'local', aside?: readonly Bucket[]): Promise<Draw & { aside: Draw }>;
  /** Takes more after the fact, as far as there is some: a failure weighs more than a success. Below 0 it gives back. Never refuses. */
  charge(bucket: Bucket, cost: number): Promise<void>;
}

/**
 * The limits of one request, drawn in one call: those that its edge knows, and what a flow adds when it knows whom the request is
 * about. A flow that is given it draws before it does anything that shows; one that ends sooner leaves the draw to the edge.
 */
export interface Allowance {
  /**
   * @param also buckets besides: an empty one does not refuse the request, it is for the flow to say what that means
   * @returns the refusal when the request may not pass; how the other buckets stand, which is not for the caller to know
   * @throws DependencyDown when the limiter does not answer, and the route may not do without
   */
  take(also: readonly Bucket[]): Promise<{ refusal: Refusal<'rate-limited'> | null; also: Draw }>;
  /** Gives back what was drawn from this one of them for nothing. */
  giveBack(bucket: Bucket): Promise<void>;
}

/** The blocked networks, in memory: asked at the edge for each request, without a call. */
export interface IpBlockList {
  isBlocked(ip: string): boolean;
}

export type Email = { to: string; subject: string; text: string; html: string };

export interface Courier {
  /** Seals a message for the outbox; nothing leaves here. The recipient's address is stored beside it. */
  seal(template: string, message: Omit<Email, 'to'>, expiresAt: Date): OutboxMessage;
  /** Likewise for the phone. */
  sealSms(template: string, text: string, expiresAt: Date): OutboxMessage;
  /** After the commit: tells the worker of this process that there is something to send. */
  wake(): void;
}

/** The way out of the house for a message (a mail or SMS provider). */
export interface Delivery {
  /**
   * @param signal ends the attempt: from then on another worker may hold the message
   * @returns the provider's id for it
   * @throws NotTaken when the provider refused it; anything else when it did not answer
   */
  send(message: Email & { id: string; kind: 'email' | 'sms' }, signal: AbortSignal): Promise<string | null>;
}

/** Something we depend on, for `/health/ready`. */
export interface Dependency {
  name: string;
  /** Whether the service can do without it. */
  optional: boolean;
  check(): Promise<'up' | 'degraded' | 'down'>;
}
