import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * Below the range from which Linux gives out ports to whoever does not care, in a slice of each worker's own, and each once: nobody else is
 * given one between now and its use.
 */
const COUNT = 1000;
const FIRST = 11_000 + COUNT * (Number(process.env['VITEST_POOL_ID'] ?? 0) % 9);
const given = new Set<number>();

/** A port that nobody has. @throws when a hundred in a row are taken */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 100; tries++) {
    const port = FIRST + Math.floor(Math.random() * COUNT);
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    return port;
  }
  throw new Error('no port is free');
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const listening = once(server, 'listening').then(
    () => true,
    () => false,
  );
  server.listen(port, '127.0.0.1');
  if (!(await listening)) return false;
  server.close();
  await once(server, 'close');
  return true;
}
