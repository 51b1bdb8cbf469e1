import { setTimeout as delay } from 'node:timers/promises';

const LONGEST_SECONDS = 10;

/** Asks again and again until there is an answer. @throws after ten seconds, unless it is given more, naming what did not come */
export async function until<T>(
  what: string,
  ask: () => T | undefined | false | null | Promise<T | undefined | false | null>,
  longestSeconds = LONGEST_SECONDS,
): Promise<T> {
  const endMs = performance.now() + longestSeconds * 1000;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false && answer !== null) return answer;
    if (performance.now() > endMs) throw new Error(`It did not happen within ${longestSeconds} seconds: ${what}`);
    await delay(10);
  }
}
