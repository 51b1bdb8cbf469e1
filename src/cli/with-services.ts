import type { Needs } from '#application/ports/services.ts';
import { localClient } from '#domain/client.ts';
import { loadCommonPasswords } from '#infrastructure/crypto/common-passwords.ts';
import { deriveKeys } from '#infrastructure/crypto/derive-keys.ts';
import { argon2Hasher } from '#infrastructure/crypto/password-hasher.ts';
import { secrets } from '#infrastructure/crypto/secrets.ts';
import { startEmbeddedPostgres } from '#infrastructure/embedded/embedded-postgres.ts';
import { generatedSecret } from '#infrastructure/embedded/generated-secret.ts';
import { openDatabase } from '#infrastructure/postgres/connect.ts';
import { postgresStore } from '#infrastructure/postgres/store.ts';
import { loadConfig } from '../config.ts';
import type { Output } from './command.ts';

export type CommandServices = Needs<'store' | 'secrets' | 'clock' | 'passwords' | 'commonPasswords' | 'policy'>;

/** Who acts, in audit events: somebody at the command line of this machine. */
export const COMMAND_LINE = localClient('command-line', { ip: '127.0.0.1', userAgent: 'latchkey' });

/** What a command needs of the service, on DATABASE_URL or the embedded database; closed when `work` is done. */
export async function withServices<T>(out: Output, work: (services: CommandServices) => Promise<T>): Promise<T> {
  const config = loadConfig({ ...process.env, NODE_ENV: undefined }); // what production asks of a service is not asked here
  const embedded = config.DATABASE_URL ? null : await startEmbeddedPostgres(config.DATA_DIR, out.complain);
  const address = embedded?.address ?? { url: config.DATABASE_URL?.reveal() ?? '' };
  const database = openDatabase(address, { poolSize: 2, prepare: config.DATABASE_PREPARE });
  try {
    const secretKey = config.SECRET_KEY ? Buffer.from(config.SECRET_KEY.reveal()) : generatedSecret(config.DATA_DIR, 'secret-key');
    return await work({
      store: postgresStore(database),
      secrets: secrets(deriveKeys(secretKey)),
      clock: { now: () => new Date() },
      passwords: await argon2Hasher({
        memoryKib: config.ARGON2_MEMORY_KIB,
        timeCost: config.ARGON2_TIME_COST,
        parallelism: config.ARGON2_PARALLELISM,
      }),
      commonPasswords: loadCommonPasswords(),
      policy: config.policy,
    });
  } finally {
    await database.close();
    await embedded?.stop();
  }
}
