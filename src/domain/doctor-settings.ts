import { type Finding, found } from './findings.ts';
import { isLoopback } from './origins.ts';

/** The settings as they were read, by their names. */
export type Settings = {
  PORT: number;
  METRICS_PORT: number | undefined;
  HOST: string;
  ISSUER: string;
  ALLOWED_HOSTS: readonly string[];
  REDIS_CLUSTER: boolean;
  REDIS_OPTIONAL: boolean;
  EMAIL_PROVIDER: string;
  SMTP_PORT: number;
  SMTP_TLS: string;
  SMS_PROVIDER: string;
  SMS_MFA: boolean;
  SMS_DEFAULT_COUNTRY: string | undefined;
  SMS_COUNTRIES: readonly string[];
  SESSION_IDLE_TIMEOUT_MINUTES: number;
  SESSION_ABSOLUTE_TIMEOUT_HOURS: number;
  REFRESH_TOKEN_EXPIRE_DAYS: number;
  REFRESH_TOKEN_ABSOLUTE_DAYS: number;
  AWS_SSM_ENABLED: boolean;
  AUTH_PROVIDER: string;
  COGNITO_MIGRATE: boolean;
  ROLE: string;
  hasMailbox: boolean;
};

/** Fewer different characters than this among 32 and more are not random: of random hexadecimal digits there are some 14. */
const LEAST_CHARACTERS = 8;

/**
 * Settings that contradict each other.
 * @param given the names of those that were set, by themselves or as a file @param secretCharacters how many different ones SECRET_KEY
 * has; null: it is not set
 */
export function judgeSettings(settings: Settings, given: ReadonlySet<string>, secretCharacters: number | null): Finding[] {
  const { PORT, METRICS_PORT, ISSUER, ALLOWED_HOSTS, SMTP_PORT, SMTP_TLS, SMS_DEFAULT_COUNTRY, SMS_COUNTRIES } = settings;
  const findings: Finding[] = unused(settings, given).map(([name, without]) => found('settings-unused', `${name} is set, ${without}.`));
  const host = new URL(ISSUER).hostname;
  if (!ALLOWED_HOSTS.some((allowed) => allowed.toLowerCase() === host))
    findings.push(found('host-not-allowed', `ALLOWED_HOSTS does not name ${host}, the host of ISSUER.`));
  if (METRICS_PORT === PORT && PORT !== 0) findings.push(found('metrics-port-taken', `METRICS_PORT and PORT are both ${PORT}.`));
  if (settings.SESSION_IDLE_TIMEOUT_MINUTES > settings.SESSION_ABSOLUTE_TIMEOUT_HOURS * 60) {
    const what = `SESSION_IDLE_TIMEOUT_MINUTES (${settings.SESSION_IDLE_TIMEOUT_MINUTES}) is longer than SESSION_ABSOLUTE_TIMEOUT_HOURS (${settings.SESSION_ABSOLUTE_TIMEOUT_HOURS}).`;
    findings.push(found('lifetimes-contradict', what));
  }
  if (settings.REFRESH_TOKEN_EXPIRE_DAYS > settings.REFRESH_TOKEN_ABSOLUTE_DAYS) {
    const what = `REFRESH_TOKEN_EXPIRE_DAYS (${settings.REFRESH_TOKEN_EXPIRE_DAYS}) is longer than REFRESH_TOKEN_ABSOLUTE_DAYS (${settings.REFRESH_TOKEN_ABSOLUTE_DAYS}).`;
    findings.push(found('lifetimes-contradict', what));
  }
  const isMixedUp = SMTP_PORT === 465 ? SMTP_TLS === 'off' : SMTP_PORT === 587 && SMTP_TLS === 'implicit';
  if (settings.EMAIL_PROVIDER === 'smtp' && isMixedUp)
    findings.push(found('smtp-port-and-tls', `SMTP_PORT=${SMTP_PORT} with SMTP_TLS=${SMTP_TLS}.`));
  if (settings.SMS_MFA && SMS_DEFAULT_COUNTRY && SMS_COUNTRIES.length > 0 && !SMS_COUNTRIES.includes(SMS_DEFAULT_COUNTRY))
    findings.push(found('sms-country-shut', `SMS_DEFAULT_COUNTRY=${SMS_DEFAULT_COUNTRY} is not in SMS_COUNTRIES.`));
  if (settings.hasMailbox && !isLoopback(host))
    findings.push(found('mailbox-exposed', `NODE_ENV is not production, and ISSUER is ${ISSUER}.`));
  if (secretCharacters !== null && secretCharacters < LEAST_CHARACTERS)
    findings.push(found('secret-guessable', `SECRET_KEY is made of ${secretCharacters} different characters.`));
  return findings;
}

/** What was set in vain, and what makes it so. */
function unused(settings: Settings, given: ReadonlySet<string>): [name: string, without: string][] {
  const provider = `yet EMAIL_PROVIDER is ${settings.EMAIL_PROVIDER}`;
  const noRedis = 'yet there is no REDIS_URL';
  const isAlone = !given.has('REDIS_URL');
  const rules: [isSo: boolean, names: string[], without: string][] = [
    [settings.EMAIL_PROVIDER !== 'smtp', ['SMTP_HOST', 'SMTP_USER', 'SMTP_PASSWORD', 'SMTP_CA'], provider],
    [settings.EMAIL_PROVIDER !== 'sendgrid', ['SENDGRID_API_KEY', 'SENDGRID_URL'], provider],
    [
      settings.SMS_PROVIDER !== 'sns',
      ['SMS_SENDER_ID', 'SMS_ORIGINATION_NUMBER', 'SMS_MAX_PRICE'],
      `yet SMS_PROVIDER is ${settings.SMS_PROVIDER}`,
    ],
    [isAlone && settings.REDIS_CLUSTER, ['REDIS_CLUSTER'], noRedis],
    [isAlone && settings.REDIS_OPTIONAL, ['REDIS_OPTIONAL'], noRedis],
    [isAlone, ['REDIS_CA'], noRedis],
    [given.has('JWT_PRIVATE_KEY'), ['KEYS_DIR'], 'yet JWT_PRIVATE_KEY is there, and wins'],
    [!given.has('JWT_PRIVATE_KEY') && !settings.AWS_SSM_ENABLED, ['JWT_PUBLIC_KEY'], 'yet there is no JWT_PRIVATE_KEY'],
    [
      !settings.SMS_MFA,
      ['SMS_DEFAULT_COUNTRY', 'SMS_COUNTRIES', 'SMS_MAX_PER_DAY', 'RATE_LIMIT_SMS_NUMBER', 'RATE_LIMIT_SMS_PREFIX', 'RATE_LIMIT_SMS_TOTAL'],
      'yet SMS_MFA is false',
    ],
    [
      !given.has('LEGACY_JWKS_URL') && !given.has('LEGACY_HS256_SECRET'),
      ['LEGACY_TOKENS_UNTIL', 'LEGACY_ISSUER', 'LEGACY_AUDIENCE', 'LEGACY_ACCESS_CLAIM', 'LEGACY_SUBJECT'],
      'yet neither LEGACY_JWKS_URL nor LEGACY_HS256_SECRET is',
    ],
    [
      !given.has('OTEL_EXPORTER_OTLP_ENDPOINT'),
      ['OTEL_EXPORTER_OTLP_HEADERS', 'OTEL_TRACES_SAMPLER_ARG'],
      'yet there is no OTEL_EXPORTER_OTLP_ENDPOINT',
    ],
    [
      settings.AUTH_PROVIDER === 'native' && !settings.COGNITO_MIGRATE,
      ['COGNITO_USER_POOL_ID', 'COGNITO_CLIENT_ID', 'COGNITO_CLIENT_SECRET', 'COGNITO_ENDPOINT', 'COGNITO_TIMEOUT_MS'],
      'yet AUTH_PROVIDER is native and COGNITO_MIGRATE false',
    ],
    [settings.ROLE === 'web', ['AUDIT_STDOUT'], 'yet ROLE is web, and it is the worker that prints'],
  ];
  return rules.flatMap(([isSo, names, without]) =>
    isSo ? names.filter((name) => given.has(name)).map((name): [string, string] => [name, without]) : [],
  );
}
