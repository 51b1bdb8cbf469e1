import { defineConfig } from 'vitest/config';

/**
 * Files run side by side, each with a database and a Redis key prefix of its own (tests/support/global-setup.ts). Those of one worker share
 * the modules that they load: loading the service anew for each file takes a fifth of the CPU.
 */
export default defineConfig({
  test: {
    include: ['tests/**/*.test.ts'],
    globalSetup: ['tests/support/in-memory.ts', 'tests/support/global-setup.ts'],
    isolate: false,
    maxWorkers: 3,
    testTimeout: 30_000,
    hookTimeout: 30_000,
    teardownTimeout: 20_000,
  },
});
