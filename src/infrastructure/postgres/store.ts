import type { Store } from '#application/ports/store.ts';
import type { Database } from './connect.ts';
import { hotPaths } from './hot-paths.ts';
import { reads } from './reads.ts';
import { writes } from './writes.ts';

/** The store on PostgreSQL. A read is one statement on the pool: a READ ONLY transaction around it would cost two round trips. */
export function postgresStore({ sql, within }: Database): Store {
  const records = reads(sql);
  return {
    read: (query) => within(() => query(records)),
    transaction: <T>(work: Parameters<Store['transaction']>[0]) => within(() => sql.begin((tx) => work(writes(tx)))) as Promise<T>,
    hot: hotPaths(sql, within),
  };
}
