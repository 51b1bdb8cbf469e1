import type { FastifyRateLimitStore } from '@fastify/rate-limit';

/** Networks that are watched at once; about 200 bytes each. */
const MOST_NETWORKS = 50_000;

/**
 * How much each network asked of this process in its present window. By the clock that only goes forward: with the plugin's own store, a
 * wall clock that is set back makes a window as long as that. Of too many networks those whose window began first are forgotten.
 */
export class FloodStore implements FastifyRateLimitStore {
  readonly #windows = new Map<string, { current: number; endMs: number }>();

  incr(network: string, done: (error: Error | null, counted?: { current: number; ttl: number }) => void, windowMs = 60_000): void {
    const nowMs = performance.now();
    const known = this.#windows.get(network);
    const isAlive = known !== undefined && known.endMs > nowMs;
    const window = isAlive ? known : { current: 0, endMs: nowMs + windowMs };
    window.current += 1;
    if (!isAlive) {
      this.#windows.delete(network);
      this.#windows.set(network, window);
      const [oldest] = this.#windows.keys();
      if (this.#windows.size > MOST_NETWORKS && oldest !== undefined) this.#windows.delete(oldest);
    }
    done(null, { current: window.current, ttl: window.endMs - nowMs });
  }

  child(): FastifyRateLimitStore {
    return this;
  }
}
