import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { accessToken } from '#application/access-token.ts';
import { activity } from '#application/activity.ts';
import { administerUsers } from '#application/administer-users.ts';
import { auditTrail } from '#application/audit-trail.ts';
import { blockIps } from '#application/block-ips.ts';
import { type Bootstrapped, bootstrapAdmin } from '#application/bootstrap-admin.ts';
import { changeEmail } from '#application/change-email.ts';
import { changePassword } from '#application/change-password.ts';
import { changeProfile } from '#application/change-profile.ts';
import { changeRoles } from '#application/change-roles.ts';
import { deleteAccount } from '#application/delete-account.ts';
import { deliverMessages } from '#application/deliver-messages.ts';
import { eraseAccounts } from '#application/erase-accounts.ts';
import { exchangeToken } from '#application/exchange-token.ts';
import { exportAccount } from '#application/export-account.ts';
import { finishSignIn } from '#application/finish-sign-in.ts';
import { forgotPassword } from '#application/forgot-password.ts';
import { introspect } from '#application/introspect.ts';
import { keepAccount } from '#application/keep-account.ts';
import { login } from '#application/login.ts';
import { logout } from '#application/logout.ts';
import { passkeySignIn } from '#application/passkey-sign-in.ts';
import { passkeys } from '#application/passkeys.ts';
import type { MailboxView } from '#application/ports/mailbox.ts';
import type { Metrics } from '#application/ports/metrics.ts';
import type { Clock, Dependency, RateLimiter, Services } from '#application/ports/services.ts';
import type { Tracing } from '#application/ports/tracing.ts';
import { reauthenticate } from '#application/reauthenticate.ts';
import { recoveryCodes } from '#application/recovery-codes.ts';
import { refresh } from '#application/refresh.ts';
import { register } from '#application/register.ts';
import { reportSignIn } from '#application/report-sign-in.ts';
import { resendVerification } from '#application/resend-verification.ts';
import { resetPassword } from '#application/reset-password.ts';
import { revertEmail } from '#application/revert-email.ts';
import { revokeToken } from '#application/revoke-token.ts';
import { sendCode } from '#application/send-code.ts';
import { sessionMoved } from '#application/session-moved.ts';
import { sessions } from '#application/sessions.ts';
import { smsMfa } from '#application/sms-mfa.ts';
import { totp } from '#application/totp.ts';
import { verifyEmail } from '#application/verify-email.ts';
import { verifyMfa } from '#application/verify-mfa.ts';
import { closeWithin } from '#http/close.ts';
import type { Route } from '#http/route.ts';
import { accessTokenRoute } from '#http/routes/access-token.ts';
import { activityRoute } from '#http/routes/activity.ts';
import { administerUsersRoutes } from '#http/routes/administer-users.ts';
import { auditTrailRoute } from '#http/routes/audit-trail.ts';
import { blockIpsRoutes } from '#http/routes/block-ips.ts';
import { changeEmailRoutes } from '#http/routes/change-email.ts';
import { changePasswordRoute } from '#http/routes/change-password.ts';
import { changeProfileRoute } from '#http/routes/change-profile.ts';
import { changeRolesRoute } from '#http/routes/change-roles.ts';
import { csrfRoute } from '#http/routes/csrf.ts';
import { deleteAccountRoutes } from '#http/routes/delete-account.ts';
import { exchangeRoute } from '#http/routes/exchange.ts';
import { exportAccountRoute } from '#http/routes/export-account.ts';
import { forgotPasswordRoute } from '#http/routes/forgot-password.ts';
import { introspectRoutes } from '#http/routes/introspect.ts';
import { loginRoute } from '#http/routes/login.ts';
import { logoutRoute } from '#http/routes/logout.ts';
import { mailboxRoute } from '#http/routes/mailbox.ts';
import { meRoute } from '#http/routes/me.ts';
import { metricsRoute } from '#http/routes/metrics.ts';
import { mfaRoutes } from '#http/routes/mfa.ts';
import { operationRoutes } from '#http/routes/operations.ts';
import { pageRoutes } from '#http/routes/pages.ts';
import { reauthenticateRoute } from '#http/routes/reauthenticate.ts';
import { refreshRoute } from '#http/routes/refresh.ts';
import { registerRoute } from '#http/routes/register.ts';
import { reportSignInRoute } from '#http/routes/report-sign-in.ts';
import { resendVerificationRoute } from '#http/routes/resend-verification.ts';
import { resetPasswordRoute } from '#http/routes/reset-password.ts';
import { revertEmailRoute } from '#http/routes/revert-email.ts';
import { sessionRoutes } from '#http/routes/sessions.ts';
import { smsMfaRoutes } from '#http/routes/sms-mfa.ts';
import { verifyEmailRoute } from '#http/routes/verify-email.ts';
import { verifyMfaRoute } from '#http/routes/verify-mfa.ts';
import { webauthnRoutes } from '#http/routes/webauthn.ts';
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
import { inProcessLimiter } from '#infrastructure/embedded/in-process-limiter.ts';
import type { Looked } from '#infrastructure/metrics/inside.ts';
import { oneTimePasswords } from '#infrastructure/otp/one-time-passwords.ts';
import { phoneNumbers } from '#infrastructure/phone/phone-numbers.ts';
import type { DatabaseAddress } from '#infrastructure/postgres/connect.ts';
import { openDatabase } from '#infrastructure/postgres/database.ts';
import { watchIpBlocks } from '#infrastructure/postgres/ip-block-list.ts';
import { postgresOutbox } from '#infrastructure/postgres/outbox.ts';
import { postgresStore } from '#infrastructure/postgres/store.ts';
import { DELIVERY, POSTGRES, REDIS, traced, tracedServices, tracedWork } from '#infrastructure/telemetry/traced.ts';
import { simpleWebAuthn } from '#infrastructure/webauthn/passkeys.ts';
import type { Config } from './config.ts';
import { takeEach } from './ending.ts';
import { openLegacy } from './legacy.ts';
import { openPost } from './post.ts';
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

type Measured = { metrics: Metrics | null; routes: Route[]; port: number | null; stop(): Promise<void> };

/** Counters, where somebody reads them; loaded only then. */
async function openMetrics(config: Config, looked: Looked, log: Logger): Promise<Measured> {
  const { METRICS_PORT: port, METRICS_TOKEN: token, HOST: host } = config;
  if (port === undefined && token === undefined) return { metrics: null, routes: [], port: null, stop: async () => {} };
  const { prometheus } = await import('#infrastructure/metrics/prometheus.ts');
  const { serveMetrics } = await import('#infrastructure/metrics/metrics-server.ts');
  const metrics = prometheus(looked, (error) => log.warn({ err: error }, 'a gauge cannot be read'));
  const server = port === undefined ? null : await serveMetrics(metrics, { host, port });
  const routes = token === undefined ? [] : [metricsRoute(metrics, token.reveal())];
  return { metrics, routes, port: server?.port ?? null, stop: async () => server?.stop() };
}

type Limits = { limiter: RateLimiter; dependencies: Dependency[]; fallbacks(): number; close(): Promise<void> };

async function openLimiter(config: Config, clock: Clock, log: Logger, tracing: Tracing | null): Promise<Limits> {
  const local = inProcessLimiter(clock, { limits: config.rateLimits });
  if (!config.REDIS_URL) return { limiter: local, dependencies: [], fallbacks: () => 0, close: async () => {} };
  // Loaded only where it is used: the client is a fifth of the memory of an idle service.
  const { openRedis } = await import('#infrastructure/redis/redis-connection.ts');
  const { redisLimiter } = await import('#infrastructure/redis/redis-limiter.ts');
  const { withFallback } = await import('#infrastructure/redis/with-fallback.ts');
  const redis = await openRedis(config.REDIS_URL.reveal(), {
    isOptional: config.REDIS_OPTIONAL,
    probeKey: `${config.RATE_LIMIT_PREFIX}:ready`,
    isCluster: config.REDIS_CLUSTER,
    ca: config.REDIS_CA,
    onError: (error) => log.warn({ err: error }, 'redis does not answer'),
  });
  const shared = redisLimiter(tracing ? traced(redis, tracing, REDIS) : redis, {
    limits: config.rateLimits,
    prefix: config.RATE_LIMIT_PREFIX,
  });
  const limiter = withFallback(shared, local, (fallbacks) =>
    log.warn({ fallbacks }, 'limits are counted in this process while redis is away'),
  );
  return { limiter, dependencies: [redis.dependency], fallbacks: limiter.fallbacks, close: redis.close };
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

/** The routes over their flows; also what the documentation and the tests' matrix are made from. */
export function routesOf(services: Services): Route[] {
  const { federation, policy } = services;
  const secondFactor = verifyMfa(services);
  // Where passwords are another provider's alone, nobody gets one here. Links that were mailed go on working.
  const forPasswords = [
    registerRoute(register(services)),
    resendVerificationRoute(resendVerification(services)),
    forgotPasswordRoute(forgotPassword(services)),
  ];
  return [
    ...(policy.providers.allowed.includes('native') ? forPasswords : []),
    verifyEmailRoute(verifyEmail(services)),
    resetPasswordRoute(resetPassword(services)),
    loginRoute(login(services)),
    verifyMfaRoute(finishSignIn(services)),
    ...(federation && policy.providers.allowed.includes('cognito') ? [exchangeRoute(exchangeToken(services, federation))] : []),
    refreshRoute(refresh(services)),
    accessTokenRoute(accessToken(services)),
    csrfRoute(services),
    logoutRoute(logout(services)),
    meRoute(),
    activityRoute(activity(services)),
    exportAccountRoute(exportAccount(services)),
    changeProfileRoute(changeProfile(services)),
    ...deleteAccountRoutes(deleteAccount(services), keepAccount(services)),
    ...changeEmailRoutes(changeEmail(services)),
    revertEmailRoute(revertEmail(services)),
    ...sessionRoutes(sessions(services)),
    reportSignInRoute(reportSignIn(services)),
    reauthenticateRoute(reauthenticate(services)),
    ...mfaRoutes(totp(services), recoveryCodes(services)),
    ...webauthnRoutes(passkeys(services), passkeySignIn(services), secondFactor),
    ...smsMfaRoutes(smsMfa(services), sendCode(services)),
    changePasswordRoute(changePassword(services)),
    ...administerUsersRoutes(administerUsers(services)),
    changeRolesRoute(changeRoles(services)),
    auditTrailRoute(auditTrail(services)),
    ...blockIpsRoutes(blockIps(services)),
    ...introspectRoutes(introspect(services), revokeToken(services)),
  ];
}
