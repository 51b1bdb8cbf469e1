import { randomBytes } from 'node:crypto';
import { Agent } from 'node:http';
import type { FastifyInstance } from 'fastify';
import pino, { type Logger } from 'pino';
import type { Sql } from 'postgres';
import { inject } from 'vitest';
import type { Route } from '#http/route.ts';
import type { DatabaseAddress } from '#infrastructure/postgres/connect.ts';
import { compose } from '#src/compose.ts';
import { type Config, type Environment, loadConfig } from '#src/config.ts';
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
  ISSUER: 'http://localhost:3000',
  FRONTEND_URL: 'https://app.example.com',
  SECRET_KEY: 'the-secret-key-of-the-tests-and-of-nothing-else',
  FERNET_KEY: 'cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=',
  TRUST_PROXY: '127.0.0.1',
  ARGON2_MEMORY_KIB: '7168',
  ARGON2_TIME_COST: '1',
  RATE_LIMIT_PER_IP: PLENTY,
  RATE_LIMIT_PER_USER: PLENTY,
  RATE_LIMIT_LOGIN: PLENTY,
  RATE_LIMIT_REGISTER: PLENTY,
  RATE_LIMIT_PASSWORD_RESET: PLENTY,
  RATE_LIMIT_MFA: PLENTY,
};

export type Given = {
  settings?: Environment;
  /** Shared with another service of the test, which then is the one to drop it. Mail may land in the mailbox of either. */
  database?: TestDatabase;
  /** Another way to the database than the direct one. */
  address?: DatabaseAddress;
  clock?: TestClock;
  log?: Logger;
  /** Any free one, unless the settings must know it. */
  port?: number;
};

/** The whole service in this process, on a database and a Redis prefix of its own. */
export async function startService({
  settings = {},
  database: given,
  address,
  clock = testClock(),
  log,
  port = 0,
}: Given = {}): Promise<TestService> {
  const redisUrl = inject('redisUrl');
  const config = loadConfig({
    ...SETTINGS,
    KEYS_DIR: inject('keysDir'),
    ...(redisUrl === null ? {} : { REDIS_URL: redisUrl }),
    RATE_LIMIT_PREFIX: `latchkey_test_${randomBytes(6).toString('hex')}`,
    ...settings,
  });
  const database = given ?? (await testDatabase());
  const service = await compose(config, {
    database: address ?? database.address,
    secretKey: Buffer.from(config.SECRET_KEY?.reveal() ?? ''),
    fernetKeys: config.FERNET_KEY?.reveal() ?? '',
    log: log ?? pino({ level: config.LOG_LEVEL }),
    clock,
  });
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
    mail: mailOf(service.mailbox, database.sql),
    origin,
    metricsPort: service.metricsPort,
    api: (caller) => apiOf(origin, agent, check, caller),
    async stop() {
      agent.destroy();
      await service.stop();
      if (!given) await database.drop();
    },
  };
}
