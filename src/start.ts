import type { AddressInfo } from 'node:net';
import path from 'node:path';
import type { Logger } from 'pino';
import { argon2Weakness } from '#infrastructure/crypto/password-hasher.ts';
import { startEmbeddedPostgres } from '#infrastructure/embedded/embedded-postgres.ts';
import { generatedSecret } from '#infrastructure/embedded/generated-secret.ts';
import type { DatabaseAddress } from '#infrastructure/postgres/connect.ts';
import { migrate } from '#infrastructure/postgres/migrate.ts';
import { compose } from './compose.ts';
import type { Config } from './config.ts';
import { takeEach } from './ending.ts';
import { legacyNotice } from './legacy.ts';
import { startFailure } from './start-failure.ts';
import { openTelemetry } from './telemetry.ts';
import { trimHeap } from './trim-heap.ts';

export type Running = {
  /** What a person wants to know at the start. */
  banner: string[];
  log: Logger;
  stop(): Promise<void>;
};

/**
 * Starts everything in its order: database, migrations, service, socket. The database server is ended when a later one fails; the
 * process that ends ends the rest.
 * @throws StartFailure, or another error that is for people
 */
export async function start(config: Config): Promise<Running> {
  try {
    return await startAll(config);
  } catch (error) {
    throw startFailure(error, config);
  }
}

async function startAll(config: Config): Promise<Running> {
  const { log, tracing } = await openTelemetry(config);
  warnOfWeakness(config, log);
  if (config.fromSsm.length > 0) log.info({ settings: config.fromSsm }, 'read from SSM');
  const database = await openDatabaseServer(config, log);
  try {
    // Its own database is empty or small: a newcomer's first start is not the place for a list.
    await migrate(database.address, new Date(), config.DATABASE_URL ? (step) => log.info(`schema: ${step}`) : undefined);
    const secretKey = config.SECRET_KEY ? Buffer.from(config.SECRET_KEY.reveal()) : generatedSecret(config.DATA_DIR, 'secret-key');
    const fernetKeys = config.FERNET_KEY?.reveal() ?? generatedSecret(config.DATA_DIR, 'fernet-key').toString();
    const service = await compose(config, { database: database.address, secretKey, fernetKeys, log, tracing });
    try {
      await service.app.ready();
      trimHeap();
      await service.app.listen({ host: config.HOST, port: config.PORT });
    } catch (error) {
      await service.stop().catch((also: unknown) => log.error({ err: also }, 'what had started does not stop'));
      throw error;
    }
    const { port } = service.app.server.address() as AddressInfo;
    return {
      banner: bannerOf(config, port, database.name),
      log,
      stop: () => takeEach([() => service.stop(), () => tracing?.stop(), () => database.stop()]),
    };
  } catch (error) {
    await database.stop();
    throw error;
  }
}

async function openDatabaseServer(config: Config, log: Logger): Promise<{ name: string; address: DatabaseAddress; stop(): Promise<void> }> {
  if (config.DATABASE_URL) return { name: 'DATABASE_URL', address: { url: config.DATABASE_URL.reveal() }, stop: async () => {} };
  const embedded = await startEmbeddedPostgres(config.DATA_DIR, (message) => log.warn(message));
  return { name: `embedded PostgreSQL in ${path.resolve(config.DATA_DIR)}`, ...embedded };
}

function warnOfWeakness(config: Config, log: Logger): void {
  const weakness = argon2Weakness({ memoryKib: config.ARGON2_MEMORY_KIB, timeCost: config.ARGON2_TIME_COST });
  if (weakness !== null) log.warn(weakness);
  const legacy = legacyNotice(config, new Date());
  if (legacy !== null) log.warn(legacy);
}

function bannerOf(config: Config, port: number, database: string): string[] {
  const origin = config.ISSUER.endsWith(`:${config.PORT}`) ? config.ISSUER.replace(/:\d+$/, `:${port}`) : config.ISSUER;
  return [
    '',
    `  ${config.PRODUCT_NAME} is ready at ${origin}`,
    '',
    `    API reference   ${origin}/docs`,
    ...(config.hasMailbox ? [`    Mailbox         ${origin}/dev/mailbox`] : []),
    `    Signing keys    ${origin}/.well-known/jwks.json`,
    '',
    `    Database        ${database}`,
    `    Limits          ${config.REDIS_URL ? 'REDIS_URL' : 'counted in this process (one replica only)'}`,
    '',
  ];
}
