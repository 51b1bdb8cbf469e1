import { DependencyDown } from '#application/ports/errors.ts';
import { MOST_WAITING } from './database.ts';

type Asked<In, Out> = { input: In; resolve: (outcome: Out) => void; reject: (error: unknown) => void };

/**
 * Lets calls that come together share a statement: those of one turn of the event loop, and those that come while `atOnce`
 * statements are under way, up to MOST_WAITING. Nobody waits for company: a call alone is sent in its own turn.
 * @param send does the work of all its inputs, or fails with nothing done; one outcome for each, in their order
 * @param keyOf two inputs with the same key are never sent together, when they must not be
 */
export function batched<In, Out>(
  send: (inputs: readonly In[]) => Promise<readonly Out[]>,
  { most, atOnce, keyOf }: { most: number; atOnce: number; keyOf?: (input: In) => string },
): (input: In) => Promise<Out> {
  let waiting: Asked<In, Out>[] = [];
  let underWay = 0;
  let isDue = false;

  const next = () => {
    if (!keyOf) return waiting.splice(0, most);
    const taken = new Map<string, Asked<In, Out>>();
    waiting = waiting.filter((asked) => {
      const key = keyOf(asked.input);
      if (taken.size === most || taken.has(key)) return true;
      taken.set(key, asked);
      return false;
    });
    return [...taken.values()];
  };

  const run = async (batch: Asked<In, Out>[]) => {
    try {
      const outcomes = await send(batch.map(({ input }) => input));
      for (const [index, { resolve }] of batch.entries()) resolve(outcomes[index] as Out);
    } catch (error) {
      // Whatever made it fail is one caller's: the others do not share in it. An outage is everybody's.
      if (batch.length > 1 && !(error instanceof DependencyDown)) await Promise.all(batch.map((asked) => run([asked])));
      else for (const { reject } of batch) reject(error);
      return error;
    }
  };

  const start = async () => {
    underWay++;
    const error = await run(next());
    underWay--;
    // While the server is away nobody waits for somebody else's failure before his own.
    flush(error instanceof DependencyDown);
  };

  const flush = (isAll: boolean) => {
    while (waiting.length > 0 && (isAll || underWay < atOnce)) start();
  };

  return (input) =>
    new Promise((resolve, reject) => {
      if (waiting.length >= MOST_WAITING) return reject(new DependencyDown('postgres', { retryAfterSeconds: 1 }));
      waiting.push({ input, resolve, reject });
      if (isDue || underWay >= atOnce) return;
      isDue = true;
      setImmediate(() => {
        isDue = false;
        flush(false);
      });
    });
}
