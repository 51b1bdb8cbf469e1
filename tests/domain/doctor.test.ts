import { globSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type AuditFacts, type DatabaseFacts, judgeAudit, judgeDatabase, judgeOutbox, type OutboxFacts } from '#domain/doctor-database.ts';
import { judgeKeys, judgeSealed, type KeyFacts, type SealedFacts } from '#domain/doctor-keys.ts';
import { judgeOrigins } from '#domain/doctor-origins.ts';
import { judgeProxy, type SeenAddresses } from '#domain/doctor-proxy.ts';
import { judgeRedis, type RedisFacts } from '#domain/doctor-redis.ts';
import { judgeSettings, type Settings } from '#domain/doctor-settings.ts';
import { FINDINGS, type Finding, type FindingId, found } from '#domain/findings.ts';
import { judgeProfile, STRICT_RULES, type StrictSettings } from '#domain/strict-profile.ts';
import { SETTINGS } from '#src/settings.ts';

/** Each finding both ways: sound facts give none, and one change gives this one and no other. */

const NOW = new Date('2026-11-21T12:00:00Z');
const daysAgo = (days: number) => new Date(NOW.getTime() - days * 86_400_000);
const idsOf = (findings: Finding[]) => findings.map(({ id }) => id);
const judged = new Set<FindingId>();

/** Rows of facts that differ from sound ones, and what is found then. */
function table<Facts>(judge: (facts: Facts) => Finding[], sound: Facts, rows: [title: string, change: Partial<Facts>, ids: FindingId[]][]) {
  it('finds nothing where nothing is wrong', () => expect(judge(sound)).toEqual([]));
  for (const [, , ids] of rows) for (const id of ids) judged.add(id);
  it.each(rows)('%s', (_, change, ids) => expect(idsOf(judge({ ...sound, ...change }))).toEqual(ids));
}

describe('settings that contradict each other', () => {
  const sound: Settings & { given: string[]; characters: number | null } = {
    PORT: 3000,
    METRICS_PORT: 9464,
    HOST: '0.0.0.0',
    ISSUER: 'https://auth.example.com',
    ALLOWED_HOSTS: ['AUTH.example.com'],
    REDIS_CLUSTER: false,
    REDIS_OPTIONAL: false,
    EMAIL_PROVIDER: 'smtp',
    SMTP_PORT: 587,
    SMTP_TLS: 'on',
    SMS_PROVIDER: 'mailbox',
    SMS_MFA: true,
    AWS_SSM_ENABLED: false,
    AUTH_PROVIDER: 'native',
    COGNITO_MIGRATE: false,
    SMS_DEFAULT_COUNTRY: 'DE',
    SMS_COUNTRIES: ['DE', 'AT'],
    SESSION_IDLE_TIMEOUT_MINUTES: 60,
    SESSION_ABSOLUTE_TIMEOUT_HOURS: 24,
    REFRESH_TOKEN_EXPIRE_DAYS: 7,
    REFRESH_TOKEN_ABSOLUTE_DAYS: 30,
    ROLE: 'all',
    hasMailbox: false,
    given: ['SMTP_HOST', 'SMTP_USER', 'REDIS_URL', 'REDIS_CA', 'KEYS_DIR', 'SMS_COUNTRIES', 'AUDIT_STDOUT'],
    characters: 40,
  };
  table(({ given, characters, ...settings }) => judgeSettings(settings, new Set(given), characters), sound, [
    ['the host of ISSUER is not served', { ALLOWED_HOSTS: ['example.com'] }, ['host-not-allowed']],
    ['metrics want the port of the service', { METRICS_PORT: 3000 }, ['metrics-port-taken']],
    ['any two free ports are two', { METRICS_PORT: 0, PORT: 0 }, []],
    ['a cookie session idles for longer than it lives', { SESSION_IDLE_TIMEOUT_MINUTES: 1441 }, ['lifetimes-contradict']],
    ['a bearer session idles for longer than it lives', { REFRESH_TOKEN_EXPIRE_DAYS: 31 }, ['lifetimes-contradict']],
    ['implicit TLS at the port of STARTTLS', { SMTP_TLS: 'implicit' }, ['smtp-port-and-tls']],
    ['no TLS at the port of TLS', { SMTP_PORT: 465, SMTP_TLS: 'off' }, ['smtp-port-and-tls']],
    ['implicit TLS at its port', { SMTP_PORT: 465, SMTP_TLS: 'implicit' }, []],
    ['national numbers of a country that gets no codes', { SMS_COUNTRIES: ['AT'] }, ['sms-country-shut']],
    ['every country gets codes', { SMS_COUNTRIES: [] }, []],
    ['the mailbox of development under a public name', { hasMailbox: true }, ['mailbox-exposed']],
    ['a secret of few characters', { characters: 3 }, ['secret-guessable']],
    ['no secret: that is for production to refuse', { characters: null }, []],
    ['a mail server, and another provider', { EMAIL_PROVIDER: 'sendgrid' }, ['settings-unused', 'settings-unused']],
    ['a key of SendGrid, and another provider', { given: ['REDIS_URL', 'SENDGRID_API_KEY'] }, ['settings-unused']],
    ['a cluster of no Redis', { given: ['REDIS_CLUSTER'], REDIS_CLUSTER: true }, ['settings-unused']],
    ['a Redis that may be away, and none', { given: ['REDIS_OPTIONAL'], REDIS_OPTIONAL: true }, ['settings-unused']],
    ['no cluster of no Redis', { given: ['REDIS_CLUSTER'] }, []],
    ['two places for signing keys', { given: ['REDIS_URL', 'JWT_PRIVATE_KEY', 'KEYS_DIR'] }, ['settings-unused']],
    ['a public key alone', { given: ['REDIS_URL', 'JWT_PUBLIC_KEY'] }, ['settings-unused']],
    ['countries, and no SMS', { SMS_MFA: false }, ['settings-unused']],
    ['limits of SMS, and no SMS', { given: ['REDIS_URL', 'RATE_LIMIT_SMS_TOTAL'], SMS_MFA: false }, ['settings-unused']],
    [
      'the issuer of old tokens, and no key of theirs',
      { given: ['REDIS_URL', 'LEGACY_ISSUER', 'LEGACY_SUBJECT'] },
      ['settings-unused', 'settings-unused'],
    ],
    ['the issuer of old tokens, and their secret', { given: ['REDIS_URL', 'LEGACY_ISSUER', 'LEGACY_HS256_SECRET'] }, []],
    ['a share of traces, and nowhere to send them', { given: ['REDIS_URL', 'OTEL_TRACES_SAMPLER_ARG'] }, ['settings-unused']],
    ['a sender id, and no SNS', { given: ['SMS_SENDER_ID'] }, ['settings-unused']],
    ['a public key beside a private one from SSM', { given: ['JWT_PUBLIC_KEY'], AWS_SSM_ENABLED: true }, []],
    ['a user pool, and nobody who signs in by it', { given: ['REDIS_URL', 'COGNITO_USER_POOL_ID'] }, ['settings-unused']],
    ['a user pool that passwords move from', { given: ['REDIS_URL', 'COGNITO_USER_POOL_ID'], COGNITO_MIGRATE: true }, []],
    ['printed events, and no worker to print them', { ROLE: 'web' }, ['settings-unused']],
  ]);
  it('has nothing against the mailbox on this machine', () => {
    const { given, characters, ...settings } = {
      ...sound,
      hasMailbox: true,
      ISSUER: 'http://localhost:3000',
      ALLOWED_HOSTS: ['localhost'],
    };
    expect(judgeSettings(settings, new Set(given), characters)).toEqual([]);
  });
});

describe('[V15.3.4] a half-set proxy', () => {
  type Facts = { HOST: string; ISSUER: string; TRUST_PROXY: string[]; seen: SeenAddresses };
  const sound: Facts = {
    HOST: '0.0.0.0',
    ISSUER: 'https://auth.example.com',
    TRUST_PROXY: ['10.0.3.0/24'],
    seen: [
      { ip: '192.0.2.7', accounts: 300 }, // a company behind one address
      { ip: '10.0.5.6', accounts: 4 },
    ],
  };
  table(({ seen, ...settings }) => judgeProxy(settings, seen), sound, [
    ['nobody said which it is', { TRUST_PROXY: [] }, ['proxy-unnamed']],
    ['none is needed for a trial on this machine', { TRUST_PROXY: [], ISSUER: 'https://localhost:3000' }, []],
    ['none is needed without TLS', { TRUST_PROXY: [], ISSUER: 'http://auth.internal:3000' }, []],
    ['everybody is trusted', { TRUST_PROXY: ['0.0.0.0/0'] }, ['proxy-trusts-everybody']],
    ['everybody is trusted by halves', { TRUST_PROXY: ['0.0.0.0/1', '128.0.0.0/1'] }, ['proxy-trusts-everybody', 'proxy-trusts-everybody']],
    ['everybody with IPv6 is trusted', { TRUST_PROXY: ['10.0.3.0/24', '::/0'] }, ['proxy-trusts-everybody']],
    ['a private network is not everybody', { TRUST_PROXY: ['10.0.0.0/8', 'fc00::/7'] }, []],
    ['it cannot connect', { HOST: '127.0.0.1' }, ['proxy-out-of-reach']],
    ['it connects over this machine', { HOST: '127.0.0.1', TRUST_PROXY: ['127.0.0.0/8'] }, []],
    ['others connect past it', { TRUST_PROXY: ['127.0.0.1', '::1'] }, ['proxy-passed-by']],
    ['it was seen, and nobody named it', { seen: [{ ip: '10.0.4.9', accounts: 5 }] }, ['proxy-seen']],
    ['it was seen over IPv6, and nobody named it', { seen: [{ ip: 'fd00::9', accounts: 50 }] }, ['proxy-seen']],
    ['it does not say for whom it asks', { seen: [{ ip: '10.0.3.9', accounts: 5 }] }, ['proxy-silent']],
    ['it does not say for whom it asks, as IPv4 in IPv6', { seen: [{ ip: '::ffff:10.0.3.9', accounts: 5 }] }, ['proxy-silent']],
    ['nobody signed in yet', { seen: [] }, []],
    ['nobody knows', { seen: null }, []],
  ]);
  it('is told which address to add', () => {
    const [finding] = judgeProxy({ ...sound, TRUST_PROXY: ['10.0.3.4'] }, [{ ip: '10.0.4.9', accounts: 12 }]);
    expect(finding).toMatchObject({
      what: 'The newest sign-ins of 12 accounts came from 10.0.4.9.',
      todo: 'Set TRUST_PROXY=10.0.3.4,10.0.4.9.',
    });
  });
});

describe('where cookies and passkeys arrive', () => {
  const sound = {
    ISSUER: 'https://auth.example.com',
    FRONTEND_URL: 'https://app.example.com',
    CORS_ORIGINS: ['https://app.example.com', 'https://admin.example.com'],
    WEBAUTHN_ORIGINS: ['https://app.example.com'],
    WEBAUTHN_RP_ID: 'example.com',
    isProduction: true,
  };
  const domainOf = (host: string) => /(?:^|\.)((?:example|other)\.com|[a-z]+\.pages\.dev)$/.exec(host)?.[1] ?? null;
  const local = { ISSUER: 'http://localhost:3000', FRONTEND_URL: 'http://localhost:3000', CORS_ORIGINS: [], WEBAUTHN_RP_ID: 'localhost' };
  table((facts) => judgeOrigins(facts, domainOf), sound, [
    ['all on this machine, in development', { ...local, WEBAUTHN_ORIGINS: [], isProduction: false }, []],
    ['a trial on this machine, in production', { ...local, WEBAUTHN_ORIGINS: [] }, ['issuer-local']],
    [
      'plain http, by a name',
      { ISSUER: 'http://auth.example.com', FRONTEND_URL: 'http://auth.example.com', CORS_ORIGINS: [] },
      ['origin-plain-http'],
    ],
    [
      'plain http beside https is another site',
      { CORS_ORIGINS: [...sound.CORS_ORIGINS, 'http://old.example.com'] },
      ['origin-plain-http', 'cookies-cross-site'],
    ],
    [
      'plain http to another machine, in development',
      {
        ISSUER: 'http://box.lan:3000',
        FRONTEND_URL: 'http://box.lan:3000',
        CORS_ORIGINS: [],
        WEBAUTHN_RP_ID: 'box.lan',
        isProduction: false,
      },
      ['cookies-need-https'],
    ],
    ['a page of another site', { CORS_ORIGINS: [...sound.CORS_ORIGINS, 'https://other.com'] }, ['cookies-cross-site']],
    [
      'neighbours under a name of which strangers have parts',
      {
        ISSUER: 'https://a.pages.dev',
        FRONTEND_URL: 'https://b.pages.dev',
        CORS_ORIGINS: ['https://b.pages.dev'],
        WEBAUTHN_RP_ID: 'b.pages.dev',
      },
      ['cookies-cross-site'],
    ],
    ['a front end that may not call', { CORS_ORIGINS: [] }, ['frontend-not-allowed']],
    ['passkeys of a neighbour', { WEBAUTHN_RP_ID: 'auth.example.com' }, ['passkeys-elsewhere']],
    [
      'passkeys of a name of which strangers have parts',
      { ISSUER: 'https://b.pages.dev', FRONTEND_URL: 'https://b.pages.dev', CORS_ORIGINS: [], WEBAUTHN_RP_ID: 'pages.dev' },
      ['passkeys-no-domain'],
    ],
    [
      'passkeys of an address',
      { ISSUER: 'https://192.0.2.1', FRONTEND_URL: 'https://192.0.2.1', CORS_ORIGINS: [], WEBAUTHN_RP_ID: '192.0.2.1' },
      ['passkeys-no-domain'],
    ],
    [
      'a host without a dot may use itself',
      { ISSUER: 'https://auth', FRONTEND_URL: 'https://auth', CORS_ORIGINS: [], WEBAUTHN_RP_ID: 'auth' },
      [],
    ],
  ]);
});

describe('signing keys', () => {
  const ring: NonNullable<KeyFacts['ring']> = {
    current: { kid: 'one', alg: 'RS256', signsSince: daysAgo(365) },
    next: { kid: 'two' },
    previous: [{ kid: 'zero', retireAt: new Date(NOW.getTime() + 1) }],
  };
  const sound: KeyFacts = { place: '/keys', fault: null, isOpen: false, ring, isFolder: true };
  table((facts) => judgeKeys(facts, 'RS256', NOW), sound, [
    ['there are none: the start makes them, or production refuses', { ring: null }, []],
    ['cannot be read', { fault: 'Others can read /keys/one.pem.', ring: null }, ['keys-unusable']],
    ['can be replaced by others', { isOpen: true }, ['keys-folder-open']],
    ['have no next one', { ring: { ...ring, next: null } }, ['key-next-missing']],
    ['have no next one in a setting', { isFolder: false, ring: { ...ring, next: null } }, []],
    ['sign for more than a year', { ring: { ...ring, current: { ...ring.current, signsSince: daysAgo(366) } } }, ['key-old']],
    ['sign since nobody knows when', { ring: { ...ring, current: { ...ring.current, signsSince: null } } }, []],
    ['keep one that nobody needs', { ring: { ...ring, previous: [{ kid: 'zero', retireAt: NOW }] } }, ['key-expired']],
    ['are of another algorithm than the setting', { ring: { ...ring, current: { ...ring.current, alg: 'ES256' } } }, ['key-algorithm']],
  ]);
});

describe('stored secrets', () => {
  const sound: SealedFacts & { keys: number } = { seen: 1000, underOld: 0, lost: 0, isWhole: true, keys: 1 };
  table(({ keys, ...facts }) => judgeSealed(facts, keys), sound, [
    ['were left under an older key', { underOld: 1, keys: 2 }, ['secrets-under-old-keys']],
    ['open with no key', { lost: 1, keys: 2 }, ['secrets-lost']],
    ['do not need the older keys', { keys: 2 }, ['fernet-keys-can-go']],
    ['may need the older keys: not all were looked at', { keys: 2, isWhole: false }, []],
  ]);
});

describe('the database', () => {
  const sound: DatabaseFacts & { isEmbedded: boolean; isLocal: boolean; isProduction: boolean; poolSize: number } = {
    version: 180_001,
    encoding: 'UTF8',
    isReadOnly: false,
    isEncrypted: true,
    isSuperuser: false,
    connections: 97,
    aheadSeconds: -1.9,
    hasSchema: true,
    pending: [],
    unknown: [],
    changed: [],
    isEmbedded: false,
    isLocal: false,
    isProduction: true,
    poolSize: 10,
  };
  table(
    ({ isEmbedded, isLocal, isProduction, poolSize, ...facts }) => judgeDatabase(facts, { isEmbedded, isLocal, isProduction, poolSize }),
    sound,
    [
      ['is the oldest that is supported', { version: 140_000 }, []],
      ['is older', { version: 130_015 }, ['database-version']],
      ['is newer', { version: 190_000 }, ['database-version']],
      ['does not know all letters', { encoding: 'SQL_ASCII' }, ['database-encoding']],
      ['is a standby', { isReadOnly: true }, ['database-read-only']],
      ['is reached in clear', { isEncrypted: false }, ['database-in-clear']],
      ['is reached in clear on this machine', { isEncrypted: false, isLocal: true }, []],
      ['is reached in clear in development', { isEncrypted: false, isProduction: false }, []],
      ['is used by a superuser', { isSuperuser: true }, ['database-superuser']],
      ['is used by a superuser in development', { isSuperuser: true, isProduction: false }, []],
      ['gives fewer connections than one process may take', { poolSize: 98 }, ['database-few-connections']],
      ['is behind this version', { pending: ['0009_x'] }, ['migrations-pending']],
      ['is ahead of this version', { unknown: ['0010_y'] }, ['migrations-unknown']],
      ['is of another release', { changed: ['0000_initial'] }, ['migration-changed']],
      ['is a little late', { aheadSeconds: -2.1 }, ['clocks-differ']],
      ['is a little early', { aheadSeconds: 30 }, ['clocks-differ']],
      ['lives in another time', { aheadSeconds: 31 }, ['clocks-apart']],
    ],
  );
});

describe('the audit trail', () => {
  const sound: AuditFacts & { retentionDays: number; archive: string | null; isProduction: boolean } = {
    mayChange: false,
    months: ['2026-08', '2026-09', '2026-10', '2026-11', '2026-12', '2027-01'],
    usesDefault: false,
    unsealedSince: new Date(NOW.getTime() - 4 * 60_000),
    retentionDays: 90,
    archive: 'file:///archive',
    isProduction: true,
  };
  table(({ retentionDays, archive, isProduction, ...facts }) => judgeAudit(facts, { retentionDays, archive, isProduction }, NOW), sound, [
    ['can be changed by the service', { mayChange: true }, ['audit-changeable']],
    ['can be changed in development', { mayChange: true, isProduction: false }, []],
    ['lacks the month after next', { months: ['2026-11', '2026-12'] }, ['audit-months-missing']],
    ['lacks this month', { months: ['2026-12', '2027-01'] }, ['audit-months-missing']],
    ['holds events of no month', { usesDefault: true }, ['audit-default-used']],
    ['is not sealed', { unsealedSince: new Date(NOW.getTime() - 6 * 60_000) }, ['audit-unsealed']],
    ['is sealed to the end', { unsealedSince: null }, []],
    ['grows for ever', { archive: null, months: ['2026-07', ...sound.months] }, ['audit-archive-unset']],
    ['has nothing to archive yet', { archive: null }, []],
    ['is not archived in time', { months: ['2026-07', ...sound.months] }, ['audit-archive-late']],
    ['is being archived', { months: ['2026-08', ...sound.months.slice(1)], retentionDays: 80 }, []],
  ]);
});

describe('the outbox', () => {
  const sound: OutboxFacts = { waiting: 1000, oldestSeconds: 900, dead: 0, replayable: 0 };
  table(judgeOutbox, sound, [
    ['waits for long', { oldestSeconds: 901 }, ['outbox-waits']],
    ['has dead letters', { dead: 2, replayable: 1 }, ['outbox-dead']],
  ]);
});

describe('Redis', () => {
  const sound: RedisFacts & Parameters<typeof judgeRedis>[1] = {
    version: '7.2.4',
    isReplica: false,
    isCluster: false,
    clusterState: null,
    evicts: 'noeviction',
    maxBytes: 100,
    usedBytes: 90,
    isLocal: false,
    isEncrypted: true,
    hasPassword: true,
    isProduction: true,
    expectsCluster: false,
  };
  const cluster = { isCluster: true, clusterState: 'ok', expectsCluster: true };
  table(
    ({ isLocal, isEncrypted, hasPassword, isProduction, expectsCluster, ...facts }) =>
      judgeRedis(facts, { isLocal, isEncrypted, hasPassword, isProduction, expectsCluster }),
    sound,
    [
      ['is the oldest that is supported', { version: '6.2.0' }, []],
      ['is older', { version: '6.0.16' }, ['redis-version']],
      ['is much older', { version: '5.9.9' }, ['redis-version']],
      ['forgets counts when memory is short', { evicts: 'allkeys-lru' }, ['redis-evicts']],
      ['would forget, and has no limit', { evicts: 'allkeys-lru', maxBytes: 0, usedBytes: 1000 }, []],
      ['is full', { usedBytes: 91 }, ['redis-full']],
      ['is a replica', { isReplica: true }, ['redis-replica']],
      ['is a cluster, as was said', cluster, []],
      ['is a replica in a cluster', { ...cluster, isReplica: true }, []],
      ['is a cluster, and nobody said so', { ...cluster, expectsCluster: false }, ['redis-is-cluster']],
      ['is no cluster, although it was said', { expectsCluster: true }, ['redis-no-cluster']],
      ['is a cluster with holes', { ...cluster, clusterState: 'fail' }, ['redis-cluster-broken']],
      ['is reached in clear', { isEncrypted: false }, ['redis-in-clear']],
      ['is reached in clear on this machine', { isEncrypted: false, hasPassword: false, isLocal: true }, []],
      ['asks for no password', { hasPassword: false }, ['redis-no-password']],
      ['asks for no password in development', { hasPassword: false, isEncrypted: false, isProduction: false }, []],
    ],
  );
});

describe('the strict profile', () => {
  const strict = Object.fromEntries(
    Object.entries(SETTINGS).map(([name, setting]) => [
      name,
      'strict' in setting ? setting.strict : 'default' in setting ? setting.default : '',
    ]),
  ) as StrictSettings;
  const sound = { settings: strict, rsaBits: null as number | null, argon2Weakness: null as string | null, isStrict: false };
  table(({ settings, ...beyond }) => judgeProfile(settings, beyond), sound, [
    ['asks for long RSA keys', { rsaBits: 2048 }, ['strict-deviation']],
    ['is content with long RSA keys', { rsaBits: 3072 }, []],
    ['asks for a slow hash', { argon2Weakness: 'too little memory' }, ['strict-deviation']],
    ['warns where it is set and taken back', { settings: { ...strict, SMS_MFA: true }, isStrict: true }, ['strict-weakened']],
    ['is content with what is harder still', { settings: { ...strict, MIN_PASSWORD_LENGTH: 20, ACCESS_TOKEN_EXPIRE_MINUTES: 1 } }, []],
    ['takes other good algorithms', { settings: { ...strict, JWT_ALGORITHM: 'Ed25519' } }, []],
  ]);

  const hardened = Object.entries(SETTINGS).filter(([, setting]) => 'strict' in setting);
  it.each(hardened.map(([name, setting]) => [name, 'default' in setting ? setting.default : '']))(
    'has a requirement for %s, which the standard profile does not meet',
    (name, value) => {
      const findings = judgeProfile({ ...strict, [name]: value }, sound);
      expect(findings).toHaveLength(1);
      expect(findings[0]?.what).toContain(`${name}=${value}`);
    },
  );

  it('names requirements that there are', () => {
    const ids = new Set(
      readFileSync('docs/asvs.tsv', 'utf8')
        .split('\n')
        .map((line) => line.split('\t')[0]),
    );
    const named = Object.values(STRICT_RULES).map(({ requirement }) => requirement as string);
    expect(named.filter((id) => id.startsWith('V') && !ids.has(id))).toEqual([]);
  });

  it('judges every deviation of docs/asvs-deviations.tsv that a setting can end', () => {
    const rows = readFileSync('docs/asvs-deviations.tsv', 'utf8').trim().split('\n').slice(1);
    const bySetting = rows.filter((row) => /strict|--bits/.test(row)).map((row) => row.split('\t')[0] ?? '');
    const judgedIds = [...Object.values(STRICT_RULES).map(({ requirement }) => requirement as string), 'V11.2.3'];
    expect(bySetting.filter((id) => !judgedIds.includes(id))).toEqual([]);
  });
});

describe('the catalogue', () => {
  /** What needs no judgement: a thing is there or not. tests/flows/doctor.test.ts has them. */
  const PLAIN: FindingId[] = [
    'setting-refused',
    'secret-file-open',
    'database-down',
    'database-embedded',
    'nobody-administers',
    'limits-in-process',
    'redis-down',
    'mail-in-memory',
    'mail-down',
    'mail-refuses-us',
    'version-deviation',
    'check-failed',
  ];

  it('holds each in one table', () => {
    const ids = globSync('src/domain/findings*.ts').flatMap((file) =>
      Array.from(readFileSync(file, 'utf8').matchAll(/^ {2}'([a-z-]+)': \{/gm), ([, id]) => id),
    );
    expect(ids.sort()).toEqual(Object.keys(FINDINGS).sort());
  });

  it('holds nothing that is never found', () => {
    expect(Object.keys(FINDINGS).filter((id) => !judged.has(id as FindingId) && !PLAIN.includes(id as FindingId))).toEqual([]);
  });

  it('says of each what is so, why it matters and what to do, in sentences', () => {
    for (const id of Object.keys(FINDINGS) as FindingId[]) {
      const { why, todo } = found(id, 'It is so.');
      expect(why, id).toMatch(/^[A-Z].*\.$/);
      expect(todo.length, id).toBeGreaterThan(10);
    }
  });
});
