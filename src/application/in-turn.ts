import { DependencyDown } from './ports/errors.ts';

type Turn = { go: () => void; fail: (error: unknown) => void };

/** Waiting for the same thing; more are shed, not queued up. */
const MOST_WAITING = 1024;

/**
 * Lets `width` pieces of work with the same key run at once in this process; others of that key wait for their turn, first come first
 * served. When a dependency turns out to be down, those who wait hear so with whoever found out, or each would wait for it anew.
 * @throws DependencyDown when too many wait already
 */
export function inTurn(width: number): <T>(key: string, work: () => Promise<T>) => Promise<T> {
  const lines = new Map<string, { running: number; waiting: Turn[] }>();
  return async (key, work) => {
    const line = lines.get(key) ?? { running: 0, waiting: [] };
    lines.set(key, line);
    if (line.running < width) line.running++;
    else if (line.waiting.length < MOST_WAITING) await new Promise<void>((go, fail) => line.waiting.push({ go, fail }));
    else throw new DependencyDown('sign-ins of one account', { retryAfterSeconds: 1 });
    try {
      return await work();
    } catch (error) {
      if (error instanceof DependencyDown) for (const { fail } of line.waiting.splice(0)) fail(error);
      throw error;
    } finally {
      const next = line.waiting.shift();
      if (next) next.go();
      else if (--line.running === 0) lines.delete(key);
    }
  };
}
