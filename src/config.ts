import { existsSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import type { Policy } from '#application/ports/services.ts';
import { isWithin } from '#domain/origins.ts';
import type { RateLimits } from '#domain/rate-limit.ts';
import type { Setting } from './settings/setting.ts';
import { SETTINGS, type SettingValues } from './settings.ts';

export type Environment = Record<string, string | undefined>;

/** A window, not a second way to sign in. */
const MOST_LEGACY_DAYS = 180;

/** A value that no log, error or inspection shows. */
export type Secret = { reveal(): string };

export type SecretName =
  | 'SECRET_KEY'
  | 'LEGACY_HS256_SECRET'
  | 'FERNET_KEY'
  | 'JWT_PRIVATE_KEY'
  | 'DATABASE_URL'
  | 'REDIS_URL'
  | 'METRICS_TOKEN'
  | 'OTEL_EXPORTER_OTLP_HEADERS'
  | 'SMTP_PASSWORD'
  | 'SENDGRID_API_KEY'
  | 'COGNITO_CLIENT_SECRET';

export type Config = Omit<SettingValues, SecretName> & { [Name in SecretName]: Secret | undefined } & {
  ISSUER: string;
  FRONTEND_URL: string;
  WEBAUTHN_RP_ID: string;
  WEBAUTHN_RP_NAME: string;
  SHUTDOWN_DRAIN_SECONDS: number;
  isProduction: boolean;
  /** Which of them SSM gave. */
  fromSsm: readonly string[];
  /** Whether anything is kept in the development mailbox instead of being sent. */
  hasMailbox: boolean;
  /** Where Cognito is, when anybody signs in by it. */
  cognito: { userPoolId: string; clientId: string; endpoint: string | null } | null;
  policy: Policy;
  rateLimits: RateLimits;
};

/** Longer than balancers take to hear of it: two failed probes of two seconds. */
const DRAIN_SECONDS = { production: 5, elsewhere: 1 };

/** One message that names every mistake, and no value of a secret. */
export class ConfigMistakes extends Error {
  readonly mistakes: readonly string[];

  constructor(mistakes: readonly string[]) {
    super(`These settings need a change:\n${mistakes.map((mistake) => `  - ${mistake}`).join('\n')}`);
    this.name = 'ConfigMistakes';
    this.mistakes = mistakes;
  }
}

/** What the environment gives for a name: `NAME`, or what the file holds that `NAME_FILE` names. An empty value is none. */
export function givenIn(environment: Environment, mistakes: string[]): (name: string) => string | undefined {
  return (name) => {
    const value = environment[name];
    const path = environment[`${name}_FILE`];
    if (value !== undefined && value !== '' && path) mistakes.push(`${name} and ${name}_FILE are both set; keep one`);
    if (value !== undefined && value !== '') return value;
    if (!path) return undefined;
    try {
      return readFileSync(path, 'utf8').replace(/\r?\n$/, '');
    } catch {
      mistakes.push(`${name}_FILE: the file ${path} cannot be read`);
      return undefined;
    }
  };
}

/**
 * Reads all settings from the environment; `NAME_FILE` names a file that holds the value of `NAME`.
 * @param fromSsm the secrets that SSM gave (see ssm-settings.ts), by the names of their settings
 * @throws ConfigMistakes with every mistake there is
 */
export function loadConfig(environment: Environment, fromSsm: Readonly<Record<string, string>> = {}): Config {
  const mistakes: string[] = [];
  const given = givenIn({ ...environment, ...fromSsm }, mistakes);

  const isStrict = given('SECURITY_PROFILE') === 'strict';
  const isProduction = given('NODE_ENV') === 'production';
  const values: Record<string, unknown> = {};
  for (const [name, setting] of Object.entries<Setting>(SETTINGS)) {
    const text = given(name) ?? (isStrict ? (setting.strict ?? setting.default) : setting.default);
    if (text === undefined) {
      if (isProduction && setting.production === 'required') mistakes.push(`${name}: production needs it (${setting.describe})`);
      continue;
    }
    const parsed = setting.schema.safeParse(text);
    if (parsed.success) values[name] = setting.secret ? secret(String(parsed.data)) : parsed.data;
    else mistakes.push(`${name}${name in fromSsm ? ' (of SSM)' : ''}: ${parsed.error.issues[0]?.message ?? 'not valid'}`);
  }
  mistakes.push(...mailMistakes(values, isProduction), ...cognitoMistakes(values, isProduction));
  mistakes.push(...legacyMistakes(values, isProduction));
  if (given('REDIS_URL')?.includes(',') && values['REDIS_CLUSTER'] !== true)
    mistakes.push('REDIS_URL: several nodes need REDIS_CLUSTER=true');
  if (isProduction) mistakes.push(...productionMistakes(values));
  if (mistakes.length > 0) throw new ConfigMistakes(mistakes);
  const config = { ...derived(values, isProduction), fromSsm: Object.keys(fromSsm) };
  const strangers = config.WEBAUTHN_ORIGINS.filter((origin) => !isWithin(new URL(origin).hostname, config.WEBAUTHN_RP_ID));
  if (strangers.length > 0) {
    throw new ConfigMistakes([
      `WEBAUTHN_RP_ID: no browser uses passkeys of ${config.WEBAUTHN_RP_ID} at ${strangers.join(', ')}; see WEBAUTHN_ORIGINS`,
    ]);
  }
  return Object.freeze(config);
}

/** What a mail provider needs besides its name. */
function mailMistakes(values: Record<string, unknown>, isProduction: boolean): string[] {
  const provider = values['EMAIL_PROVIDER'];
  const needed = {
    smtp: ['SMTP_HOST', 'EMAILS_FROM_EMAIL'],
    sendgrid: ['SENDGRID_API_KEY', 'EMAILS_FROM_EMAIL'],
  }[String(provider)];
  const mistakes = (needed ?? [])
    .filter((name) => values[name] === undefined)
    .map((name) => `${name}: EMAIL_PROVIDER=${provider} needs it`);
  const [user, password] = [values['SMTP_USER'], values['SMTP_PASSWORD']];
  if ((user === undefined) !== (password === undefined)) mistakes.push('SMTP_USER: give it and SMTP_PASSWORD, or neither');
  if (values['SECURITY_PROFILE'] === 'strict' && values['SMTP_TLS'] === 'off')
    mistakes.push('SMTP_TLS: SECURITY_PROFILE=strict needs it on');
  if (!isProduction) return mistakes;
  if (user !== undefined && values['SMTP_TLS'] === 'off') mistakes.push('SMTP_TLS: production sends no password in clear text');
  if (String(values['SENDGRID_URL']).startsWith('http:')) mistakes.push('SENDGRID_URL: production needs https');
  return mistakes;
}

function usesCognito(values: Record<string, unknown>): boolean {
  return values['AUTH_PROVIDER'] !== 'native' || values['COGNITO_MIGRATE'] === true;
}

/** What Cognito needs besides its name. */
function cognitoMistakes(values: Record<string, unknown>, isProduction: boolean): string[] {
  if (!usesCognito(values)) return [];
  const why = values['COGNITO_MIGRATE'] === true ? 'COGNITO_MIGRATE=true' : `AUTH_PROVIDER=${values['AUTH_PROVIDER']}`;
  const mistakes = ['COGNITO_USER_POOL_ID', 'COGNITO_CLIENT_ID']
    .filter((name) => values[name] === undefined)
    .map((name) => `${name}: ${why} needs it`);
  const endpoint = values['COGNITO_ENDPOINT'] ?? values['AWS_ENDPOINT_URL'];
  if (isProduction && String(endpoint).startsWith('http:')) mistakes.push('COGNITO_ENDPOINT: production sends no password in clear text');
  return mistakes;
}

/** Whatever takes the place of our own tokens says for how long, and whose they are. */
function legacyMistakes(values: Record<string, unknown>, isProduction: boolean): string[] {
  const [url, secretGiven, until] = [values['LEGACY_JWKS_URL'], values['LEGACY_HS256_SECRET'], values['LEGACY_TOKENS_UNTIL']];
  const isOn = url !== undefined || secretGiven !== undefined;
  const mistakes: string[] = [];
  if (isOn && until === undefined) mistakes.push('LEGACY_TOKENS_UNTIL: tokens of another service count for a while only; say until when');
  if (!isOn && until !== undefined) mistakes.push('LEGACY_TOKENS_UNTIL: give LEGACY_JWKS_URL or LEGACY_HS256_SECRET too, or take it out');
  if (url !== undefined && values['LEGACY_ISSUER'] === undefined) mistakes.push('LEGACY_ISSUER: LEGACY_JWKS_URL needs it');
  if (until instanceof Date && until.getTime() > Date.now() + MOST_LEGACY_DAYS * 24 * 3600 * 1000)
    mistakes.push(`LEGACY_TOKENS_UNTIL: at most ${MOST_LEGACY_DAYS} days from now`);
  if (!isOn && values['LEGACY_SUBJECT'] === 'integer')
    mistakes.push(
      'LEGACY_SUBJECT: it says what tokens of another service say; give LEGACY_JWKS_URL or LEGACY_HS256_SECRET too, or take it out',
    );
  if (isProduction && String(url).startsWith('http:')) mistakes.push('LEGACY_JWKS_URL: production needs https');
  return mistakes;
}

function productionMistakes(values: Record<string, unknown>): string[] {
  const mistakes: string[] = [];
  for (const name of ['ISSUER', 'FRONTEND_URL']) {
    if (typeof values[name] === 'string' && !values[name].startsWith('https:')) mistakes.push(`${name}: production needs https`);
  }
  if (!values['JWT_PRIVATE_KEY'] && !existsSync(path.join(String(values['KEYS_DIR']), 'manifest.json'))) {
    mistakes.push('KEYS_DIR: production needs signing keys there ("latchkey keys generate"), or JWT_PRIVATE_KEY');
  }
  if (values['EMAIL_PROVIDER'] === 'mailbox') mistakes.push('EMAIL_PROVIDER: the development mailbox is refused in production');
  if (values['SMS_PROVIDER'] === 'sns' && String(values['AWS_ENDPOINT_URL'] ?? 'https:').startsWith('http:')) {
    mistakes.push('AWS_ENDPOINT_URL: production sends no codes in clear text; SMS_PROVIDER=sns needs https');
  }
  if (values['SMS_PROVIDER'] === 'mailbox' && values['SMS_MFA'] === true) {
    mistakes.push('SMS_PROVIDER: the development mailbox is refused in production; set SMS_MFA=false to do without SMS');
  }
  return mistakes;
}

function derived(values: Record<string, unknown>, isProduction: boolean): Omit<Config, 'fromSsm'> {
  const read = values as Config;
  const issuer = read.ISSUER ?? `http://localhost:${read.PORT}`;
  const days = 24 * 60 * 60;
  const policy: Policy = {
    issuer,
    frontendUrl: read.FRONTEND_URL ?? issuer,
    productName: read.PRODUCT_NAME,
    brand: { color: read.EMAILS_COLOR, supportUrl: read.EMAILS_SUPPORT_URL ?? null },
    passwords: {
      minLength: read.MIN_PASSWORD_LENGTH,
      requireUppercase: read.REQUIRE_UPPERCASE,
      requireNumbers: read.REQUIRE_NUMBERS,
      requireSpecialChars: read.REQUIRE_SPECIAL_CHARS,
    },
    lockout: { maxAttempts: read.MAX_LOGIN_ATTEMPTS, lockSeconds: read.LOCKOUT_DURATION_MINUTES * 60 },
    lifetimes: {
      accessTokenSeconds: read.ACCESS_TOKEN_EXPIRE_MINUTES * 60,
      sessions: {
        bearer: { idleSeconds: read.REFRESH_TOKEN_EXPIRE_DAYS * days, absoluteSeconds: read.REFRESH_TOKEN_ABSOLUTE_DAYS * days },
        cookie: { idleSeconds: read.SESSION_IDLE_TIMEOUT_MINUTES * 60, absoluteSeconds: read.SESSION_ABSOLUTE_TIMEOUT_HOURS * 3600 },
      },
      refreshReuseGraceSeconds: read.REFRESH_REUSE_GRACE_SECONDS,
    },
    deletionGraceDays: read.ACCOUNT_DELETION_GRACE_DAYS,
    unverifiedAccountDays: read.UNVERIFIED_ACCOUNT_DAYS,
    revealRegistrationConflicts: read.REGISTRATION_CONFLICTS === 'reveal',
    providers: { allowed: read.AUTH_PROVIDER === 'both' ? ['native', 'cognito'] : [read.AUTH_PROVIDER], drains: read.COGNITO_MIGRATE },
    sessions: { most: read.MAX_SESSIONS_PER_USER, binding: read.SESSION_BINDING },
    secondFactors: {
      isRequired: read.MFA_REQUIRED,
      allowsSms: read.SMS_MFA,
      smsPerDay: read.SMS_MAX_PER_DAY,
      refusesCounterRegression: read.PASSKEY_COUNTER === 'refuse',
      stepUpMaxAgeSeconds: read.STEP_UP_MAX_AGE_SECONDS,
    },
  };
  const rateLimits: RateLimits = {
    global: read.RATE_LIMIT_GLOBAL,
    'per-ip': read.RATE_LIMIT_PER_IP,
    'per-user': read.RATE_LIMIT_PER_USER,
    login: read.RATE_LIMIT_LOGIN,
    register: read.RATE_LIMIT_REGISTER,
    'password-reset': read.RATE_LIMIT_PASSWORD_RESET,
    mfa: read.RATE_LIMIT_MFA,
    'sms-number': read.RATE_LIMIT_SMS_NUMBER,
    'sms-prefix': read.RATE_LIMIT_SMS_PREFIX,
    'sms-total': read.RATE_LIMIT_SMS_TOTAL,
  };
  return {
    ...read,
    ISSUER: issuer,
    FRONTEND_URL: policy.frontendUrl,
    SHUTDOWN_DRAIN_SECONDS: read.SHUTDOWN_DRAIN_SECONDS ?? DRAIN_SECONDS[isProduction ? 'production' : 'elsewhere'],
    ALLOWED_HOSTS: allowedHosts(read, issuer, isProduction),
    WEBAUTHN_RP_ID: read.WEBAUTHN_RP_ID ?? new URL(policy.frontendUrl).hostname,
    WEBAUTHN_RP_NAME: read.WEBAUTHN_RP_NAME ?? policy.productName,
    WEBAUTHN_ORIGINS:
      read.WEBAUTHN_ORIGINS.length > 0 ? read.WEBAUTHN_ORIGINS : defaultOrigins(policy.frontendUrl, issuer, read.WEBAUTHN_RP_ID),
    isProduction,
    cognito: cognitoOf(read),
    hasMailbox: !isProduction && (read.EMAIL_PROVIDER === 'mailbox' || read.SMS_PROVIDER === 'mailbox'),
    policy,
    rateLimits,
  };
}

function cognitoOf(read: Config): Config['cognito'] {
  const { COGNITO_USER_POOL_ID: userPoolId = '', COGNITO_CLIENT_ID: clientId = '' } = read;
  const endpoint = read.COGNITO_ENDPOINT ?? read.AWS_ENDPOINT_URL?.replace(/\/$/, '') ?? null;
  return usesCognito(read) ? { userPoolId, clientId, endpoint } : null;
}

/** Those of our own origins that may use passkeys of this relying party. */
function defaultOrigins(frontendUrl: string, issuer: string, rpId = new URL(frontendUrl).hostname): string[] {
  return [...new Set([frontendUrl, issuer])].filter((origin) => isWithin(new URL(origin).hostname, rpId));
}

function allowedHosts(read: Config, issuer: string, isProduction: boolean): string[] {
  if (read.ALLOWED_HOSTS.length > 0) return read.ALLOWED_HOSTS;
  const own = new URL(issuer).hostname;
  return isProduction ? [own] : [own, 'localhost', '127.0.0.1', '[::1]', hostname()];
}

function secret(value: string): Secret {
  const hidden = () => '[redacted]';
  const boxed = { reveal: () => value, toString: hidden, toJSON: hidden, [Symbol.for('nodejs.util.inspect.custom')]: hidden };
  return Object.freeze(boxed);
}
