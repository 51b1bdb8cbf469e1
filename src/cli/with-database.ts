import { startEmbeddedPostgres } from '#infrastructure/embedded/embedded-postgres.ts';
import { type Database, openDatabase } from '#infrastructure/postgres/connect.ts';
import type { Config } from '../config.ts';

/** Does work on the database of the settings, the embedded one included, and closes it however that ends. */
export async function withDatabase<T>(
  config: Config,
  complain: (line: string) => void,
  work: (database: Database) => Promise<T>,
): Promise<T> {
  const embedded = config.DATABASE_URL ? null : await startEmbeddedPostgres(config.DATA_DIR, complain);
  try {
    const address = embedded?.address ?? { url: config.DATABASE_URL?.reveal() ?? '' };
    const database = openDatabase(address, { poolSize: 2, prepare: config.DATABASE_PREPARE });
    try {
      return await work(database);
    } finally {
      await database.close();
    }
  } finally {
    await embedded?.stop();
  }
}
