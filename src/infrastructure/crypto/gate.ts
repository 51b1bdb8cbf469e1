import { DependencyDown } from '#application/ports/errors.ts';

export type Gate = {
  /**
   * Runs the work when it is its turn.
   * @param most may wait for this piece of work to wait too; fewer than usual for one that holds up all behind it
   * @throws DependencyDown when too many wait already: load is shed, not queued up
   */
  run<T>(work: () => Promise<T>, most?: number): Promise<T>;
  /** `shed`: how much was turned away since the start. */
  load(): { running: number; waiting: number; shed: number };
};

/** Lets `width` pieces of work run at once and `depth` wait, first come first served (ASVS 15.2.2). */
export function gate(width: number, depth: number, name: string): Gate {
  let running = 0;
  let shed = 0;
  const waiting: (() => void)[] = [];

  return {
    async run(work, most = depth) {
      if (running < width) running++;
      else if (waiting.length < most) await new Promise<void>((turn) => waiting.push(turn));
      else {
        shed++;
        throw new DependencyDown(name, { retryAfterSeconds: 1 });
      }
      try {
        return await work();
      } finally {
        const next = waiting.shift();
        if (next)
          next(); // its place is handed on: `running` stays
        else running--;
      }
    },
    load: () => ({ running, waiting: waiting.length, shed }),
  };
}
