/**
 * What the work came to, unless it takes longer than that. The limit is waited for in two halves, and sockets are read after each: a
 * process that was held up itself (a pause of its event loop, a machine with too little of its processors for it) fires its timers before
 * it reads the answers that are here already, and would take its own pause for a Redis that is gone.
 * @throws Error when it takes longer; what the work comes to after that is nobody's
 */
export async function within<T>(limitMs: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  let isSettled = false;
  const half = (then: () => void) => {
    timer = setTimeout(() => setImmediate(() => isSettled || then()), limitMs / 2);
  };
  const tooLate = new Promise<never>((_, reject) => {
    half(() => half(() => reject(new Error(`no answer within ${limitMs} ms`))));
  });
  try {
    return await Promise.race([work, tooLate]);
  } finally {
    isSettled = true;
    clearTimeout(timer);
  }
}
