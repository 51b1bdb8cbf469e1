import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { type Bootstrapped, bootstrapAdmin } from '#application/bootstrap-admin.ts';
import { deliverMessages } from '#application/deliver-messages.ts';
import { eraseAccounts } from '#application/erase-accounts.ts';
import type { MailboxView } from '#application/ports/mailbox.ts';
import type { Clock, Dependency, Services } from '#application/ports/services.ts';
import type { Tracing } from '#application/ports/tracing.ts';
import { sessionMoved } from '#application/session-moved.ts';
import { closeWithin } from '#http/close.ts';
import type { Route } from '#http/route.ts';
import { mailboxRoute } from '#http/routes/mailbox.ts';
import { operationRoutes } from '#http/routes/operations.ts';
import { pageRoutes } from '#http/routes/pages.ts';
import { buildServer } from '#http/server.ts';
import { accessTokens } from '#infrastructure/crypto/access-tokens.ts';
import { loadCommonPasswords } from '#infrastructure/crypto/common-passwords.ts';
import { csrfTokens } from '#infrastructure/crypto/csrf-tokens.ts';
import { deriveKeys } from '#infrastructure/crypto/derive-keys.ts';
import { fernetBox, parseFernetKeys } from '#infrastructure/crypto/fernet.ts';
import { type Keyring, keyringFromPem, openKeyFolder } from '#infrastructure/crypto/keyring.ts';
import { argon2Hasher } from '#infrastructure/crypto/password-hasher.ts';
import { refreshTokens } from '#infrastructure/crypto/refresh-tokens.ts';
import { secrets } from '#infrastructure/crypto/secrets.ts';
import { sealingCourier } from '#infrastructure/delivery/courier.ts';
import { type Dispatcher, startDispatcher } from '#infrastructure/delivery/dispatcher.ts';
import { mailbox } from '#infrastructure/delivery/mailbox.ts';
import { oneTimePasswords } from '#infrastructure/otp/one-time-passwords.ts';
import { phoneNumbers } from '#infrastructure/phone/phone-numbers.ts';
import type { DatabaseAddress } from '#infrastructure/postgres/connect.ts';
import { openDatabase } from '#infrastructure/postgres/database.ts';
import { watchIpBlocks } from '#infrastructure/postgres/ip-block-list.ts';
import { postgresOutbox } from '#infrastructure/postgres/outbox.ts';
import { postgresStore } from '#infrastructure/postgres/store.ts';
import { DELIVERY, POSTGRES, traced, tracedServices, tracedWork } from '#infrastructure/telemetry/traced.ts';
import { simpleWebAuthn } from '#infrastructure/webauthn/passkeys.ts';
import type { Config } from './config.ts';
import { takeEach } from './ending.ts';
import { openLegacy } from './legacy.ts';
import { openLimiter } from './limits.ts';
import { openMetrics } from './metrics.ts';
import { openPost } from './post.ts';
import { routesOf } from './routes.ts';
import { versionOfPackage } from './version.ts';
import { startWorker } from './worker.ts';

export type Service = {
  app: FastifyInstance;
  routes: Route[];
  mailbox: MailboxView;
  /** Where /metrics is served, if on a port of its own. */
  metricsPort: number | null;
  /** Not ready from now on; finishes what runs, then closes what is open. @throws what did not stop, once all else has */
  stop(): Promise<void>;
};

export type Surroundings = {
  database: DatabaseAddress;
  /** What every symmetric key is derived from. */
  secretKey: Buffer;
  /** As FERNET_KEY gives them. */
  fernetKeys: string;
  log: Logger;
  /** Null: nobody traces. */
  tracing?: Tracing | null;
  clock?: Clock;
};

const SYSTEM_CLOCK: Clock = { now: () => new Date() };
/** What runs may end in this time: no request that arrives in time takes longer. Who then still reads is cut off. */
const FINISH_MS = 15_000;
const CLIENT_ID = 'latchkey'; // until clients of other parties sign in here, all tokens are our own client's
/** Why the account of BOOTSTRAP_ADMIN_EMAIL stays as it is, and what to do. */
const NO_ADMIN: Partial<Record<Bootstrapped, string>> = {
  suspended: 'a suspended account: there is no admin; name another address',
  deleted:
    'an account that its owner has deleted: there is no admin. Keep it by the link in the mail about that, or name another address; then start again',
};

/** Which parts, with which settings: read from top to bottom. Nothing here decides anything else. */
export async function compose(
  config: Config,
  { database: address, secretKey, fernetKeys, log, tracing = null, clock = SYSTEM_CLOCK }: Surroundings,
): Promise<Service> {
  const keys = deriveKeys(secretKey);
  const database = openDatabase(address, { poolSize: config.DATABASE_POOL_SIZE, prepare: config.DATABASE_PREPARE });
  const keyring = openKeyring(config, clock, log);
  const limits = await openLimiter(config, clock, log, tracing);
  const letters = mailbox(clock);
  let dispatcher: Dispatcher | null = null;
  const courier = sealingCourier(keys.outbox, () => dispatcher?.wake());

  const passwords = await argon2Hasher({
    memoryKib: config.ARGON2_MEMORY_KIB,
    timeCost: config.ARGON2_TIME_COST,
    parallelism: config.ARGON2_PARALLELISM,
  });
  const outbox = postgresOutbox(database);

  const federation = await openFederation(config, clock, log);
  const parts: Services = {
    store: postgresStore(database),
    passwords,
    commonPasswords: loadCommonPasswords(),
    accessTokens: accessTokens(keyring, { issuer: config.ISSUER, audience: config.ISSUER, clientId: CLIENT_ID }),
    refreshTokens: refreshTokens(keys.refreshTokens),
    csrfTokens: csrfTokens(keys.csrf),
    secrets: secrets(keys),
    secretBox: fernetBox(parseFernetKeys(fernetKeys)),
    oneTimePasswords: oneTimePasswords({ issuer: config.PRODUCT_NAME, pastSteps: config.TOTP_PAST_STEPS }),
    passkeys: simpleWebAuthn({ rpId: config.WEBAUTHN_RP_ID, rpName: config.WEBAUTHN_RP_NAME, origins: config.WEBAUTHN_ORIGINS }),
    phoneNumbers: phoneNumbers({ defaultCountry: config.SMS_DEFAULT_COUNTRY, countries: config.SMS_COUNTRIES }),
    federation,
    courier,
    clock,
    policy: config.policy,
  };
  const services = tracing ? tracedServices(parts, tracing) : parts;

  const post = await openPost(config, letters, log);
  const isWorker = config.ROLE !== 'web';
  if (isWorker) {
    const delivery = tracing ? traced(post.delivery, tracing, DELIVERY) : post.delivery;
    const messages = tracing ? traced(outbox, tracing, POSTGRES, 'outbox.') : outbox;
    const work = deliverMessages({ outbox: messages, delivery, unseal: courier.unseal, clock });
    dispatcher = startDispatcher(tracing ? tracedWork(work, tracing) : work, (error) =>
      log.warn({ err: error }, 'messages could not be claimed or marked; tried again'),
    );
  }

  const postgres: Dependency = { name: 'postgres', optional: false, check: database.check };
  const dependencies = [
    postgres,
    ...limits.dependencies,
    ...(federation ? [federation.dependency] : []),
    ...(dispatcher ? post.dependencies : []),
  ];
  const measured = await openMetrics(
    config,
    {
      hashing: passwords.load,
      limiterFallbacks: limits.fallbacks,
      outbox: () => outbox.backlog(clock.now()),
      smsToday: () => outbox.smsOf(clock.now()),
      smsPerDay: config.SMS_MAX_PER_DAY,
      database: database.load,
      signingKeys: keyring.ages,
      dependencies: () => Promise.all(dependencies.map(async ({ name, check }) => ({ name, state: await check() }))),
      version: versionOfPackage(),
    },
    log,
  );
  const worker = isWorker
    ? startWorker(config, { database, auditKey: keys.audit, eraseAccounts: eraseAccounts(services), metrics: measured.metrics, clock, log })
    : null;

  let isStopping = false;
  const operations = operationRoutes({ dependencies, isStopping: () => isStopping, keys: keyring, issuer: config.ISSUER });
  const forPeople = [
    ...(config.hasMailbox ? [mailboxRoute(letters, config.PRODUCT_NAME)] : []),
    ...pageRoutes({ productName: config.PRODUCT_NAME, hasMailbox: config.hasMailbox }),
  ];
  const routes =
    config.ROLE === 'worker'
      ? [...operations, ...measured.routes]
      : [...routesOf(services), ...operations, ...measured.routes, ...forPeople];
  const settings = {
    issuer: config.ISSUER,
    productName: config.PRODUCT_NAME,
    version: versionOfPackage(),
    corsOrigins: config.CORS_ORIGINS,
    ownOrigins: [config.ISSUER, config.FRONTEND_URL],
    allowsPlainCookies: !config.isProduction && config.ISSUER.startsWith('http:'),
    allowedHosts: config.ALLOWED_HOSTS,
    trustProxy: config.TRUST_PROXY,
    perIp: config.rateLimits['per-ip'],
    maxConnections: config.MAX_CONNECTIONS,
  };
  const ipBlocks = await watchIpBlocks(database, clock, (error) =>
    log.warn({ err: error }, 'blocked addresses cannot be looked up; the last list stays in use'),
  );
  const app = await buildServer({
    ...services,
    limiter: limits.limiter,
    hasMoved: sessionMoved(services),
    legacyCaller: await openLegacy(config, services, keyring, log),
    ipBlocks,
    routes,
    settings,
    log,
    metrics: measured.metrics,
    tracing,
    isStopping: () => isStopping,
  });
  await app.ready();
  measured.metrics?.watch(app.server);
  if (config.BOOTSTRAP_ADMIN_EMAIL !== undefined && config.ROLE !== 'worker') {
    const outcome = await bootstrapAdmin(services)(config.BOOTSTRAP_ADMIN_EMAIL);
    const whyNot = NO_ADMIN[outcome];
    if (whyNot !== undefined) log.warn(`BOOTSTRAP_ADMIN_EMAIL names ${whyNot}`);
    else log.info({ outcome }, 'BOOTSTRAP_ADMIN_EMAIL');
  }

  return {
    app,
    routes,
    mailbox: letters,
    metricsPort: measured.port,
    async stop() {
      isStopping = true;
      await takeEach([
        () => delay(config.SHUTDOWN_DRAIN_SECONDS * 1000), // balancers see that it goes, while all is answered as ever
        () => closeWithin(app, FINISH_MS),
        () => dispatcher?.stop(),
        () => post.close(),
        () => ipBlocks.stop(),
        () => worker?.stop(),
        () => measured.stop(),
        () => keyring.stop(),
        () => limits.close(),
        () => database.close(),
      ]);
    },
  };
}

function openKeyring(config: Config, clock: Clock, log: Logger): Keyring {
  if (config.JWT_PRIVATE_KEY) return keyringFromPem(config.JWT_PRIVATE_KEY.reveal(), config.JWT_PUBLIC_KEY, clock, config.JWT_ALGORITHM);
  return openKeyFolder(config.KEYS_DIR, config.JWT_ALGORITHM, clock, (error) =>
    log.error({ err: error }, 'the signing keys changed and cannot be read; the ones before stay in use'),
  );
}

/** AWS Cognito, loaded only where somebody signs in by it. */
async function openFederation({ cognito: pool, ...config }: Config, clock: Clock, log: Logger) {
  if (pool === null) return null;
  const { cognito } = await import('#infrastructure/aws/cognito.ts');
  const onMisconfigured = (error: unknown) => log.error({ err: error }, 'Cognito refuses the COGNITO settings');
  const onOldKeys = (error: unknown) =>
    log.warn({ err: error }, 'the keys of Cognito cannot be fetched anew; the last ones go on for a day');
  const clientSecret = config.COGNITO_CLIENT_SECRET?.reveal() ?? null;
  return cognito({ ...pool, clientSecret, timeoutMs: config.COGNITO_TIMEOUT_MS, clock, onMisconfigured, onOldKeys });
}
