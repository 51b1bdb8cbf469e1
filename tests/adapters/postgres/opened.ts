import { afterAll, beforeAll, beforeEach } from 'vitest';
import type { Outbox, Store } from '#application/ports/store.ts';
import { type Database, openDatabase } from '#infrastructure/postgres/connect.ts';
import { postgresOutbox } from '#infrastructure/postgres/outbox.ts';
import { postgresStore } from '#infrastructure/postgres/store.ts';
import { type TestDatabase, testDatabase } from '#tests/support/database.ts';

export type Opened = TestDatabase & { database: Database; store: Store; outbox: Outbox };

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
    await opened.sql`truncate accounts, sessions, tickets, login_throttles, audit_events, outbox`;
  });
  afterAll(async () => {
    await opened.database.close();
    await opened.drop();
  });
  return opened;
}
