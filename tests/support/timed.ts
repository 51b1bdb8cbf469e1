import { expect } from 'vitest';

/** Promised are 500 ms (docs/architecture.md); the rest is for a test machine that has other things to do. */
const SOON_MS = 1500;

/** Does it, and holds it to the time in which a dead dependency must be answered for. */
export async function timed<T>(what: string, work: () => Promise<T>): Promise<T> {
  const startedMs = performance.now();
  const result = await work();
  const tookMs = Math.round(performance.now() - startedMs);
  expect(tookMs, `${what} took ${tookMs} ms`).toBeLessThan(SOON_MS);
  if (process.env['TEST_TIMES']) console.log(`${what}: ${tookMs} ms`);
  return result;
}
