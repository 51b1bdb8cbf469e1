import { DependencyDown } from '#application/ports/errors.ts';

/** So many in a row without an answer, and nobody asks for a while; then one caller tries. One slow answer stops nobody. */
const FAILURES = 3;
const OPEN_MS = 1000;

export type Circuit = {
  /** @throws DependencyDown while it is open, and when `work` throws it */
  run<T>(work: () => Promise<T>): Promise<T>;
  isOpen(): boolean;
};

/**
 * Those who wait for a service that does not answer would queue up behind each other's time-outs: with it they hear at once. Only
 * `NoAnswer` counts; a service that answers, whatever it says, is there.
 */
export function circuit(name: string): Circuit {
  let failures = 0;
  let openUntilMs = 0;
  return {
    isOpen: () => performance.now() < openUntilMs,
    async run(work) {
      if (performance.now() < openUntilMs) throw new DependencyDown(name);
      if (failures >= FAILURES) openUntilMs = performance.now() + OPEN_MS;
      try {
        const result = await work();
        failures = 0;
        openUntilMs = 0;
        return result;
      } catch (error) {
        if (error instanceof NoAnswer) {
          failures += 1;
          if (failures >= FAILURES) openUntilMs = performance.now() + OPEN_MS;
          throw new DependencyDown(name, { cause: error });
        }
        failures = 0;
        openUntilMs = 0;
        throw error;
      }
    },
  };
}

/** Nothing came back in time, or nobody was there. */
export class NoAnswer extends Error {
  constructor(cause: unknown) {
    super('no answer', { cause });
    this.name = 'NoAnswer';
  }
}
