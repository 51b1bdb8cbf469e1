import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestProject } from 'vitest/node';
import { createKeyFolder } from '#infrastructure/crypto/key-folder.ts';
import type { DatabaseAddress } from '#infrastructure/postgres/connect.ts';
import { migrate } from '#infrastructure/postgres/migrate.ts';
import { postgresForTests, redisForTests } from './backing-services.ts';
import { createDatabase, dropDatabase, inDatabase } from './database.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** The server; `database` is one to connect to while others are made and dropped. */
    postgres: DatabaseAddress;
    /** null: the tests that need one cannot run, and the limits are counted in process. */
    redisUrl: string | null;
    /** Migrated; every test file clones it. */
    templateDatabase: string;
    /** Signing keys cost a second to make: one set for the whole run. */
    keysDir: string;
  }
}

/** Once for the whole run: the servers, a migrated template database, signing keys. What cannot be had is said out loud. */
export default async function setup({ provide }: TestProject): Promise<() => Promise<void>> {
  const postgres = await postgresForTests();
  const redis = await redisForTests();
  console.log(`Tests run on ${postgres.name} and ${redis?.name ?? 'no Redis'}.`);
  if (redis === null) {
    const message = 'THERE IS NO REDIS: set TEST_REDIS_URL or install redis-server. The tests that need it do not run.';
    if (process.env['CI']) throw new Error(message);
    console.warn(`\n${message}\n`);
  }

  const keysDir = mkdtempSync(path.join(tmpdir(), 'latchkey-test-keys-'));
  let templateDatabase: string | null = null;
  const teardown = async () => {
    rmSync(keysDir, { recursive: true, force: true });
    if (templateDatabase !== null) await dropDatabase(postgres.where, templateDatabase);
    await redis?.stop();
    await postgres.stop();
  };

  try {
    templateDatabase = await createDatabase(postgres.where);
    await migrate(inDatabase(postgres.where, templateDatabase), new Date());
    createKeyFolder(keysDir, 'RS256', new Date());
  } catch (error) {
    await teardown();
    throw error;
  }
  provide('postgres', postgres.where);
  provide('redisUrl', redis?.where ?? null);
  provide('templateDatabase', templateDatabase);
  provide('keysDir', keysDir);
  return teardown;
}
