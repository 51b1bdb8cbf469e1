import { randomBytes } from 'node:crypto';
import { Agent } from 'node:http';
import type { FastifyInstance } from 'fastify';
import type { DestinationStream, Logger } from 'pino';
import type { Sql } from 'postgres';
import { inject } from 'vitest';
import type { MailboxView } from '#application/ports/mailbox.ts';
import type { Route } from '#http/route.ts';
import type { DatabaseAddress } from '#infrastructure/postgres/connect.ts';
import { compose } from '#src/compose.ts';
import { type Config, type Environment, loadConfig } from '#src/config.ts';
import { openTelemetry } from '#src/telemetry.ts';
import { type Api, apiOf, type Caller } from './api.ts';
import { type TestClock, testClock } from './clock.ts';
import { type TestDatabase, testDatabase } from './database.ts';
import { type Mail, mailOf } from './mail.ts';
import { openapiCheck } from './openapi-check.ts';

export type TestService = {
  app: FastifyInstance;
  routes: Route[];
  config: Config;
  clock: TestClock;
  database: TestDatabase;
  sql: Sql;
  mail: Mail;
  /** A client whose every answer is held against the OpenAPI document. */
  api(caller?: Caller): Api;
  origin: string;
  metricsPort: number | null;
  /** Ends the service; its database too, unless it was given. */
  stop(): Promise<void>;
};

const PLENTY = '1000000/second';

/** What every test service has unless a test asks otherwise: cheap hashes, no limit in the way, a front end of its own. */
const SETTINGS: Environment = {
  NODE_ENV: 'test',
  LOG_LEVEL: 'error',
  SHUTDOWN_DRAIN_SECONDS: '0',
  ISSUER: 'http://localhost:3000',
  FRONTEND_URL: 'https://app.example.com',
  SECRET_KEY: 'the-secret-key-of-the-tests-and-of-nothing-else',
  FERNET_KEY: 'cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=',
  TRUST_PROXY: '127.0.0.1',
  ARGON2_MEMORY_KIB: '7168',
  ARGON2_TIME_COST: '1',
  RATE_LIMIT_GLOBAL: PLENTY,
  RATE_LIMIT_PER_IP: PLENTY,
  RATE_LIMIT_PER_USER: PLENTY,
  RATE_LIMIT_LOGIN: PLENTY,
  RATE_LIMIT_REGISTER: PLENTY,
  RATE_LIMIT_PASSWORD_RESET: PLENTY,
  RATE_LIMIT_MFA: PLENTY,
};

export type Given = {
  settings?: Environment;
  /**
   * Shared with another service of the test, which then is the one to drop it. While one does the work of the background there, those
   * that join it leave it that work (ROLE=web) unless the settings say otherwise, and their mail is found where it lands: with the first.
   */
  database?: TestDatabase;
  /** Another way to the database than the direct one. */
  address?: DatabaseAddress;
  clock?: TestClock;
  log?: Logger;
  /** Where the lines of the log go that it makes by itself. */
  logTo?: DestinationStream;
  /** Any free one, unless the settings must know it. */
  port?: number;
};

/** Whose worker delivers the mail of a database. */
const tended = new WeakMap<TestDatabase, MailboxView>();

/** The whole service in this process, on a database and a Redis prefix of its own. */
export async function startService({
  settings = {},
  database: given,
  address,
  clock = testClock(),
  log,
  logTo,
  port = 0,
}: Given = {}): Promise<TestService> {
  const redisUrl = inject('redisUrl');
  const tender = given && tended.get(given);
  const config = loadConfig({
    ...SETTINGS,
    KEYS_DIR: inject('keysDir'),
    ...(redisUrl === null ? {} : { REDIS_URL: redisUrl }),
    RATE_LIMIT_PREFIX: `latchkey_test_${randomBytes(6).toString('hex')}`,
    ...(tender ? { ROLE: 'web' } : {}),
    ...settings,
  });
  const database = given ?? (await testDatabase());
  const telemetry = await openTelemetry(config, logTo);
  const service = await compose(config, {
    database: address ?? database.address,
    secretKey: Buffer.from(config.SECRET_KEY?.reveal() ?? ''),
    fernetKeys: config.FERNET_KEY?.reveal() ?? '',
    log: log ?? telemetry.log,
    tracing: telemetry.tracing,
    clock,
  });
  const isTending = tender === undefined && config.ROLE !== 'web';
  if (isTending) tended.set(database, service.mailbox);
  const origin = await service.app.listen({ host: '127.0.0.1', port });
  const agent = new Agent({ keepAlive: true });
  const check = openapiCheck(service.app.swagger() as never);
  return {
    app: service.app,
    routes: service.routes,
    config,
    clock,
    database,
    sql: database.sql,
    mail: mailOf(tender && config.ROLE === 'web' ? tender : service.mailbox, database.sql),
    origin,
    metricsPort: service.metricsPort,
    api: (caller) => apiOf(origin, agent, check, caller),
    async stop() {
      agent.destroy();
      await service.stop();
      if (isTending) tended.delete(database);
      await telemetry.tracing?.stop();
      if (!given) await database.drop();
    },
  };
}
