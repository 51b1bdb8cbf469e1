const WIDTH = 30;
const EVERY_MS = 200;

/** A bar on a terminal; elsewhere nothing, so that logs stay readable. */
export function progressBar(stream: NodeJS.WriteStream): { show(share: number, text: string): void; end(): void } {
  if (!stream.isTTY) return { show() {}, end() {} };
  let shownAtMs = 0;
  return {
    show(share, text) {
      const nowMs = performance.now();
      if (nowMs - shownAtMs < EVERY_MS && share < 1) return;
      shownAtMs = nowMs;
      const full = Math.round(Math.min(1, share) * WIDTH);
      stream.write(`\r\x1b[K[${'#'.repeat(full)}${'.'.repeat(WIDTH - full)}] ${Math.floor(share * 100)} %  ${text}`);
    },
    end: () => void stream.write('\r\x1b[K'),
  };
}

/**
 * Counts on a terminal while work goes on whose end nobody knows; elsewhere nothing.
 * @param what is counted, as "events proved"
 */
export async function counting<T>(
  what: string,
  work: (tell: (count: number) => void) => Promise<T>,
  stream: NodeJS.WriteStream = process.stderr,
): Promise<T> {
  if (!stream.isTTY) return await work(() => {});
  let shownAtMs = 0;
  try {
    return await work((count) => {
      const nowMs = performance.now();
      if (nowMs - shownAtMs < EVERY_MS) return;
      shownAtMs = nowMs;
      stream.write(`\r\x1b[K… ${count} ${what}`);
    });
  } finally {
    stream.write('\r\x1b[K');
  }
}
