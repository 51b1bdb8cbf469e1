import type { Store } from '#application/ports/store.ts';
import type { Database } from './database.ts';
import { hotPaths } from './hot-paths.ts';
import { reads } from './reads.ts';
import { writes } from './writes.ts';

/** The store on PostgreSQL. A read is one statement on the pool: a READ ONLY transaction around it would cost two round trips. */
export function postgresStore(database: Database): Store {
  const records = reads(database.sql);
  return {
    read: (query) => database.within(() => query(records), { isRepeatable: true }),
    transaction: (work) => database.transaction((tx) => work(writes(tx))),
    hot: hotPaths(database),
  };
}
