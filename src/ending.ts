/** How the process and its parts come to an end, though one of them does not. */

export type Ending = {
  stop(): Promise<void>;
  /** More than stopping takes when all goes well, and less than an orchestrator waits before it kills. */
  longestMs(): number;
  onError(error: unknown): void;
  exit(exitCode: number): void;
};

/**
 * Ends the process: what runs is stopped first, and the process ends whatever becomes of that, with 1 when it failed or took too long.
 * Called again meanwhile it waits for the same end; the worst code counts.
 */
export function ending({ stop, longestMs, onError, exit }: Ending): (exitCode: number) => Promise<void> {
  let worst: number | null = null;
  const fail = (error: unknown) => {
    worst = 1;
    onError(error);
  };
  return async (exitCode) => {
    const isUnderWay = worst !== null;
    worst = Math.max(worst ?? 0, exitCode);
    if (isUnderWay) return;
    const last = setTimeout(() => {
      try {
        fail(new Error('what runs does not stop in time'));
      } finally {
        exit(1);
      }
    }, longestMs()); // kept: what hangs without a handle would let the process end as if all were well
    try {
      await stop();
    } catch (error) {
      fail(error);
    } finally {
      clearTimeout(last);
      exit(worst);
    }
  };
}

/**
 * Takes the steps one after the other, each of them, though one before it failed: what is left open would outlive its owner.
 * @throws what failed; of several, an AggregateError whose message has all of theirs, for that is what the log shows
 */
export async function takeEach(steps: readonly (() => unknown)[]): Promise<void> {
  const errors: unknown[] = [];
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length === 1) throw errors[0];
  if (errors.length > 1)
    throw new AggregateError(errors, errors.map((error) => (error instanceof Error ? error.message : error)).join('; '));
}
