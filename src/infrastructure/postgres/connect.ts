import type { NetConnectOpts } from 'node:net';
import postgres, { type ISql, type Sql } from 'postgres';
import { DependencyDown } from '#application/ports/errors.ts';
import { deadline, KNOCK_MS, LONGEST_MS, TooLate } from './deadline.ts';
import { isBroken, isLate } from './failure.ts';
import { knock } from './knock.ts';

/** Where PostgreSQL is: a URL, or the socket of the embedded one. */
export type DatabaseAddress = { url: string } | { socketDirectory: string; user: string; database: string };

/** The pool or a transaction: what a statement can be sent with. */
export type Handle = ISql;

export type Database = {
  /** Sends a statement; only inside `within`. */
  sql: Sql;
  /**
   * Runs work that answers in time or fails with DependencyDown: the edge makes it a 503 (DESIGN 6).
   * @param isRepeatable it only reads: when its connection breaks under it, it is tried once more
   */
  within<T>(work: () => PromiseLike<T>, options?: { isRepeatable: boolean }): Promise<T>;
  /** Commits when `work` returns; rolls back when it throws, or when time is up. */
  transaction<T>(work: (tx: Handle) => Promise<T>): Promise<T>;
  check(): Promise<'up' | 'down'>;
  close(): Promise<void>;
};

/** The server gives up by itself a little before we do. */
const STATEMENT_TIMEOUT_MS = LONGEST_MS - 500;
const CONNECT_TIMEOUT_SECONDS = 2;
/** What already runs on a pool that is replaced may end in this time. */
const RETIRE_SECONDS = 5;
const CLOSE_SECONDS = 3;
/** A connection that breaks this soon was stale: there is time to try again. */
const STALE_MS = 100;

/** A client of postgres.js; it connects with the first statement. Types are not asked for at connect, notices are not printed. */
export function connect(address: DatabaseAddress, options: postgres.Options<Record<string, never>> = {}): Sql {
  const all = { onnotice: () => {}, fetch_types: false, ...options };
  if ('url' in address) return postgres(address.url, all);
  return postgres({ ...all, host: address.socketDirectory, username: address.user, database: address.database });
}

/**
 * The one pool of this process.
 * @param prepare false behind PgBouncer in transaction mode: each query is then parsed anew, and the server's own time limits
 * are not asked for, because PgBouncer refuses such parameters
 */
export function openDatabase(address: DatabaseAddress, { poolSize, prepare }: { poolSize: number; prepare: boolean }): Database {
  const limits = { statement_timeout: STATEMENT_TIMEOUT_MS, lock_timeout: STATEMENT_TIMEOUT_MS };
  // Every statement finds its rows by an index whatever the parameters are: it is planned once, not at each call.
  const settings = prepare ? { ...limits, plan_cache_mode: 'force_generic_plan' } : {};
  const open = () =>
    connect(address, {
      max: poolSize,
      prepare,
      connect_timeout: CONNECT_TIMEOUT_SECONDS,
      backoff: () => 0.1,
      connection: { application_name: 'latchkey', ...settings },
    });
  let client = open();
  let isClosed = false;
  let isDown = false;
  let answeredAtMs = 0;
  let knocking: Promise<boolean> | undefined;
  let asking: Promise<unknown> | undefined;

  const isThere = () => {
    knocking ??= knock(doorOf(client), KNOCK_MS).finally(() => {
      knocking = undefined;
    });
    return knocking;
  };

  /**
   * A pool that saw a connection die is not used again: postgres.js 3.4.9 jams a slot that dies with a write pending, and
   * while the server is away it queues without bound and sends all of that afterwards.
   */
  const replace = (seen: Sql, finishSeconds: number) => {
    isDown = true;
    if (seen !== client || isClosed) return;
    client = open();
    seen.end({ timeout: finishSeconds }).catch(() => {});
  };

  async function attempt<T>(work: () => PromiseLike<T>): Promise<T> {
    const used = client;
    const { tooLate, stop } = deadline(isThere, () => answeredAtMs);
    try {
      const result = await Promise.race([work(), tooLate]);
      answeredAtMs = performance.now();
      isDown = false;
      return result;
    } catch (error) {
      if (error instanceof TooLate) replace(used, error.isSilent ? 0 : RETIRE_SECONDS);
      else if (isBroken(error)) replace(used, RETIRE_SECONDS);
      else if (!isLate(error)) throw error;
      throw new DependencyDown('postgres', { cause: error });
    } finally {
      stop();
    }
  }

  const within: Database['within'] = async (work, { isRepeatable } = { isRepeatable: false }) => {
    // While it is down one statement asks for all, and nothing else is queued.
    if (isDown) {
      asking ??= attempt(() => client`select 1`).finally(() => {
        asking = undefined;
      });
      await asking;
    }
    const startedAtMs = performance.now();
    try {
      return await attempt(work);
    } catch (error) {
      const isStale = error instanceof DependencyDown && isBroken(error.cause) && performance.now() - startedAtMs < STALE_MS;
      if (!isRepeatable || !isStale) throw error;
      return await within(work);
    }
  };

  return {
    // Always the pool of the moment.
    sql: new Proxy(client, {
      apply: (_, self, statement) => Reflect.apply(client as unknown as () => unknown, self, statement),
      get: (_, key) => Reflect.get(client, key),
    }),
    within,
    async transaction<T>(work: (tx: Handle) => Promise<T>) {
      const fate = { isOver: false, isCut: false };
      try {
        return await within(() => {
          const begun = client.begin((tx) => body(tx, work, fate));
          begun.catch(() => {
            fate.isCut = true;
          });
          return begun as Promise<T>;
        });
      } finally {
        fate.isOver = true;
      }
    },
    check: () =>
      within(() => client`select 1`).then(
        () => 'up',
        () => 'down',
      ),
    close: () => {
      isClosed = true;
      return client.end({ timeout: CLOSE_SECONDS });
    },
  };
}

/**
 * The body of a transaction. Once its caller has been told that it failed, it sends nothing more. When its connection was cut
 * it never ends: postgres.js would send a ROLLBACK to a socket that is gone and bring the process down; its `begin` hears of
 * the cut by itself.
 */
async function body<T>(tx: Handle, work: (tx: Handle) => Promise<T>, fate: { isOver: boolean; isCut: boolean }): Promise<T> {
  const handle = new Proxy(tx, {
    apply(target, self, statement) {
      if (fate.isOver) throw new DependencyDown('postgres');
      return Reflect.apply(target as unknown as () => unknown, self, statement);
    },
  });
  try {
    return await work(handle);
  } catch (error) {
    await new Promise((resolve) => setImmediate(resolve)); // `begin` hears of a cut in the same turn as the statement under way
    if (fate.isCut) return await new Promise<never>(() => {});
    throw error;
  }
}

/** Where a client of postgres.js connects to, for a socket of our own. */
function doorOf({ options }: Sql): NetConnectOpts {
  const { host, port, path } = options;
  return path ? { path } : { host: host[0] ?? 'localhost', port: port[0] ?? 5432 };
}
