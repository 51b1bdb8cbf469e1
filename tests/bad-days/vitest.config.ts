import path from 'node:path';
import { defineConfig } from 'vitest/config';

/** The drills, one after the other: each has servers of its own to kill, and shares the machine with nobody. */
export default defineConfig({
  test: {
    include: ['tests/bad-days/**/*.drill.ts'],
    globalSetup: [path.resolve(import.meta.dirname, '../support/global-setup.ts')],
    fileParallelism: false,
    testTimeout: 420_000,
    hookTimeout: 60_000,
    teardownTimeout: 20_000,
  },
});
