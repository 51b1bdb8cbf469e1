import { setTimeout as delay } from 'node:timers/promises';

const LONGEST_MS = 10_000;

/** Asks again and again until there is an answer. @throws after ten seconds, naming what did not come */
export async function until<T>(what: string, ask: () => T | undefined | false | null | Promise<T | undefined | false | null>): Promise<T> {
  const endMs = performance.now() + LONGEST_MS;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false && answer !== null) return answer;
    if (performance.now() > endMs) throw new Error(`It did not happen within ${LONGEST_MS / 1000} seconds: ${what}`);
    await delay(10);
  }
}
