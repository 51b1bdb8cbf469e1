import type { Needs } from '#application/ports/services.ts';
import { localClient } from '#domain/client.ts';
import { loadCommonPasswords } from '#infrastructure/crypto/common-passwords.ts';
import { deriveKeys } from '#infrastructure/crypto/derive-keys.ts';
import { argon2Hasher } from '#infrastructure/crypto/password-hasher.ts';
import { secrets } from '#infrastructure/crypto/secrets.ts';
import { sealingCourier } from '#infrastructure/delivery/courier.ts';
import { generatedSecret } from '#infrastructure/embedded/generated-secret.ts';
import { postgresStore } from '#infrastructure/postgres/store.ts';
import { type Config, loadConfig } from '../config.ts';
import type { Output } from './command.ts';
import { withDatabase } from './with-database.ts';

export type CommandServices = Needs<'store' | 'secrets' | 'courier' | 'clock' | 'passwords' | 'commonPasswords' | 'policy'>;

/** Who acts, in audit events: somebody at the command line of this machine. */
export const COMMAND_LINE = localClient('command-line', { ip: '127.0.0.1', userAgent: 'latchkey' });

/**
 * The settings, without what production asks of a service.
 * @param isMailing whether the command writes mails, which the service must be able to read
 */
export function commandConfig({ isMailing }: { isMailing: boolean }): Config {
  const config = loadConfig({ ...process.env, NODE_ENV: undefined });
  if (isMailing && config.DATABASE_URL && !config.SECRET_KEY)
    throw new Error('SECRET_KEY is not set: the service could not read the mails. Give the settings that the service runs with.');
  return config;
}

/** What a command needs of the service, on DATABASE_URL or the embedded database; closed when `work` is done. */
export async function withServices<T>(out: Output, work: (services: CommandServices) => Promise<T>): Promise<T> {
  const config = commandConfig({ isMailing: false });
  return await withDatabase(config, out.complain, async (database) => {
    const secretKey = config.SECRET_KEY ? Buffer.from(config.SECRET_KEY.reveal()) : generatedSecret(config.DATA_DIR, 'secret-key');
    const keys = deriveKeys(secretKey);
    return await work({
      store: postgresStore(database),
      secrets: secrets(keys),
      courier: sealingCourier(keys.outbox, () => {}), // the service looks for itself
      clock: { now: () => new Date() },
      passwords: await argon2Hasher({
        memoryKib: config.ARGON2_MEMORY_KIB,
        timeCost: config.ARGON2_TIME_COST,
        parallelism: config.ARGON2_PARALLELISM,
      }),
      commonPasswords: loadCommonPasswords(),
      policy: config.policy,
    });
  });
}
