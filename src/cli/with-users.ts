import { fernetBox, parseFernetKeys } from '#infrastructure/crypto/fernet.ts';
import { generatedSecret } from '#infrastructure/embedded/generated-secret.ts';
import type { DatabaseAddress } from '#infrastructure/postgres/connect.ts';
import { migrate } from '#infrastructure/postgres/migrate.ts';
import type { Config } from '../config.ts';
import { loadCommandConfig } from '../ssm-settings.ts';
import type { Output } from './command.ts';
import { withAddress } from './with-address.ts';

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
  const config = await loadCommandConfig(process.env, ['FERNET_KEY']);
  const box = fernetBox(parseFernetKeys(config.FERNET_KEY?.reveal() ?? generatedSecret(config.DATA_DIR, 'fernet-key').toString()));
  return await withAddress(config, out.complain, async (address) => {
    if (migrates || !config.DATABASE_URL) await migrate(address, new Date()); // the embedded one is there by our doing anyway
    return await work({ config, address, box });
  });
}
