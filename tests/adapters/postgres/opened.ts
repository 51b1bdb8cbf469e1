import { afterAll, beforeAll, beforeEach } from 'vitest';
import type { Outbox } from '#application/ports/outbox.ts';
import type { Store } from '#application/ports/store.ts';
import type { Handle } from '#infrastructure/postgres/connect.ts';
import { type Database, openDatabase } from '#infrastructure/postgres/database.ts';
import { postgresOutbox } from '#infrastructure/postgres/outbox.ts';
import { postgresStore } from '#infrastructure/postgres/store.ts';
import { clearTrail } from '#tests/support/audit.ts';
import { type TestDatabase, testDatabase } from '#tests/support/database.ts';
import { until } from '#tests/support/until.ts';

export type Opened = TestDatabase & { database: Database; store: Store; outbox: Outbox };

/**
 * Lets calls meet for certain: `hold` takes a lock that each of them needs, and lets go when all of them wait for it.
 * @returns what the calls returned
 */
export async function meeting<T>({ sql }: Opened, hold: (tx: Handle) => PromiseLike<unknown>, calls: (() => Promise<T>)[]): Promise<T[]> {
  const running: Promise<T>[] = [];
  await sql.begin(async (tx) => {
    await hold(tx);
    running.push(...calls.map((call) => call()));
    await until(`${calls.length} wait for the lock`, async () => {
      const waiting = await sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
      return waiting.length >= calls.length;
    });
  });
  return await Promise.all(running);
}

/** A database for this file and the store on it, empty before each test. */
export function openedForTests(): Opened {
  const opened = {} as Opened;
  beforeAll(async () => {
    Object.assign(opened, await testDatabase());
    opened.database = openDatabase(opened.address, { poolSize: 10, prepare: true });
    opened.store = postgresStore(opened.database);
    opened.outbox = postgresOutbox(opened.database);
  });
  beforeEach(async () => {
    await opened.sql`truncate accounts, login_throttles cascade`;
    await clearTrail(opened.sql);
  });
  afterAll(async () => {
    await opened.database.close();
    await opened.drop();
  });
  return opened;
}
