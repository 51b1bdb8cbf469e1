import { once } from 'node:events';
import { createServer } from 'node:net';

/** Below the range from which the kernel takes ports for whoever does not care: nobody is given one of these between now and its use. */
const [FIRST, COUNT] = [11_000, 9000];

/** A port that nobody has at this moment. @throws when ten in a row are taken */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 10; tries++) {
    const port = FIRST + Math.floor(Math.random() * COUNT);
    if (await isFree(port)) return port;
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
