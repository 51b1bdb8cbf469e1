import postgres, { type Sql } from 'postgres';
import { DependencyDown } from '#application/ports/errors.ts';

/** Where PostgreSQL is: a URL, or the socket of the embedded one. */
export type DatabaseAddress = { url: string } | { socketDirectory: string; user: string; database: string };

export type Database = {
  sql: Sql;
  /** Runs work that answers in time or fails with DependencyDown: the edge makes it a 503 (DESIGN 6). */
  within<T>(work: () => PromiseLike<T>): Promise<T>;
  check(): Promise<'up' | 'down'>;
  close(): Promise<void>;
};

/** No answer to anything for this long, while something waits: PostgreSQL is gone or frozen, not busy. */
const SILENCE_MS = 400;
/** However busy: nobody waits longer for one piece of work. */
const LONGEST_MS = 5000;

const CONNECTION_CODES = new Set([
  'CONNECTION_CLOSED',
  'CONNECTION_ENDED',
  'CONNECTION_DESTROYED',
  'CONNECT_TIMEOUT',
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ENOENT', // the socket of the embedded server
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  '53300', // too many connections
  '57P01',
  '57P02',
  '57P03', // shutting down, crashed, starting up
]);

export function connectionOptions(address: DatabaseAddress): postgres.Options<Record<string, never>> {
  const common = { onnotice: () => {}, fetch_types: false } as const;
  if ('url' in address) return common;
  return { ...common, host: address.socketDirectory, username: address.user, database: address.database };
}

export function connect(address: DatabaseAddress, options: postgres.Options<Record<string, never>> = {}): Sql {
  const all = { ...connectionOptions(address), ...options };
  return 'url' in address ? postgres(address.url, all) : postgres(all);
}

/**
 * The one pool of this process.
 * @param prepare false behind PgBouncer in transaction mode: each query is then parsed anew
 */
export function openDatabase(address: DatabaseAddress, { poolSize, prepare }: { poolSize: number; prepare: boolean }): Database {
  const sql = connect(address, {
    max: poolSize,
    prepare,
    connect_timeout: 2,
    backoff: () => 0.1,
    connection: { application_name: 'latchkey', statement_timeout: LONGEST_MS, lock_timeout: LONGEST_MS },
  });
  let answeredAtMs = performance.now();

  async function within<T>(work: () => PromiseLike<T>): Promise<T> {
    const startedAtMs = performance.now();
    let timer: NodeJS.Timeout | undefined;
    const tooLate = new Promise<never>((_, reject) => {
      const look = () => {
        const now = performance.now();
        const isSilent = now - Math.max(answeredAtMs, startedAtMs) >= SILENCE_MS - 1;
        if (isSilent || now - startedAtMs >= LONGEST_MS) reject(new DependencyDown('postgres'));
        else timer = setTimeout(look, SILENCE_MS - (now - Math.max(answeredAtMs, startedAtMs)));
      };
      // A busy event loop fires timers before it reads the sockets: answers that are here already are counted first.
      timer = setTimeout(() => setImmediate(look), SILENCE_MS);
    });
    try {
      const result = await Promise.race([work(), tooLate]);
      answeredAtMs = performance.now();
      return result;
    } catch (error) {
      if (!isConnectionError(error)) {
        if (!(error instanceof DependencyDown)) answeredAtMs = performance.now();
        throw error;
      }
      throw new DependencyDown('postgres', { cause: error });
    } finally {
      clearTimeout(timer);
    }
  }

  return {
    sql,
    within,
    check: async () => {
      try {
        await within(() => sql`select 1`);
        return 'up';
      } catch {
        return 'down';
      }
    },
    close: () => sql.end({ timeout: 3 }),
  };
}

export function isConnectionError(error: unknown): boolean {
  if (!(error instanceof Error) || !('code' in error)) return false;
  const code = String(error.code);
  return CONNECTION_CODES.has(code) || code.startsWith('08');
}
