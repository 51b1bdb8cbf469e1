/** How long a message of another process waits at most; our own are sent at once (`wake`). */
const POLL_MS = 1000;

export type Dispatcher = { wake(): void; stop(): Promise<void> };

/**
 * The outbox worker's loop: sends at every `wake` and once a second, one run at a time.
 * @param deliver sends one batch @returns whether more is due
 * @param onError a run failed (the database is away); the next one tries again
 */
export function startDispatcher(deliver: () => Promise<{ more: boolean }>, onError: (error: unknown) => void): Dispatcher {
  let running: Promise<void> | null = null;
  let isWanted = false;
  let isStopped = false;

  const run = async () => {
    do {
      isWanted = false;
      try {
        while ((await deliver()).more && !isStopped);
      } catch (error) {
        onError(error);
        isWanted = false;
      }
    } while (isWanted && !isStopped);
  };
  const wake = () => {
    isWanted = true;
    if (isStopped || running) return;
    running = run().finally(() => {
      running = null;
    });
  };
  const timer = setInterval(wake, POLL_MS);
  return {
    wake,
    async stop() {
      isStopped = true;
      clearInterval(timer);
      await running;
    },
  };
}
