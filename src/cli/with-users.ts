import { fernetBox, parseFernetKeys } from '#infrastructure/crypto/fernet.ts';
import { startEmbeddedPostgres } from '#infrastructure/embedded/embedded-postgres.ts';
import { generatedSecret } from '#infrastructure/embedded/generated-secret.ts';
import type { DatabaseAddress } from '#infrastructure/postgres/connect.ts';
import { migrate } from '#infrastructure/postgres/migrate.ts';
import { type Config, loadConfig } from '../config.ts';
import type { Output } from './command.ts';

/** What a command that moves users needs: the database, and the box that our secrets are in. */
export type Surroundings = { config: Config; address: DatabaseAddress; box: ReturnType<typeof fernetBox> };

/**
 * Runs on DATABASE_URL or the embedded database, which is stopped when `work` is done.
 * @param migrates brings the schema up to date before: a first import may come before the first start of the service
 */
export async function withUsers<T>(
  out: Output,
  { migrates }: { migrates: boolean },
  work: (surroundings: Surroundings) => Promise<T>,
): Promise<T> {
  const config = loadConfig({ ...process.env, NODE_ENV: undefined }); // what production asks of a service is not asked here
  const box = fernetBox(parseFernetKeys(config.FERNET_KEY?.reveal() ?? generatedSecret(config.DATA_DIR, 'fernet-key').toString()));
  const embedded = config.DATABASE_URL ? null : await startEmbeddedPostgres(config.DATA_DIR, out.complain);
  try {
    const address = embedded?.address ?? { url: config.DATABASE_URL?.reveal() ?? '' };
    if (migrates || embedded) await migrate(address, new Date()); // the embedded one is there by our doing anyway
    return await work({ config, address, box });
  } finally {
    await embedded?.stop();
  }
}
