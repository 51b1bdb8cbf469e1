import { joinEmbeddedPostgres } from '#infrastructure/embedded/join.ts';
import { answers, type DatabaseAddress } from '#infrastructure/postgres/connect.ts';
import type { Config } from '../config.ts';

/** A server that says nothing for this long is not waited for: people who mistype a host get their prompt back. */
const ANSWER_MS = 800;

/**
 * Does work where the database of the settings is: DATABASE_URL, or the embedded one, which is joined where a service runs it and else
 * runs as long as `work`.
 * @throws a sentence for people when nobody answers there
 */
export async function withAddress<T>(
  config: Config,
  complain: (line: string) => void,
  work: (address: DatabaseAddress) => Promise<T>,
): Promise<T> {
  if (config.DATABASE_URL) {
    const address = { url: config.DATABASE_URL.reveal() };
    const { door, isThere } = await answers(address, ANSWER_MS);
    if (!isThere) throw new Error(`PostgreSQL does not answer at ${door}: is it running, and is DATABASE_URL right?`);
    return await work(address);
  }
  const embedded = await joinEmbeddedPostgres(config.DATA_DIR, complain);
  try {
    return await work(embedded.address);
  } finally {
    await embedded.stop();
  }
}
