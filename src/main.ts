import '../tools/runtime/compile-cache.mjs'; // first: it keeps what is loaded after it
import { existsSync } from 'node:fs';
import { ending } from './ending.ts';
import type { Running } from './start.ts';

/** `npm start`: reads the settings, starts the service, and ends it cleanly at SIGTERM or SIGINT (exit code 0). */

// tools/runtime/compile.mjs only loads it.
if (process.env['LATCHKEY_COMPILES'] === undefined) await run();

async function run(): Promise<void> {
  if (existsSync('.env')) process.loadEnvFile('.env');

  /** Beside the drain: what runs is finished (15 s), then mail and jobs (5 s each), then all is closed; 45 seconds are given. */
  const STOP_MS = 35_000;

  let service: Running | undefined;
  let drainMs = 0;
  const end = ending({
    stop: async () => service?.stop(),
    longestMs: () => drainMs + STOP_MS,
    onError: (error) => service?.log.fatal({ err: error }, 'the service did not stop cleanly'),
    exit: process.exit,
  });
  // Before anything is loaded and waited for: process 1 of a container has no default for these and would outlive them.
  process.on('SIGTERM', () => end(0));
  process.on('SIGINT', () => end(0));

  const { ConfigMistakes } = await import('./config.ts');
  const { loadServiceConfig } = await import('./ssm-settings.ts');
  const { start } = await import('./start.ts');
  try {
    const config = await loadServiceConfig(process.env);
    drainMs = config.SHUTDOWN_DRAIN_SECONDS * 1000;
    const running = await start(config);
    service = running;
    for (const line of running.banner) console.log(line);
    // The last resort (ASVS 16.5.4): what nobody caught leaves the process in an unknown state, so it ends and is started anew.
    for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
      process.on(event, (error) => {
        running.log.fatal({ err: error }, event);
        void end(1);
      });
    }
  } catch (error) {
    const { printedError } = await import('./logged-error.ts');
    console.error(error instanceof ConfigMistakes || isForPeople(error) ? error.message : printedError(error));
    process.exit(1);
  }
}

/** An error whose message says what to do; its stack would only hide it. */
function isForPeople(error: unknown): error is Error {
  return error instanceof Error && 'isForPeople' in error;
}
