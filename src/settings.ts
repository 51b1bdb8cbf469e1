import { z } from 'zod';
import { isColor } from '#domain/color.ts';
import { SESSION_BINDINGS } from '#domain/device.ts';
import { parseEmail } from '#domain/email.ts';
import { type AccessClaim, LEGACY_SUBJECTS } from '#domain/legacy-token.ts';
import { LONGEST_ACCESS_TOKEN_MINUTES } from '#domain/lifetimes.ts';
import { parseRateLimit, type RateLimit } from '#domain/rate-limit.ts';
import { parseFernetKey } from '#infrastructure/crypto/fernet.ts';
import { parseHeaders } from '#infrastructure/telemetry/headers.ts';

/**
 * Every setting there is, once: its meaning (for .env.example), its default, its form. Times come in the unit of the name.
 * `production` says what production asks of it. Defaults that SECURITY_PROFILE=strict makes harder stand in `strict`.
 */
export type Setting = {
  describe: string;
  schema: z.ZodType;
  /** As text, the way a file would give it; none: it may stay away. */
  default?: string;
  strict?: string;
  /** Never printed. */
  secret?: true;
  production?: 'required';
};

const text = z.string().min(1).max(4096);
const pem = z.string().min(1).max(16_384);
const oneLine = z.string().regex(/^[^\p{C}\p{Zl}\p{Zp}]+$/u, 'give one line of text');
const wholeNumber = (least: number, most: number) =>
  z
    .string()
    .regex(/^\d{1,9}$/, 'give a whole number')
    .transform(Number)
    .refine((value) => value >= least && value <= most, `give a whole number from ${least} to ${most}`);
const share = z
  .string()
  .regex(/^(0|1|0?\.\d{1,9}|1\.0+)$/, 'give a number from 0 to 1')
  .transform(Number);
const certificates = z
  .string()
  .max(1_000_000)
  .regex(/^\s*(#.*\s+)*-----BEGIN CERTIFICATE-----/, 'give certificates as PEM');
const flag = z.enum(['true', 'false'], 'give true or false').transform((value) => value === 'true');
const hostName = z
  .string()
  .regex(
    /^([a-z0-9]([a-z0-9_-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9_-]*[a-z0-9])?)*|\[[0-9a-f:.]+\])$/i,
    'give host names such as auth.example.com, without https:// or a path',
  );
const list = z.string().transform((value) =>
  value
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== ''),
);
const rate = z.string().transform((value, context): RateLimit => {
  const limit = parseRateLimit(value);
  if (limit) return limit;
  context.addIssue('give it as N/second, N/minute, N/hour or N/day');
  return z.NEVER;
});
const origin = z
  .string()
  .refine(isOrigin, 'give an origin such as https://auth.example.com, without a path')
  .transform((value) => value.replace(/\/$/, ''));
const url = (...protocols: string[]) =>
  z.string().superRefine((value, context) => {
    const fault = faultOfUrl(value, protocols);
    if (fault !== null) context.addIssue(fault);
  });

/** @returns what is wrong, without a word of the value: it may hold a password */
function faultOfUrl(value: string, protocols: readonly string[]): string | null {
  if (!protocols.some((protocol) => value.toLowerCase().startsWith(protocol))) {
    const beginnings = protocols.map((protocol) => (protocol === 'mailto:' ? protocol : `${protocol}//`));
    return `give a URL that begins with ${beginnings.join(' or ')}`;
  }
  const isReadable = URL.canParse(value) && isPercentEncoded(new URL(value));
  return isReadable
    ? null
    : 'the URL cannot be read: a password in it is percent-encoded (% # / ? @ : are %25 %23 %2F %3F %40 %3A), and a port up to 65535';
}

function isPercentEncoded({ username, password }: URL): boolean {
  try {
    decodeURIComponent(`${username}${password}`);
    return true;
  } catch {
    return false;
  }
}

/** The drivers would guess all of one that names nothing, from PGHOST or the user of this process. */
const databaseUrl = url('postgres:', 'postgresql:').refine((value) => {
  if (!URL.canParse(value)) return true; // said already
  const { hostname, pathname } = new URL(value);
  return hostname !== '' || pathname.length > 1;
}, 'name the server, as postgres://user:password@host:5432/database');

/** The time meant: of a day, its end in UTC. */
function endOf(value: string): Date {
  const at = new Date(value);
  if (!value.includes('T')) at.setUTCDate(at.getUTCDate() + 1);
  return at;
}

function isOrigin(value: string): boolean {
  if (!URL.canParse(value)) return false;
  const { protocol, pathname, search, hash, username } = new URL(value);
  return (protocol === 'https:' || protocol === 'http:') && pathname === '/' && `${search}${hash}${username}` === '';
}

export const SETTINGS = {
  NODE_ENV: {
    describe: 'production refuses every development default by name',
    schema: z.enum(['development', 'test', 'production']),
    default: 'development',
  },
  PORT: { describe: 'where it listens; 0 takes any free port', schema: wholeNumber(0, 65535), default: '3000' },
  HOST: { describe: 'the address that it listens on', schema: text, default: '127.0.0.1' },
  MAX_CONNECTIONS: { describe: 'open at once; more are closed as they come', schema: wholeNumber(10, 100_000), default: '4000' },
  SHUTDOWN_DRAIN_SECONDS: {
    describe: 'after SIGTERM: how long requests are still taken while balancers learn that it goes (default: 5 in production, else 0)',
    schema: wholeNumber(0, 300),
  },
  DATA_DIR: { describe: 'the embedded database and generated secrets (development)', schema: text, default: '.data' },
  ISSUER: {
    describe: 'the public origin of this service: `iss` of its tokens (default: http://localhost:PORT)',
    schema: origin,
    production: 'required',
  },
  FRONTEND_URL: {
    describe: 'the origin that links in mail lead to (default: ISSUER, whose built-in pages answer)',
    schema: origin,
    production: 'required',
  },
  CORS_ORIGINS: { describe: 'comma-separated origins whose pages may call', schema: list.pipe(z.array(origin)), default: '' },
  ALLOWED_HOSTS: {
    describe: 'comma-separated host names served (default: that of ISSUER; in development localhost too)',
    schema: list.pipe(z.array(hostName)),
    default: '',
  },
  TRUST_PROXY: {
    describe: 'comma-separated addresses or CIDRs of proxies whose X-Forwarded-For counts',
    schema: list.pipe(z.array(z.union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()], 'give addresses or CIDRs'))),
    default: '',
  },
  LOG_LEVEL: {
    describe: 'trace, debug, info, warn, error, fatal or silent',
    schema: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']),
    default: 'info',
  },
  ROLE: { describe: 'all, web (no worker) or worker (no API)', schema: z.enum(['all', 'web', 'worker']), default: 'all' },
  PRODUCT_NAME: { describe: 'how mails and pages call the service', schema: oneLine.max(60), default: 'Latchkey' },

  DATABASE_URL: {
    describe: 'PostgreSQL 14 to 18 (default outside production: an embedded PostgreSQL 18 in DATA_DIR)',
    schema: databaseUrl,
    secret: true,
    production: 'required',
  },
  DATABASE_POOL_SIZE: { describe: 'connections of this process', schema: wholeNumber(2, 200), default: '10' },
  DATABASE_PREPARE: { describe: 'false behind PgBouncer in transaction mode', schema: flag, default: 'true' },
  REDIS_URL: {
    describe: 'Redis 6.2 or newer, or Valkey (default outside production: limits are counted in this process)',
    schema: z.string().refine((value) => value.split(',').every((part) => url('redis:', 'rediss:').safeParse(part.trim()).success), {
      error: 'give a URL that begins with redis:// or rediss://',
    }),
    secret: true,
    production: 'required',
  },
  REDIS_CLUSTER: {
    describe: 'true: REDIS_URL names nodes of a cluster, comma-separated; one is enough to find the others',
    schema: flag,
    default: 'false',
  },
  REDIS_CA: {
    describe: 'certificates (PEM) to trust with rediss:// instead of the public ones; REDIS_CA_FILE names their file',
    schema: certificates,
  },
  REDIS_OPTIONAL: { describe: 'true: ready without Redis, although sign-in then answers 503', schema: flag, default: 'false' },

  KEYS_DIR: { describe: 'the folder of the signing keys', schema: text, default: 'keys' },
  SECRET_KEY: {
    describe: 'at least 32 random characters; the keys for refresh tokens and sealed mail are derived from it',
    schema: z.string().min(32, 'give at least 32 random characters').max(4096),
    secret: true,
    production: 'required',
  },
  FERNET_KEY: {
    describe: 'comma-separated keys for secrets that must be read again (TOTP): the first encrypts, all decrypt',
    schema: list.pipe(
      z
        .array(z.string().refine((key) => parseFernetKey(key) !== undefined, 'give 32 bytes in base64url each'))
        .min(1, 'give at least one key'),
    ),
    secret: true,
    production: 'required',
  },
  JWT_PRIVATE_KEY: { describe: 'a signing key as PEM instead of KEYS_DIR', schema: pem, secret: true },
  JWT_PUBLIC_KEY: {
    describe:
      'its public key as PEM; checked to belong to it. Others beside it are published and verify too: the one before, the one to come',
    schema: pem,
  },
  JWT_ALGORITHM: {
    describe: 'of keys made here: RS256, PS256, ES256 or Ed25519',
    schema: z.enum(['RS256', 'PS256', 'ES256', 'Ed25519']),
    default: 'RS256',
    strict: 'ES256',
  },

  ACCESS_TOKEN_EXPIRE_MINUTES: {
    describe: 'the life of an access token',
    schema: wholeNumber(1, LONGEST_ACCESS_TOKEN_MINUTES),
    default: '15',
    strict: '5',
  },
  REFRESH_TOKEN_EXPIRE_DAYS: {
    describe: 'a bearer session ends after this long without a refresh',
    schema: wholeNumber(1, 90),
    default: '7',
  },
  REFRESH_TOKEN_ABSOLUTE_DAYS: { describe: 'a bearer session ends this long after sign-in', schema: wholeNumber(1, 365), default: '30' },
  SESSION_IDLE_TIMEOUT_MINUTES: {
    describe: 'a cookie session ends after this long without use',
    schema: wholeNumber(1, 43_200),
    default: '60',
  },
  SESSION_ABSOLUTE_TIMEOUT_HOURS: {
    describe: 'a cookie session ends this long after sign-in',
    schema: wholeNumber(1, 8760),
    default: '24',
  },
  MAX_SESSIONS_PER_USER: {
    describe: 'sessions of one account at once; with one more the oldest ends (0: any number; 1: the last sign-in wins)',
    schema: wholeNumber(0, 1000),
    default: '0',
  },
  SESSION_BINDING: {
    describe: 'a session that turns up on another kind of device: off does nothing, log records it, revoke ends it',
    schema: z.enum(SESSION_BINDINGS),
    default: 'log',
    strict: 'revoke',
  },
  REFRESH_REUSE_GRACE_SECONDS: {
    describe: 'how long the replaced refresh token yields the same successor',
    schema: wholeNumber(0, 60),
    default: '10',
    strict: '0',
  },

  MIN_PASSWORD_LENGTH: { describe: 'in code points', schema: wholeNumber(8, 64), default: '8', strict: '15' },
  REQUIRE_UPPERCASE: { describe: 'composition rules are advised against by NIST SP 800-63B-4', schema: flag, default: 'false' },
  REQUIRE_NUMBERS: { describe: 'likewise', schema: flag, default: 'false' },
  REQUIRE_SPECIAL_CHARS: { describe: 'likewise', schema: flag, default: 'false' },
  MAX_LOGIN_ATTEMPTS: {
    describe: 'failures of one identifier from one network that lock it there',
    schema: wholeNumber(1, 100),
    default: '5',
  },
  LOCKOUT_DURATION_MINUTES: { describe: 'how long it stays locked', schema: wholeNumber(1, 1440), default: '30' },
  ARGON2_MEMORY_KIB: { describe: 'Argon2id memory', schema: wholeNumber(7168, 1048576), default: '19456' },
  ARGON2_TIME_COST: { describe: 'Argon2id passes', schema: wholeNumber(1, 20), default: '2' },
  ARGON2_PARALLELISM: { describe: 'Argon2id lanes', schema: wholeNumber(1, 16), default: '1' },

  RATE_LIMIT_GLOBAL: {
    describe: 'requests of everybody to /api/*, over all replicas: the last line when very many addresses flood',
    schema: rate,
    default: '5000/second',
  },
  RATE_LIMIT_PER_IP: { describe: 'requests of one network to /api/*', schema: rate, default: '50/minute' },
  RATE_LIMIT_PER_USER: { describe: 'changes of one account', schema: rate, default: '10/minute' },
  RATE_LIMIT_LOGIN: { describe: 'sign-ins of one network', schema: rate, default: '5/minute' },
  RATE_LIMIT_REGISTER: { describe: 'registrations of one network', schema: rate, default: '3/minute' },
  RATE_LIMIT_PASSWORD_RESET: {
    describe: 'reset links of one network, and mails to one address that strangers can ask for',
    schema: rate,
    default: '3/hour',
  },
  RATE_LIMIT_MFA: { describe: 'second factors tried from one network', schema: rate, default: '10/minute' },
  RATE_LIMIT_SMS_NUMBER: { describe: 'codes sent to one account, and at enrolment to one number', schema: rate, default: '5/hour' },
  RATE_LIMIT_SMS_PREFIX: {
    describe: 'codes sent to numbers that differ in the last digits only (bill fraud)',
    schema: rate,
    default: '50/hour',
  },
  RATE_LIMIT_SMS_TOTAL: { describe: 'codes sent in all (bill fraud)', schema: rate, default: '1000/day' },
  RATE_LIMIT_PREFIX: {
    describe: 'the key prefix in Redis',
    schema: z.string().regex(/^[A-Za-z0-9:_-]{1,64}$/, 'use letters, digits, : _ and -'),
    default: 'latchkey',
  },

  STEP_UP_MAX_AGE_SECONDS: {
    describe: 'how recent the authentication of a sensitive request must be',
    schema: wholeNumber(1, 86_400),
    default: '600',
    strict: '300',
  },
  MFA_REQUIRED: { describe: 'true: everybody must hold a second factor', schema: flag, default: 'false', strict: 'true' },
  SMS_MFA: { describe: 'whether a phone can be a second factor', schema: flag, default: 'true', strict: 'false' },
  SMS_DEFAULT_COUNTRY: {
    describe: 'whose national phone numbers are understood, as DE (default: international numbers only)',
    schema: z.string().regex(/^[A-Z]{2}$/, 'give two capital letters (ISO 3166-1)'),
  },
  SMS_COUNTRIES: {
    describe: 'comma-separated countries whose numbers get codes, as DE,AT (default: all; fewer is less to defraud)',
    schema: list.pipe(z.array(z.string().regex(/^[A-Z]{2}$/, 'give two capital letters each (ISO 3166-1)'))),
    default: '',
  },
  TOTP_PAST_STEPS: {
    describe: '1: the code of the half minute before works too, for clocks that differ; 0: only the present one',
    schema: wholeNumber(0, 1),
    default: '1',
    strict: '0',
  },
  PASSKEY_COUNTER: {
    describe: 'a passkey that counts backwards: flag takes it for one factor, refuse refuses it',
    schema: z.enum(['flag', 'refuse']),
    default: 'flag',
    strict: 'refuse',
  },
  WEBAUTHN_RP_ID: { describe: 'the domain that passkeys belong to (default: the host of FRONTEND_URL)', schema: text.max(253) },
  WEBAUTHN_RP_NAME: { describe: 'how browsers call it (default: PRODUCT_NAME)', schema: text.max(60) },
  WEBAUTHN_ORIGINS: {
    describe: 'comma-separated origins whose pages may use passkeys (default: FRONTEND_URL and ISSUER)',
    schema: list.pipe(z.array(origin)),
    default: '',
  },

  LEGACY_JWKS_URL: {
    describe: 'the key set of the service that this one replaces: its access tokens read here for a while (docs/migrate/legacy-tokens.md)',
    schema: url('http:', 'https:'),
  },
  LEGACY_HS256_SECRET: {
    describe: 'or the secret that it signs them with (HS256)',
    schema: z.string().min(32, 'a secret of fewer than 32 characters can be found by trying; let everybody sign in instead').max(4096),
    secret: true,
  },
  LEGACY_TOKENS_UNTIL: {
    describe: 'needed with either: when they stop counting, as 2027-01-31 (to the end of that day, UTC) or 2027-01-31T18:00:00Z',
    schema: z
      .union([z.iso.date(), z.iso.datetime({ offset: true })], 'give a day or a time, as 2027-01-31 or 2027-01-31T18:00:00Z')
      .transform(endOf),
  },
  LEGACY_ISSUER: { describe: 'the `iss` that they must carry; needed with LEGACY_JWKS_URL (default: they carry none)', schema: text },
  LEGACY_AUDIENCE: { describe: 'an `aud` that they must carry (default: they carry none)', schema: text },
  LEGACY_ACCESS_CLAIM: {
    describe: 'what its access tokens say and its other tokens do not, as name=value; none: it has no others under that key',
    schema: z.string().transform((value, context): AccessClaim => {
      const [, name = '', said = ''] = /^([^=\s]+)=(\S+)$/.exec(value) ?? [];
      if (value !== 'none' && name === '') context.addIssue('give it as name=value, or none');
      return value === 'none' ? null : { name, value: said };
    }),
    default: 'type=access',
  },
  LEGACY_SUBJECT: {
    describe:
      'what their `sub` is: uuid, the id of the import, or integer, the number that the import made the id of (docs/migrate/native-and-cognito.md)',
    schema: z.enum(LEGACY_SUBJECTS),
    default: 'uuid',
  },

  SECURITY_PROFILE: {
    describe: 'standard, or strict: harder defaults (each can still be set alone)',
    schema: z.enum(['standard', 'strict']),
    default: 'standard',
  },
  METRICS_PORT: {
    describe: 'where /metrics is served for Prometheus, on HOST (default: nowhere); 0 takes any free port',
    schema: wholeNumber(0, 65535),
  },
  METRICS_TOKEN: {
    describe: 'the bearer token that opens /metrics on PORT; at least 16 characters (default: it is not there)',
    schema: z.string().min(16, 'give at least 16 random characters').max(4096),
    secret: true,
  },
  OTEL_EXPORTER_OTLP_ENDPOINT: {
    describe: 'the collector that traces go to, by OTLP over HTTP, such as http://collector:4318 (default: none are made)',
    schema: url('http:', 'https:'),
  },
  OTEL_EXPORTER_OTLP_HEADERS: {
    describe: 'comma-separated name=value (percent-encoded) that it is sent with them, such as a key',
    schema: z.string().refine((value) => parseHeaders(value) !== null, 'give name=value, with commas between several'),
    secret: true,
  },
  OTEL_TRACES_SAMPLER_ARG: { describe: 'the share of traces that are kept, 0 to 1', schema: share, default: '1' },
  BOOTSTRAP_ADMIN_EMAIL: {
    describe: 'while nobody is an admin: makes the account of this address one at start, and mails a link to set its password',
    schema: z.string().refine((address) => parseEmail(address) !== undefined, 'give an e-mail address'),
  },
  REGISTRATION_CONFLICTS: {
    describe: 'hide, or reveal: 409 for an address that has an account',
    schema: z.enum(['hide', 'reveal']),
    default: 'hide',
  },
  ACCOUNT_DELETION_GRACE_DAYS: {
    describe:
      'how long a deleted account can be taken back before it is erased; 0: erased at once, or when no old address can take it back any more',
    schema: wholeNumber(0, 365),
    default: '30',
  },
  UNVERIFIED_ACCOUNT_DAYS: {
    describe:
      'how long after its registration an account whose address nobody verifies is removed, once no link to it is open; 0: such accounts stay',
    schema: wholeNumber(0, 365),
    default: '30',
  },
  AUDIT_RETENTION_DAYS: {
    describe: 'how long after its end a month of the audit trail stays in the database',
    schema: wholeNumber(30, 36_500),
    default: '90',
  },
  AUDIT_ARCHIVE_URL: {
    describe: 'where older months go: file:///folder or s3://bucket/prefix (default: nowhere, they stay)',
    schema: url('file:', 's3:').refine((value) => !/^file:\/\/[^/]/i.test(value), 'give the whole path of a folder: file:///var/audit'),
  },
  AUDIT_STDOUT: {
    describe: 'true: the worker prints each audit event as a line of JSON (ECS), at least once',
    schema: flag,
    default: 'false',
  },
  AWS_REGION: { describe: 'the region of what is used of AWS: S3, SNS, SSM', schema: text.max(60), default: 'us-east-1' },
  AWS_ENDPOINT_URL: { describe: 'another address for all of it, for services that speak as AWS does', schema: url('http:', 'https:') },
  AWS_SSM_ENABLED: {
    describe:
      'true: JWT_PRIVATE_KEY, JWT_PUBLIC_KEY and FERNET_KEY are read at start from /auth-service/jwt/private-key, …/jwt/public-key and …/encryption/fernet-key; what is set here wins',
    schema: flag,
    default: 'false',
  },

  AUTH_PROVIDER: {
    describe: 'who judges passwords: native (this service), cognito (a user pool of AWS), or both, as a sign-in asks for',
    schema: z.enum(['native', 'cognito', 'both']),
    default: 'native',
  },
  COGNITO_USER_POOL_ID: {
    describe: 'the user pool, as eu-central-1_Ab1Cd2Ef3',
    schema: z.string().regex(/^[A-Za-z0-9-]+_[A-Za-z0-9]+$/, 'give it as eu-central-1_Ab1Cd2Ef3'),
  },
  COGNITO_CLIENT_ID: { describe: 'an app client of it with ALLOW_USER_PASSWORD_AUTH', schema: text.max(128) },
  COGNITO_CLIENT_SECRET: { describe: 'its secret, if it has one', schema: text, secret: true },
  COGNITO_ENDPOINT: {
    describe: 'an emulator of Cognito (default: AWS_ENDPOINT_URL, else AWS in the region of the pool)',
    schema: url('http:', 'https:').transform((value) => value.replace(/\/$/, '')),
  },
  COGNITO_TIMEOUT_MS: {
    describe: 'how long it may take to answer; a pool with Lambda triggers needs more',
    schema: wholeNumber(100, 10_000),
    default: '400',
  },
  COGNITO_MIGRATE: {
    describe: 'true: who has no password here signs in with that of the user pool, and it is hashed here from then on',
    schema: flag,
    default: 'false',
  },

  EMAIL_PROVIDER: {
    describe: 'smtp, sendgrid, or mailbox: mail is kept in memory and shown at /dev/mailbox (development only)',
    schema: z.enum(['mailbox', 'smtp', 'sendgrid']),
    default: 'mailbox',
  },
  SMTP_HOST: { describe: 'the mail server (EMAIL_PROVIDER=smtp)', schema: text.max(253) },
  SMTP_PORT: { describe: '587 for STARTTLS, 465 for TLS from the first byte', schema: wholeNumber(1, 65535), default: '587' },
  SMTP_TLS: {
    describe:
      'on: nothing is sent without TLS; implicit: TLS from the first byte (on at port 465); off: in clear, for a relay on this machine',
    schema: z.string().transform((value, context): 'on' | 'implicit' | 'off' => {
      const meant = { on: 'on', true: 'on', implicit: 'implicit', off: 'off', false: 'off' } as const; // the replaced services wrote True and False
      const known = Object.entries(meant).find(([word]) => word === value.toLowerCase());
      if (known) return known[1];
      context.addIssue('give on, implicit or off');
      return z.NEVER;
    }),
    default: 'on',
  },
  SMTP_CA: {
    describe: 'certificates (PEM) to trust instead of the public ones; SMTP_CA_FILE names their file',
    schema: certificates,
  },
  SMTP_USER: { describe: 'the name to sign in to the mail server with', schema: text },
  SMTP_PASSWORD: { describe: 'and its password', schema: text, secret: true },
  SENDGRID_API_KEY: { describe: 'a key that may send mail (EMAIL_PROVIDER=sendgrid)', schema: text, secret: true },
  SENDGRID_URL: {
    describe: 'https://api.eu.sendgrid.com for an account in the EU',
    schema: origin,
    default: 'https://api.sendgrid.com',
  },
  EMAILS_FROM_EMAIL: {
    describe: 'the address that mail comes from',
    schema: z
      .string()
      .refine((value) => parseEmail(value) !== undefined, 'give an e-mail address')
      .transform((value) => parseEmail(value)?.given ?? value),
  },
  EMAILS_FROM_NAME: { describe: 'the name beside it (default: PRODUCT_NAME)', schema: oneLine.max(60) },
  EMAILS_COLOR: {
    describe: 'of the button in mails, as #rrggbb; its text is white or black, whichever can be read',
    schema: z.string().refine(isColor, 'give a colour as #rrggbb'),
    default: '#1f4fd8',
  },
  EMAILS_SUPPORT_URL: {
    describe: 'where mails send people for help: an https: or mailto: URL (default: they name nothing)',
    schema: oneLine.max(500).pipe(url('https:', 'mailto:')),
  },
  SMS_PROVIDER: {
    describe: 'sns (docs/sms.md), or mailbox: SMS are kept in memory and shown at /dev/mailbox (development only)',
    schema: z.enum(['mailbox', 'sns']),
    default: 'mailbox',
  },
  SMS_SENDER_ID: {
    describe: 'who SMS come from, where the country shows it: 3 to 11 letters and digits (default: what AWS chooses)',
    schema: z.string().regex(/^(?=.*[A-Za-z])[A-Za-z0-9]{3,11}$/, 'give 3 to 11 letters and digits, at least one of them a letter'),
  },
  SMS_ORIGINATION_NUMBER: {
    describe: 'a number rented from AWS that SMS come from, as +12065550100, for countries without sender ids',
    schema: z.string().regex(/^\+?[1-9]\d{3,14}$/, 'give a number as +12065550100, or a short code'),
  },
  SMS_MAX_PRICE: {
    describe: 'US dollars that one SMS may cost; AWS sends none that costs more',
    schema: z
      .string()
      .regex(/^\d{1,2}(\.\d{1,5})?$/, 'give an amount as 0.25')
      .transform(Number)
      .refine((price) => price > 0, 'give an amount above 0'),
    default: '0.50',
  },
  SMS_MAX_PER_DAY: {
    describe:
      'codes sent by SMS on one day (UTC), at most half of them to numbers that are yet to be confirmed; no restart forgets the count',
    schema: wholeNumber(1, 10_000_000),
    default: '1000',
  },
} as const satisfies Record<string, Setting>;

export type SettingName = keyof typeof SETTINGS;
export type SettingValues = {
  [Name in SettingName]:
    | z.output<(typeof SETTINGS)[Name]['schema']>
    | ((typeof SETTINGS)[Name] extends { default: string } ? never : undefined);
};

/** The text of .env.example: every setting with its meaning and default, commented out. */
export function envExample(): string {
  const lines = [
    '# Settings of Latchkey, all of them optional in development. Copy to .env and change what you need.',
    '# Each can be given as NAME_FILE too: the path of a file that holds the value. Generated by `npm run docs`.',
  ];
  for (const [name, setting] of Object.entries<Setting>(SETTINGS)) {
    const notes = [
      setting.strict === undefined ? '' : `strict: ${setting.strict}`,
      setting.production === 'required' ? 'required in production' : '',
    ];
    const note = notes.filter((part) => part !== '').join('; ');
    lines.push('', `# ${setting.describe}${note === '' ? '' : ` [${note}]`}`, `#${name}=${setting.default ?? ''}`);
  }
  return `${lines.join('\n')}\n`;
}
