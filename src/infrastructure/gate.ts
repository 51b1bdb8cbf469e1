import { DependencyDown } from '#application/ports/errors.ts';

export type Gate = {
  /**
   * Runs the work when it is its turn.
   * @param most may wait for this piece of work to wait too; fewer than usual for one that holds up all behind it
   * @throws DependencyDown when too many wait already: load is shed, not queued up
   */
  run<T>(work: () => Promise<T>, most?: number): Promise<T>;
  /** The same for work that may be given up: whoever asks for a place calls `leave` once, when it has come and is not needed any more. */
  enter(most?: number): Promise<() => void>;
  /** `shed`: how much was turned away since the start. */
  load(): { running: number; waiting: number; shed: number };
};

/** Lets `width` pieces of work run at once and `depth` wait, first come first served (ASVS 15.2.2). */
export function gate(width: number, depth: number, name: string): Gate {
  let running = 0;
  let shed = 0;
  const waiting: (() => void)[] = [];

  const leave = () => {
    const next = waiting.shift();
    if (next)
      next(); // its place is handed on: `running` stays
    else running--;
  };

  const enter = async (most = depth) => {
    if (running < width) running++;
    else if (waiting.length < most) await new Promise<void>((turn) => waiting.push(turn));
    else {
      shed++;
      throw new DependencyDown(name, { retryAfterSeconds: 1 });
    }
    return leave;
  };

  return {
    enter,
    async run(work, most) {
      await enter(most);
      try {
        return await work();
      } finally {
        leave();
      }
    },
    load: () => ({ running, waiting: waiting.length, shed }),
  };
}
