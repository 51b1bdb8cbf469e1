import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { NotTaken } from '#application/ports/errors.ts';
import { judgeAudit, judgeDatabase, judgeOutbox } from '#domain/doctor-database.ts';
import { judgeKeys, judgeSealed, type SealedFacts } from '#domain/doctor-keys.ts';
import { judgeOrigins } from '#domain/doctor-origins.ts';
import { judgeProxy, type SeenAddresses } from '#domain/doctor-proxy.ts';
import { judgeRedis } from '#domain/doctor-redis.ts';
import { judgeSettings } from '#domain/doctor-settings.ts';
import { type Finding, found } from '#domain/findings.ts';
import { isLoopback } from '#domain/origins.ts';
import { judgeProfile, STRICT_RULES } from '#domain/strict-profile.ts';
import { type ExaminedKeys, examineKeyFolder, examineKeyPem } from '#infrastructure/crypto/examine-keys.ts';
import { type FernetKey, fernetOpen, parseFernetKeys } from '#infrastructure/crypto/fernet.ts';
import { argon2Weakness } from '#infrastructure/crypto/password-hasher.ts';
import { earlierSecret } from '#infrastructure/embedded/generated-secret.ts';
import { hasEmbeddedPostgres, joinEmbeddedPostgres } from '#infrastructure/embedded/join.ts';
import { answers, type DatabaseAddress } from '#infrastructure/postgres/connect.ts';
import { type Examination, examine } from '#infrastructure/postgres/examine.ts';
import type { Config } from '../config.ts';
import { reasonOf } from './reason.ts';
import type { Read } from './tolerant-settings.ts';

/** What doctor looks at, each by itself: facts come from the outside, and the domain judges them. */
export type Check = { name: string; run(signal: AbortSignal): Promise<Finding[]> };

const ANSWER_MS = 1500;
const MAIL_MS = 3000;
/** Those that no setting changes. Not in every image; docs/asvs.md has them all. */
const DEVIATIONS = path.join(import.meta.dirname, '../../docs/asvs-deviations.tsv');

export function checksOf({ config, mistakes, given, isProduction }: Read): Check[] {
  const wrong = mistakes.map((mistake) => found('setting-refused', `${mistake}.`));
  if (config === null) return [{ name: 'settings', run: async () => wrong }];
  const settings = { ...config, isProduction, hasMailbox: config.hasMailbox && !isProduction };
  const keys = examinedKeys(config);
  return [
    { name: 'settings', run: async () => [...wrong, ...judgeSettings(settings, given, charactersOf(config))] },
    { name: 'origins', run: () => checkOrigins(settings) },
    { name: 'keys', run: async () => checkKeys(config, keys) },
    { name: 'database and proxy', run: (signal) => checkDatabase(settings, given.has('DATABASE_URL'), signal) },
    { name: 'redis', run: () => checkRedis(settings, given.has('REDIS_URL')) },
    { name: 'mail', run: () => checkMail(settings) },
    { name: 'profile', run: async () => checkProfile(config, keys) },
  ];
}

function charactersOf({ SECRET_KEY }: Config): number | null {
  return SECRET_KEY ? new Set(SECRET_KEY.reveal()).size : null;
}

async function checkOrigins(settings: Config): Promise<Finding[]> {
  const { registeredDomain } = await import('#infrastructure/public-suffix/registered-domain.ts');
  return judgeOrigins(settings, registeredDomain);
}

function examinedKeys({ JWT_PRIVATE_KEY, JWT_PUBLIC_KEY, JWT_ALGORITHM, KEYS_DIR }: Config): ExaminedKeys {
  return JWT_PRIVATE_KEY ? examineKeyPem(JWT_PRIVATE_KEY.reveal(), JWT_PUBLIC_KEY, JWT_ALGORITHM) : examineKeyFolder(KEYS_DIR);
}

function checkKeys(config: Config, keys: ExaminedKeys): Finding[] {
  const findings = judgeKeys(keys, config.JWT_ALGORITHM, new Date());
  for (const [name, setting] of [
    ['secret-key', config.SECRET_KEY],
    ['fernet-key', config.FERNET_KEY],
  ] as const) {
    try {
      if (!setting) earlierSecret(config.DATA_DIR, name);
    } catch (error) {
      findings.push(found('secret-file-open', `${reasonOf(error)}.`));
    }
  }
  return findings;
}

function checkProfile(config: Config, keys: ExaminedKeys): Finding[] {
  const { ARGON2_MEMORY_KIB: memoryKib, ARGON2_TIME_COST: timeCost } = config;
  const findings = judgeProfile(
    { ...config, JWT_ALGORITHM: keys.ring?.current.alg ?? config.JWT_ALGORITHM },
    { rsaBits: keys.rsaBits, argon2Weakness: argon2Weakness({ memoryKib, timeCost }), isStrict: config.SECURITY_PROFILE === 'strict' },
  );
  return [...findings, ...deviationsOfThisVersion()];
}

function deviationsOfThisVersion(): Finding[] {
  if (!existsSync(DEVIATIONS)) return [];
  const judged = new Set<string>(['V11.2.3', ...Object.values(STRICT_RULES).map(({ requirement }) => requirement)]);
  return readFileSync(DEVIATIONS, 'utf8')
    .split('\n')
    .slice(1)
    .map((line) => line.split('\t'))
    .flatMap(([requirement = '', why]) => (why && !judged.has(requirement) ? [found('version-deviation', why, { requirement })] : []));
}

/** What the database says, and what it saw of proxies. */
async function checkDatabase(config: Config, isGiven: boolean, signal: AbortSignal): Promise<Finding[]> {
  const withoutSeen = judgeProxy(config, null);
  const url = config.DATABASE_URL?.reveal();
  if (url === undefined && (isGiven || config.isProduction)) return withoutSeen; // the setting is wrong or missing, and that was said
  if (url === undefined && !hasEmbeddedPostgres(config.DATA_DIR))
    return [
      ...withoutSeen,
      found('database-embedded', `There is no database yet: the first start makes one in ${path.resolve(config.DATA_DIR)}.`),
    ];
  const complaints: string[] = [];
  let embedded: Awaited<ReturnType<typeof joinEmbeddedPostgres>> | null = null;
  try {
    embedded = url === undefined ? await joinEmbeddedPostgres(config.DATA_DIR, (line) => complaints.push(line)) : null;
  } catch (error) {
    return [...withoutSeen, found('database-down', `The embedded PostgreSQL: ${reasonOf(error)}.`)];
  }
  const address: DatabaseAddress = embedded?.address ?? { url: url ?? '' };
  const examination = examine(address);
  signal.addEventListener('abort', () => void examination.close());
  try {
    const { door, isThere } = await answers(address, ANSWER_MS);
    if (!isThere) return [...withoutSeen, found('database-down', `Nobody answers at ${door}.`)];
    return await looked(config, examination, { door, isEmbedded: embedded !== null });
  } finally {
    await examination.close();
    await embedded?.stop();
  }
}

async function looked(config: Config, at: Examination, { door, isEmbedded }: { door: string; isEmbedded: boolean }): Promise<Finding[]> {
  const now = new Date();
  const findings: Finding[] = [];
  let facts: Awaited<ReturnType<Examination['database']>>;
  try {
    facts = await at.database();
  } catch (error) {
    return [...judgeProxy(config, null), found('database-down', `${door}: ${reasonOf(error)}.`)];
  }
  const isLocal = isEmbedded || door.startsWith('/') || isLoopback(door.replace(/:\d+$/, ''));
  if (isEmbedded)
    findings.push(
      found('database-embedded', `The embedded PostgreSQL ${Math.floor(facts.version / 10_000)} in ${path.resolve(config.DATA_DIR)}.`),
    );
  const { isProduction, DATABASE_POOL_SIZE: poolSize } = config;
  findings.push(...judgeDatabase(facts, { isEmbedded, isLocal, isProduction, poolSize }));
  if (!facts.hasSchema) return [...findings, ...judgeProxy(config, null)];

  let seen: SeenAddresses = null;
  const part = async (name: string, work: () => Promise<Finding[]>) => {
    try {
      findings.push(...(await work()));
    } catch (error) {
      findings.push(found('check-failed', `${name}: ${reasonOf(error)}.`));
    }
  };
  const keeping = { retentionDays: config.AUDIT_RETENTION_DAYS, archive: config.AUDIT_ARCHIVE_URL ?? null, isProduction };
  await part('audit trail', async () => judgeAudit(await at.audit(), keeping, now));
  await part('outbox', async () => judgeOutbox(await at.outbox(now)));
  await part('sign-ins', async () => {
    seen = await at.seen();
    return [];
  });
  await part('administrators', async () => ((await at.hasAdmin()) ? [] : [found('nobody-administers', 'No active account is an admin.')]));
  await part('stored secrets', () => checkSealed(config, at));
  return [...findings, ...judgeProxy(config, seen)];
}

async function checkSealed(config: Config, at: Examination): Promise<Finding[]> {
  const text = config.FERNET_KEY?.reveal() ?? earlierSecret(config.DATA_DIR, 'fernet-key')?.toString();
  if (text === undefined) return [];
  const [first, ...others] = parseFernetKeys(text);
  const { secrets, isWhole } = await at.sealed();
  const opens = (key: FernetKey, secret: string) => fernetOpen(key, secret) !== undefined;
  const facts: SealedFacts = { seen: secrets.length, underOld: 0, lost: 0, isWhole };
  for (const secret of secrets.filter((secret) => !opens(first, secret))) {
    if (others.some((key) => opens(key, secret))) facts.underOld++;
    else facts.lost++;
  }
  return judgeSealed(facts, others.length + 1);
}

async function checkRedis(config: Config, isGiven: boolean): Promise<Finding[]> {
  const url = config.REDIS_URL?.reveal();
  if (url === undefined) return isGiven || config.isProduction ? [] : [found('limits-in-process', 'There is no REDIS_URL.')];
  const nodes = url.split(',').map((node) => new URL(node.trim()));
  const doors = nodes.map(({ host }) => host).join(', ');
  const { examineRedis } = await import('#infrastructure/redis/examine.ts');
  try {
    const facts = await examineRedis(url, config.REDIS_CA);
    return judgeRedis(facts, {
      isLocal: nodes.every(({ hostname }) => isLoopback(hostname)),
      isEncrypted: nodes.every(({ protocol }) => protocol === 'rediss:'),
      hasPassword: nodes.every(({ password }) => password !== ''),
      isProduction: config.isProduction,
      expectsCluster: config.REDIS_CLUSTER,
    });
  } catch (error) {
    const said = reasonOf(error);
    if (said.startsWith('NOPERM')) return [found('check-failed', `Redis at ${doors} does not let us ask how it is set: ${said}.`)];
    return [found('redis-down', `${doors}: ${said}.`)];
  }
}

async function checkMail(config: Config): Promise<Finding[]> {
  const { EMAIL_PROVIDER: provider, SMTP_HOST: host = '', SMTP_PORT: port, SMTP_TLS: tls, SMTP_CA: ca } = config;
  if (provider === 'mailbox') return config.isProduction ? [] : [found('mail-in-memory', 'EMAIL_PROVIDER is mailbox.')];
  const [user, password] = [config.SMTP_USER, config.SMTP_PASSWORD?.reveal()];
  try {
    if (provider === 'smtp') {
      const { greetSmtp } = await import('#infrastructure/delivery/smtp.ts');
      const credentials = user !== undefined && password !== undefined ? { user, password } : undefined;
      await greetSmtp({ host, port, tls, ca, credentials }, MAIL_MS);
    } else {
      const { greetSendgrid } = await import('#infrastructure/delivery/sendgrid.ts');
      await greetSendgrid({ apiKey: config.SENDGRID_API_KEY?.reveal() ?? '', url: config.SENDGRID_URL }, MAIL_MS);
    }
    return [];
  } catch (error) {
    const door = provider === 'smtp' ? `${host}:${port}` : config.SENDGRID_URL;
    if (!(error instanceof NotTaken)) return [found('mail-down', `${door}: ${reasonOf(error)}.`)];
    return [found('mail-refuses-us', `${door}: ${error.message}${error.replyCode ? ` (${error.replyCode})` : ''}.`)];
  }
}
