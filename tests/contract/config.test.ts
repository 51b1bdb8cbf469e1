import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { format, inspect } from 'node:util';
import pino from 'pino';
import { afterAll, describe, expect, it } from 'vitest';
import { type Config, ConfigMistakes, type Environment, loadConfig } from '#src/config.ts';
import { SETTINGS } from '#src/settings.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'latchkey-config-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const SECRET = 'a secret of thirty-two characters or more';
const DATABASE = 'postgres://auth:db-password@db.internal/auth';
const completeProduction = {
  NODE_ENV: 'production',
  ISSUER: 'https://auth.example.com',
  FRONTEND_URL: 'https://app.example.com',
  DATABASE_URL: DATABASE,
  REDIS_URL: 'rediss://:redis-password@redis.internal',
  SECRET_KEY: SECRET,
  FERNET_KEY: 'cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=',
  JWT_PRIVATE_KEY: '-----BEGIN PRIVATE KEY-----',
};

/** What the contract names with a default, as it is read. */
const DEFAULTS: Partial<Config> = {
  PORT: 3000,
  DATA_DIR: '.data',
  ROLE: 'all',
  KEYS_DIR: 'keys',
  ACCESS_TOKEN_EXPIRE_MINUTES: 15,
  REFRESH_TOKEN_EXPIRE_DAYS: 7,
  REFRESH_REUSE_GRACE_SECONDS: 10,
  SESSION_IDLE_TIMEOUT_MINUTES: 60,
  SESSION_ABSOLUTE_TIMEOUT_HOURS: 24,
  STEP_UP_MAX_AGE_SECONDS: 600,
  MAX_SESSIONS_PER_USER: 0,
  MIN_PASSWORD_LENGTH: 8,
  REQUIRE_UPPERCASE: false,
  REQUIRE_NUMBERS: false,
  REQUIRE_SPECIAL_CHARS: false,
  MAX_LOGIN_ATTEMPTS: 5,
  LOCKOUT_DURATION_MINUTES: 30,
  ARGON2_MEMORY_KIB: 19_456,
  ARGON2_TIME_COST: 2,
  ARGON2_PARALLELISM: 1,
  RATE_LIMIT_PER_IP: { capacity: 50, windowSeconds: 60 },
  RATE_LIMIT_PER_USER: { capacity: 10, windowSeconds: 60 },
  RATE_LIMIT_LOGIN: { capacity: 5, windowSeconds: 60 },
  RATE_LIMIT_REGISTER: { capacity: 3, windowSeconds: 60 },
  RATE_LIMIT_PASSWORD_RESET: { capacity: 3, windowSeconds: 3600 },
  RATE_LIMIT_MFA: { capacity: 10, windowSeconds: 60 },
  RATE_LIMIT_PREFIX: 'latchkey',
  SECURITY_PROFILE: 'standard',
  REGISTRATION_CONFLICTS: 'hide',
  AUTH_PROVIDER: 'native',
  AUDIT_RETENTION_DAYS: 90,
  EMAIL_PROVIDER: 'mailbox',
  SMS_PROVIDER: 'mailbox',
};

function file(name: string, content: string): string {
  const where = path.join(folder, name);
  writeFileSync(where, content);
  return where;
}

function mistakes(environment: Environment): string {
  try {
    loadConfig(environment);
  } catch (error) {
    if (error instanceof ConfigMistakes) return error.message;
    throw error;
  }
  return '';
}

describe('the settings', () => {
  it('stand in one table each', () => {
    const named = globSync(['src/settings.ts', 'src/settings/*.ts']).flatMap((file) =>
      Array.from(readFileSync(file, 'utf8').matchAll(/^ {2}([A-Z][A-Z0-9_]*): \{/gm), ([, name]) => name),
    );
    expect(named.sort()).toEqual(Object.keys(SETTINGS).sort());
  });

  it.each([
    ['DATABASE_URL', 'mysql://auth@db/auth', 'begins with postgres:// or postgresql://'],
    ['DATABASE_URL', 'postgres://auth:pa#ss@db/auth', 'percent-encoded'],
    ['DATABASE_URL', 'postgres://auth:pa/ss@db/auth', 'percent-encoded'],
    ['DATABASE_URL', 'postgres://auth:pa%ss@db/auth', 'percent-encoded'],
    ['DATABASE_URL', 'postgres://db:99999/auth', 'a port up to 65535'],
    ['DATABASE_URL', 'postgres://', 'name the server'],
    ['ALLOWED_HOSTS', 'https://auth.example.com/', 'without https:// or a path'],
    ['ALLOWED_HOSTS', '*', 'without https:// or a path'],
    ['AUDIT_ARCHIVE_URL', 'file://audit/here', 'the whole path of a folder'],
    ['EMAILS_SUPPORT_URL', 'support@example.com', 'https:// or mailto:'],
    ['METRICS_TOKEN', 'short', 'at least 16 random characters'],
    ['FERNET_KEY', ',', 'at least one key'],
  ])('say of %s=%s what would be right', (name, value, hint) => {
    const said = mistakes({ [name]: value });
    expect(said).toContain(name);
    expect(said).toContain(hint);
    if (value.includes('auth')) expect(said).not.toContain(value);
  });

  it.each([
    ['DATABASE_URL', 'postgres://auth:p%23%2F%25@db.internal:5433/auth?sslmode=require'],
    ['DATABASE_URL', 'postgresql:///auth'], // with PGHOST
    ['ALLOWED_HOSTS', 'auth.example.com, localhost,[::1],10.0.0.7,my_service'],
    ['AUDIT_ARCHIVE_URL', 'file:///var/audit'],
  ])('take %s=%s', (name, value) => {
    expect(mistakes({ [name]: value })).toBe('');
  });

  it('for traces are checked, and a key for the collector is never shown', () => {
    expect(loadConfig({}).OTEL_TRACES_SAMPLER_ARG).toBe(1);
    expect(loadConfig({}).OTEL_EXPORTER_OTLP_ENDPOINT).toBeUndefined();
    const config = loadConfig({ OTEL_EXPORTER_OTLP_HEADERS: 'api-key=canary', OTEL_TRACES_SAMPLER_ARG: '0.25' });
    expect(config.OTEL_TRACES_SAMPLER_ARG).toBe(0.25);
    expect(format(inspect(config), JSON.stringify(config))).not.toContain('canary');
    const wrong = { OTEL_EXPORTER_OTLP_ENDPOINT: 'grpc://collector', OTEL_EXPORTER_OTLP_HEADERS: 'canary', OTEL_TRACES_SAMPLER_ARG: '2' };
    for (const name of Object.keys(wrong)) expect(mistakes(wrong)).toContain(`${name}:`);
    expect(mistakes(wrong)).not.toContain('canary');
  });

  it('let balancers learn of the end in production, and readiness say so in development', () => {
    expect(loadConfig({}).SHUTDOWN_DRAIN_SECONDS).toBe(1);
    expect(loadConfig({ SHUTDOWN_DRAIN_SECONDS: '7' }).SHUTDOWN_DRAIN_SECONDS).toBe(7);
    const mail = { EMAIL_PROVIDER: 'smtp', SMTP_HOST: 'mail.internal', EMAILS_FROM_EMAIL: 'auth@example.com', SMS_MFA: 'false' };
    expect(loadConfig({ ...completeProduction, ...mail }).SHUTDOWN_DRAIN_SECONDS).toBe(5);
  });

  it('need nothing in development, and have the defaults of the contract', () => {
    const config = loadConfig({});
    for (const [name, value] of Object.entries(DEFAULTS)) expect(config[name as keyof Config], name).toEqual(value);
    expect(config).toMatchObject({
      ISSUER: 'http://localhost:3000',
      FRONTEND_URL: 'http://localhost:3000',
      isProduction: false,
    });
    expect(config.policy).toMatchObject({
      passwords: { minLength: 8, requireUppercase: false, requireNumbers: false, requireSpecialChars: false },
      lockout: { maxAttempts: 5, lockSeconds: 1800 },
      lifetimes: {
        accessTokenSeconds: 900,
        refreshReuseGraceSeconds: 10,
        sessions: {
          bearer: { idleSeconds: 604_800, absoluteSeconds: 2_592_000 },
          cookie: { idleSeconds: 3600, absoluteSeconds: 86_400 },
        },
      },
      sessions: { most: 0 },
      secondFactors: { stepUpMaxAgeSeconds: 600 },
      providers: { allowed: ['native'] },
      revealRegistrationConflicts: false,
    });
    expect(config.rateLimits).toEqual({
      global: { capacity: 5000, windowSeconds: 1 },
      'per-ip': { capacity: 50, windowSeconds: 60 },
      'per-user': { capacity: 10, windowSeconds: 60 },
      login: { capacity: 5, windowSeconds: 60 },
      register: { capacity: 3, windowSeconds: 60 },
      'password-reset': { capacity: 3, windowSeconds: 3600 },
      mfa: { capacity: 10, windowSeconds: 60 },
      'sms-number': { capacity: 5, windowSeconds: 3600 },
      'sms-prefix': { capacity: 50, windowSeconds: 3600 },
      'sms-total': { capacity: 1000, windowSeconds: 86_400 },
    });
  });

  it('take several nodes of Redis only as a cluster, and no other URL among them', () => {
    const nodes = 'rediss://:redis-password@a:6379, rediss://:redis-password@b:6379';
    expect(loadConfig({ REDIS_URL: nodes, REDIS_CLUSTER: 'true' }).REDIS_URL?.reveal()).toBe(nodes);
    expect(mistakes({ REDIS_URL: nodes })).toContain('REDIS_URL: several nodes need REDIS_CLUSTER=true');
    const wrong = mistakes({ REDIS_URL: `${nodes},http://:redis-password@c`, REDIS_CLUSTER: 'true' });
    expect(wrong).toContain('REDIS_URL: give a URL that begins with redis:// or rediss://');
    expect(wrong).not.toContain('redis-password');
  });

  it('name every mistake at once', () => {
    const wrong = {
      PORT: '99999',
      LOG_LEVEL: 'loud',
      ISSUER: 'https://auth.example.com/path',
      TRUST_PROXY: 'everyone',
      RATE_LIMIT_LOGIN: 'five a minute',
      MIN_PASSWORD_LENGTH: '7',
      REQUIRE_NUMBERS: 'yes',
      DATABASE_URL: 'mysql://localhost/x',
      SECRET_KEY: 'short',
      SECURITY_PROFILE: 'paranoid',
      ARGON2_MEMORY_KIB: '1',
    };
    const message = mistakes(wrong);
    for (const name of Object.keys(wrong)) expect(message).toContain(`  - ${name}: `);
    expect(message.split('\n')).toHaveLength(1 + Object.keys(wrong).length);
  });

  it('take SMS by SNS with a bounded price, and no codes in clear text in production', () => {
    const config = loadConfig({ SMS_PROVIDER: 'sns', SMS_SENDER_ID: 'ACME1', SMS_MAX_PRICE: '0.0581', SMS_MAX_PER_DAY: '20' });
    expect(config).toMatchObject({ SMS_SENDER_ID: 'ACME1', SMS_MAX_PRICE: 0.0581, policy: { secondFactors: { smsPerDay: 20 } } });
    expect(loadConfig({})).toMatchObject({ SMS_MAX_PRICE: 0.5, policy: { secondFactors: { smsPerDay: 1000 } } });
    const wrong: Record<string, string[]> = {
      SMS_SENDER_ID: ['12345', 'AB', 'TWELVELETTER', 'A CME', 'ACMÉ'],
      SMS_ORIGINATION_NUMBER: ['acme', '+1', '0151 234'],
      SMS_MAX_PRICE: ['0', '0.00', '-1', '1e3', '100', 'free'],
      SMS_MAX_PER_DAY: ['0', '1.5', '100000000'],
    };
    for (const [name, values] of Object.entries(wrong))
      for (const value of values) expect(mistakes({ [name]: value }), value).toContain(name);
    const production = { NODE_ENV: 'production', SMS_PROVIDER: 'sns' };
    expect(mistakes({ ...production, AWS_ENDPOINT_URL: 'http://sns.example.com' })).toContain(
      'AWS_ENDPOINT_URL: production sends no codes',
    );
    expect(mistakes({ ...production, AWS_ENDPOINT_URL: 'https://sns.example.com' })).not.toContain('AWS_ENDPOINT_URL');
    expect(mistakes(production)).not.toMatch(/AWS_|SMS_/);
  });

  it('refuse numbers that are none, too big or negative', () => {
    for (const value of ['-1', '1e3', '0x10', ' 15', '15 ', '1.5', '15m', '99999999999']) {
      expect(mistakes({ ACCESS_TOKEN_EXPIRE_MINUTES: value }), value).toContain('ACCESS_TOKEN_EXPIRE_MINUTES');
    }
  });

  it('[V15.3.4] trust proxies by address only, never all of them', () => {
    for (const value of ['true', '1', '*', 'proxy.internal']) expect(mistakes({ TRUST_PROXY: value }), value).toContain('TRUST_PROXY');
    expect(loadConfig({ TRUST_PROXY: '10.0.0.0/8, fd00::/8,127.0.0.1' }).TRUST_PROXY).toEqual(['10.0.0.0/8', 'fd00::/8', '127.0.0.1']);
  });

  it('take an empty value for one that is not given', () => {
    const config = loadConfig({ PORT: '', DATABASE_URL: '' });
    expect(config.PORT).toBe(3000);
    expect(config.DATABASE_URL).toBeUndefined();
  });

  it('cannot be changed afterwards', () => {
    const config = loadConfig({});
    expect(() => Object.assign(config, { PORT: 1 })).toThrow(TypeError);
  });
});

describe('docs/limits.md', () => {
  it('[V6.1.1] names every limit with its default, and what locks', () => {
    const page = readFileSync('docs/limits.md', 'utf8');
    const limits = Object.entries(SETTINGS).filter(([name]) => name.startsWith('RATE_LIMIT_') && name !== 'RATE_LIMIT_PREFIX');
    expect(limits.length).toBeGreaterThan(9);
    for (const [name, setting] of limits) expect(page).toContain(`| \`${name}\` | ${'default' in setting ? setting.default : ''} |`);
    for (const name of ['MAX_LOGIN_ATTEMPTS', 'LOCKOUT_DURATION_MINUTES', 'TRUST_PROXY']) expect(page).toContain(`\`${name}\``);
  });
});

describe('NAME_FILE', () => {
  it('gives the value of NAME, without the line break at its end', () => {
    const config = loadConfig({ SECRET_KEY_FILE: file('secret', `${SECRET}\n`), PORT_FILE: file('port', '8080\r\n') });
    expect(config.SECRET_KEY?.reveal()).toBe(SECRET);
    expect(config.PORT).toBe(8080);
  });

  it('works for every setting that there is', () => {
    for (const name of Object.keys(SETTINGS)) {
      const missing = path.join(folder, 'nowhere');
      expect(mistakes({ [`${name}_FILE`]: missing })).toContain(`${name}_FILE: the file ${missing} cannot be read`);
    }
  });

  it('is refused beside NAME', () => {
    expect(mistakes({ PORT: '1', PORT_FILE: file('port', '2') })).toContain('PORT and PORT_FILE are both set');
  });
});

describe('production', () => {
  it('[V15.2.3] refuses each default of development by name, all in one message', () => {
    const message = mistakes({ NODE_ENV: 'production', KEYS_DIR: '/nowhere' });
    for (const name of [
      'ISSUER',
      'FRONTEND_URL',
      'DATABASE_URL',
      'REDIS_URL',
      'SECRET_KEY',
      'FERNET_KEY',
      'KEYS_DIR',
      'EMAIL_PROVIDER',
      'SMS_PROVIDER',
    ]) {
      expect(message).toContain(`  - ${name}: `);
    }
  });

  it('refuses an issuer and a front end without https', () => {
    const message = mistakes({ ...completeProduction, ISSUER: 'http://auth.example.com', FRONTEND_URL: 'http://app.example.com' });
    expect(message).toContain('ISSUER: production needs https');
    expect(message).toContain('FRONTEND_URL: production needs https');
  });

  it('asks for nothing more than what is named, so that each mistake can be put right', () => {
    expect(mistakes(completeProduction).split('\n').slice(1)).toEqual([
      expect.stringContaining('EMAIL_PROVIDER'),
      expect.stringContaining('SMS_PROVIDER'),
    ]);
  });
});

describe('a mail provider', () => {
  const smtp = { EMAIL_PROVIDER: 'smtp', SMTP_HOST: 'mail.example.com', EMAILS_FROM_EMAIL: 'no-reply@example.com' };

  it('names at once all that it needs and does not have', () => {
    const needs = (environment: Environment) =>
      mistakes(environment)
        .split('\n')
        .slice(1)
        .map((line) => /- (\w+):/.exec(line)?.[1]);
    expect(needs({ EMAIL_PROVIDER: 'smtp', SMTP_USER: 'acme', SMTP_PORT: '0' })).toEqual([
      'SMTP_PORT',
      'SMTP_HOST',
      'EMAILS_FROM_EMAIL',
      'SMTP_USER',
    ]);
    expect(needs({ EMAIL_PROVIDER: 'sendgrid' })).toEqual(['SENDGRID_API_KEY', 'EMAILS_FROM_EMAIL']);
    expect(needs({ EMAIL_PROVIDER: 'pigeon' })).toEqual(['EMAIL_PROVIDER']);
    expect(mistakes(smtp)).toBe('');
  });

  it('[V12.3.1] is spoken to with TLS unless that is switched off, and in production never with a password in clear', () => {
    expect(loadConfig(smtp).SMTP_TLS).toBe('on');
    for (const [given, meant] of Object.entries({ on: 'on', implicit: 'implicit', off: 'off', True: 'on', false: 'off' })) {
      expect(loadConfig({ ...smtp, SMTP_TLS: given }).SMTP_TLS).toBe(meant);
    }
    expect(mistakes({ ...smtp, SMTP_TLS: 'maybe' })).toContain('SMTP_TLS: give on, implicit or off');
    const inClear = { ...smtp, NODE_ENV: 'production', SMTP_TLS: 'off', SENDGRID_URL: 'http://sendgrid.internal' };
    expect(mistakes(inClear)).not.toContain('SMTP_TLS');
    expect(mistakes(inClear)).toContain('SENDGRID_URL: production needs https');
    expect(mistakes({ ...smtp, SMTP_TLS: 'off', SECURITY_PROFILE: 'strict' })).toContain('SMTP_TLS: SECURITY_PROFILE=strict needs it on');
    expect(mistakes({ ...inClear, SMTP_USER: 'a', SMTP_PASSWORD: 'b' })).toContain('SMTP_TLS: production sends no password in clear text');
  });

  it('can be one that a certificate of our own vouches for, from a file', () => {
    const pem = `-----BEGIN CERTIFICATE-----\n${'A'.repeat(200_000)}\n-----END CERTIFICATE-----\n`;
    expect(loadConfig({ ...smtp, SMTP_CA_FILE: file('ca', pem) }).SMTP_CA).toBe(pem.trimEnd());
    expect(mistakes({ ...smtp, SMTP_CA: '/etc/ssl/ca.pem' })).toContain('SMTP_CA: give certificates as PEM');
  });

  it('leaves no development mailbox where everything is sent, and none in production', () => {
    expect(loadConfig({}).hasMailbox).toBe(true);
    expect(loadConfig(smtp).hasMailbox).toBe(true); // SMS are still kept
    const production = loadConfig({ ...completeProduction, ...smtp, SMS_MFA: 'false' });
    expect(production.hasMailbox).toBe(false);
  });

  it('[V1.2.1] gives mails a colour, a name and a link that can be nothing else', () => {
    for (const color of ['red', '#fff', '#12345g', '#123456;background:url(x)', '#1234567']) {
      expect(mistakes({ EMAILS_COLOR: color }), color).toContain('EMAILS_COLOR');
    }
    for (const link of ['http://help.example.com', 'javascript:alert(1)', 'data:text/html,x', 'help', 'https://a.example/\nBcc:x']) {
      expect(mistakes({ EMAILS_SUPPORT_URL: link }), link).toContain('EMAILS_SUPPORT_URL');
    }
    for (const name of ['two\nlines', 'two\u2028lines', 'a\0b']) {
      expect(mistakes({ EMAILS_FROM_NAME: name, PRODUCT_NAME: name }).split('\n')).toHaveLength(3);
    }
    for (const from of ['nobody', 'a@b', 'a@example.com, b@example.com', 'A <a@example.com>']) {
      expect(mistakes({ EMAILS_FROM_EMAIL: from }), from).toContain('EMAILS_FROM_EMAIL');
    }
    const { policy } = loadConfig({ EMAILS_COLOR: '#AA0000', EMAILS_SUPPORT_URL: 'mailto:help@example.com' });
    expect(policy.brand).toEqual({ color: '#AA0000', supportUrl: 'mailto:help@example.com' });
  });
});

describe('tokens of a replaced service', () => {
  const secretOf = { LEGACY_HS256_SECRET: 'the HS256 secret of the old service, long enough' };
  const soon = new Date(Date.now() + 86_400_000).toISOString();

  it('count for a while only, and from whom and until when must be said', () => {
    expect(mistakes(secretOf)).toContain('LEGACY_TOKENS_UNTIL: tokens of another service count for a while only');
    expect(mistakes({ ...secretOf, LEGACY_TOKENS_UNTIL: soon })).toBe('');
    expect(mistakes({ LEGACY_TOKENS_UNTIL: soon })).toContain('give LEGACY_JWKS_URL or LEGACY_HS256_SECRET too');
    expect(mistakes({ LEGACY_JWKS_URL: 'https://old.example.com/jwks', LEGACY_TOKENS_UNTIL: soon })).toContain('LEGACY_ISSUER');
    expect(mistakes({ ...secretOf, LEGACY_TOKENS_UNTIL: '2099-01-01' })).toContain('LEGACY_TOKENS_UNTIL: at most 180 days from now');
    for (const wrong of ['soon', '2026-13-01', '31.12.2026', '2026-12-31T10:00:00'])
      expect(mistakes({ ...secretOf, LEGACY_TOKENS_UNTIL: wrong }), wrong).toContain('LEGACY_TOKENS_UNTIL: give a day or a time');
    expect(mistakes({ LEGACY_HS256_SECRET: 'changeme', LEGACY_TOKENS_UNTIL: soon })).toContain('fewer than 32 characters');
    const plain = { ...completeProduction, LEGACY_JWKS_URL: 'http://old.internal/jwks', LEGACY_ISSUER: 'x', LEGACY_TOKENS_UNTIL: soon };
    expect(mistakes(plain)).toContain('LEGACY_JWKS_URL: production needs https');
  });

  it('count to the end of a day that is given', () => {
    const config = loadConfig({ ...secretOf, LEGACY_TOKENS_UNTIL: '2026-01-31' });
    expect(config.LEGACY_TOKENS_UNTIL?.toISOString()).toBe('2026-02-01T00:00:00.000Z');
    expect(JSON.stringify(config)).not.toContain('old service');
  });

  it('are told from its other tokens by a claim', () => {
    const claim = (given: string) => loadConfig({ LEGACY_ACCESS_CLAIM: given }).LEGACY_ACCESS_CLAIM;
    expect(loadConfig({}).LEGACY_ACCESS_CLAIM).toEqual({ name: 'type', value: 'access' });
    expect(claim('token_use=access')).toEqual({ name: 'token_use', value: 'access' });
    expect(claim('none')).toBeNull();
    for (const wrong of ['access', '=access', 'type=', 'type = access'])
      expect(mistakes({ LEGACY_ACCESS_CLAIM: wrong })).toContain('name=value');
  });

  it('name their user by an id, or by the number that it was made of, where there are such tokens', () => {
    const window = { ...secretOf, LEGACY_TOKENS_UNTIL: soon };
    expect(loadConfig({}).LEGACY_SUBJECT).toBe('uuid');
    expect(loadConfig({ ...window, LEGACY_SUBJECT: 'integer' }).LEGACY_SUBJECT).toBe('integer');
    for (const wrong of ['number', 'Integer', '42']) expect(mistakes({ ...window, LEGACY_SUBJECT: wrong })).toContain('LEGACY_SUBJECT');
    expect(mistakes({ LEGACY_SUBJECT: 'integer' })).toContain('LEGACY_SUBJECT: it says what tokens of another service say');
  });
});

describe('a secret', () => {
  const values = [SECRET, 'db-password', 'redis-password', 'BEGIN PRIVATE KEY', 'smtp-password', 'SG.api-key'];
  const given = {
    SECRET_KEY: SECRET,
    DATABASE_URL: DATABASE,
    REDIS_URL: 'redis://:redis-password@localhost',
    JWT_PRIVATE_KEY: '-----BEGIN PRIVATE KEY-----',
    SMTP_USER: 'acme',
    SMTP_PASSWORD: 'smtp-password',
    SENDGRID_API_KEY: 'SG.api-key',
  };

  it('[V16.2.5] is shown by nothing that prints the settings', () => {
    const config: Config = loadConfig(given);
    const lines: string[] = [];
    pino({}, { write: (line: string) => void lines.push(line) }).info({ config, key: config.SECRET_KEY });
    const shown = [
      inspect(config, { depth: 9, showHidden: true }),
      JSON.stringify(config),
      format('%s %o %j', config, config, config),
      `${config.SECRET_KEY} ${String(config.DATABASE_URL)}`,
      String(Object.values(config)),
      lines.join(''),
    ];
    for (const text of shown) for (const value of values) expect(text).not.toContain(value);
    expect(config.SECRET_KEY?.reveal()).toBe(SECRET);
    expect(JSON.stringify(config)).toContain('[redacted]');
  });

  it('[V16.2.5] is not in the message when it is wrong', () => {
    const message = mistakes({
      SECRET_KEY: 'too-short-a-secret',
      DATABASE_URL: 'http://u:db-password@h',
      REDIS_URL: 'nonsense redis-password',
    });
    for (const value of ['too-short-a-secret', ...values]) expect(message).not.toContain(value);
  });
});

describe('Cognito', () => {
  const pool = { COGNITO_USER_POOL_ID: 'eu-central-1_Ab1Cd2Ef3', COGNITO_CLIENT_ID: 'client' };

  it('needs its pool and client where somebody signs in by it, and nothing where nobody does', () => {
    for (const asked of [{ AUTH_PROVIDER: 'both' }, { AUTH_PROVIDER: 'cognito' }, { COGNITO_MIGRATE: 'true' }]) {
      expect(mistakes(asked)).toMatch(/COGNITO_USER_POOL_ID: .* needs it\n.*COGNITO_CLIENT_ID: .* needs it$/);
      expect(loadConfig({ ...asked, ...pool }).cognito).toMatchObject({ userPoolId: 'eu-central-1_Ab1Cd2Ef3', endpoint: null });
    }
    expect(loadConfig(pool).cognito).toBeNull();
    expect(mistakes({ ...pool, COGNITO_USER_POOL_ID: 'https://example.com' })).toContain('COGNITO_USER_POOL_ID');
  });

  it('is asked at AWS_ENDPOINT_URL too, and never in clear text in production', () => {
    const asked = { AUTH_PROVIDER: 'both', ...pool, AWS_ENDPOINT_URL: 'http://127.0.0.1:4566/' };
    expect(loadConfig(asked).cognito?.endpoint).toBe('http://127.0.0.1:4566');
    expect(loadConfig({ ...asked, COGNITO_ENDPOINT: 'http://127.0.0.1:9229' }).cognito?.endpoint).toBe('http://127.0.0.1:9229');
    expect(mistakes({ ...completeProduction, ...asked })).toContain('COGNITO_ENDPOINT: production');
  });

  it('lets clients ask for what AUTH_PROVIDER names, the first by default', () => {
    const allowed = (AUTH_PROVIDER: string) => loadConfig({ AUTH_PROVIDER, ...pool }).policy.providers.allowed;
    expect([allowed('native'), allowed('cognito'), allowed('both')]).toEqual([['native'], ['cognito'], ['native', 'cognito']]);
  });
});

describe('SECURITY_PROFILE=strict', () => {
  it('makes the defaults harder', () => {
    const { policy, JWT_ALGORITHM } = loadConfig({ SECURITY_PROFILE: 'strict' });
    expect(JWT_ALGORITHM).toBe('ES256');
    expect(policy.passwords.minLength).toBe(15);
    expect(policy.lifetimes).toMatchObject({ accessTokenSeconds: 300, refreshReuseGraceSeconds: 0 });
  });

  it('leaves each of them to be set alone', () => {
    const { policy } = loadConfig({ SECURITY_PROFILE: 'strict', MIN_PASSWORD_LENGTH: '12' });
    expect(policy.passwords.minLength).toBe(12);
    expect(policy.lifetimes.accessTokenSeconds).toBe(300);
  });

  it('can come from a file as well', () => {
    expect(loadConfig({ SECURITY_PROFILE_FILE: file('profile', 'strict') }).policy.passwords.minLength).toBe(15);
  });
});
