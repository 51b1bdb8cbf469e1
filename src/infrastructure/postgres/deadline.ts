/** After this long without a result we knock; after as long again without an answer to that, nobody is there: 400 ms in all. */
const QUIET_MS = 200;
export const KNOCK_MS = 200;
/** However busy the server: nobody waits longer for one piece of work. */
export const LONGEST_MS = 5000;

/** Waiting any longer is in vain. */
export class TooLate extends Error {
  /** Nobody is there, as against: somebody is, but this takes too long. */
  readonly isSilent: boolean;

  constructor(isSilent: boolean) {
    super(isSilent ? 'PostgreSQL is gone or frozen' : 'PostgreSQL takes too long');
    this.isSilent = isSilent;
  }
}

/**
 * Tells a server that is gone or frozen from one that is busy: asks at the door each time that nothing was heard for a while.
 * @param isThere knocks @param answeredAtMs when anybody last got an answer, by `performance.now`
 * @returns `tooLate`, which rejects with TooLate and never settles otherwise; `stop` ends the watch
 */
export function deadline(isThere: () => Promise<boolean>, answeredAtMs: () => number): { tooLate: Promise<never>; stop(): void } {
  const startedAtMs = performance.now();
  let isStopped = false;
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_, reject) => {
    const look = async () => {
      if (isStopped) return;
      const askedAtMs = performance.now();
      if (askedAtMs - startedAtMs >= LONGEST_MS) return reject(new TooLate(false));
      if (!(await isThere()) && answeredAtMs() < askedAtMs) return reject(new TooLate(true));
      if (!isStopped) wait();
    };
    // A busy event loop fires timers before it reads sockets: results that are here already are taken first.
    const wait = () => {
      timer = setTimeout(() => setImmediate(() => look().catch(reject)), QUIET_MS);
    };
    wait();
  });
  return {
    tooLate,
    stop() {
      isStopped = true;
      clearTimeout(timer);
    },
  };
}
