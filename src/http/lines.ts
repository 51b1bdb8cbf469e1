import { Readable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import type { z } from 'zod';

export const NDJSON = 'application/x-ndjson';

/**
 * Answers of any length in flat memory: a line is made when the client has room for it, and none after it has gone. What a
 * stopping service has not sent yet is cut, so that a client that reads slowly does not hold it.
 */
export function lineStreams(app: FastifyInstance): (items: AsyncIterable<unknown>, line: z.ZodType) => Readable {
  const open = new Set<Readable>();
  app.addHook('preClose', (done) => {
    for (const stream of open) stream.destroy(new Error('the service stops'));
    done();
  });
  return (items, line) => {
    const stream = Readable.from(written(items, line), { objectMode: false });
    open.add(stream);
    stream.once('close', () => open.delete(stream));
    return stream;
  };
}

async function* written(items: AsyncIterable<unknown>, line: z.ZodType): AsyncGenerator<string> {
  for await (const item of items) yield `${JSON.stringify(line.parse(item))}\n`;
}
