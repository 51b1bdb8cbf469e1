import type { FastifyInstance } from 'fastify';

/** Takes nothing more and waits for what runs; who has not sent the request or read the answer by then is cut off. */
export async function closeWithin(app: FastifyInstance, longestMs: number): Promise<void> {
  const last = setTimeout(() => app.server.closeAllConnections(), longestMs);
  await app.close();
  clearTimeout(last);
}
