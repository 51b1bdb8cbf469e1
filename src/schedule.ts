/**
 * Does work at the start and then every so often, one run at a time, until it is stopped.
 * @param work one batch @returns whether more is due now
 * @param onError a run failed (the database is away); the next one tries again
 */
export function every(
  seconds: number,
  work: () => Promise<{ more: boolean }>,
  onError: (error: unknown) => void,
): { stop(): Promise<void> } {
  let isStopped = false;
  let running: Promise<void> | null = null;
  const run = async () => {
    try {
      while ((await work()).more && !isStopped);
    } catch (error) {
      onError(error);
    }
  };
  const start = () => {
    running ??= run().finally(() => {
      running = null;
    });
  };
  const timer = setInterval(start, seconds * 1000);
  start();
  return {
    async stop() {
      isStopped = true;
      clearInterval(timer);
      await running;
    },
  };
}
