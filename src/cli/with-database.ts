import { type Database, openDatabase } from '#infrastructure/postgres/database.ts';
import type { Config } from '../config.ts';
import { withAddress } from './with-address.ts';

/** What a command that works in parallel has; the service beside it keeps the rest. */
export const CONNECTIONS = 4;

/** Does work on the database of the settings, the embedded one included, and closes it however that ends. */
export async function withDatabase<T>(
  config: Config,
  complain: (line: string) => void,
  work: (database: Database) => Promise<T>,
): Promise<T> {
  return await withAddress(config, complain, async (address) => {
    const database = openDatabase(address, { poolSize: CONNECTIONS, prepare: config.DATABASE_PREPARE });
    try {
      return await work(database);
    } finally {
      await database.close();
    }
  });
}
