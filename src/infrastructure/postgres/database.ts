import type { Sql } from 'postgres';
import { DependencyDown } from '#application/ports/errors.ts';
import { gate } from '../gate.ts';
import { connect, type DatabaseAddress, doorOf, type Handle } from './connect.ts';
import { deadline, KNOCK_MS, LONGEST_MS, TooLate } from './deadline.ts';
import { isBroken, isLate, isUnable } from './failure.ts';
import { knock } from './knock.ts';
import { statement, transactionBody } from './statements.ts';

export type Database = {
  /** Sends a statement; only inside `within`. */
  sql: Sql;
  /**
   * Runs work that answers in time or fails with DependencyDown: the edge makes it a 503 (docs/architecture.md).
   * @param isRepeatable it only reads, or does once what it is asked twice: when its connection breaks under it, it is tried once more
   */
  within<T>(work: () => PromiseLike<T>, options?: { isRepeatable: boolean }): Promise<T>;
  /** Commits when `work` returns; rolls back when it throws, or when time is up. */
  transaction<T>(work: (tx: Handle) => Promise<T>): Promise<T>;
  check(): Promise<'up' | 'down'>;
  /** Pieces of work under way, those that wait for a connection included, and connections at most; failures since the start. */
  load(): { running: number; size: number; failures: number };
  close(): Promise<void>;
};

/** The server gives up by itself a little before we do. */
const STATEMENT_TIMEOUT_MS = LONGEST_MS - 500;
const CONNECT_TIMEOUT_SECONDS = 2;
/** What already runs on a pool that is replaced may end in this time. */
const RETIRE_MS = 5000;
/** And where a connection broke in this: so long we tell a server that is gone from one that is busy. */
const LOST_MS = 400;
/** So often a server looks whether we are still there: what we gave up must not be done later, nor hold a lock or a connection. */
const CLIENT_CHECK_MS = 250;
const CLOSE_SECONDS = 3;
/** A connection that a discarded pool still makes is made by then. */
const LEFTOVER_MS = (CONNECT_TIMEOUT_SECONDS + 1) * 1000;
/** A connection that breaks this soon was stale: there is time to try again. */
const STALE_MS = 100;

/** So many may wait for a connection, or for a statement to share: more are told at once that the service is busy. */
export const MOST_WAITING = 2000;
/** After so much work all connections are used at once, see `useAll`. */
const USE_ALL_EVERY = 10_000;

/** `close` ends each connection when it has nothing to do; the types of postgres.js 3.4.9 leave it out, and what its connections share. */
type Pool = Sql & { close(): Promise<void>; options: { shared: { retries: number } } };

/**
 * The one pool of this process.
 * @param prepare false behind PgBouncer in transaction mode: each query is then parsed anew, and the server's own time limits
 * are not asked for, because PgBouncer refuses such parameters
 */
export function openDatabase(address: DatabaseAddress, { poolSize, prepare }: { poolSize: number; prepare: boolean }): Database {
  const limits = {
    statement_timeout: STATEMENT_TIMEOUT_MS,
    lock_timeout: STATEMENT_TIMEOUT_MS,
    client_connection_check_interval: CLIENT_CHECK_MS,
  };
  // Every statement finds its rows by an index whatever the parameters are: it is planned once, not at each call. A plan that
  // was made while a table was nearly empty would read it from end to end until the next analyze: so none may. What reads a table
  // of a few rows all the same looks so dear then that the server would compile it, which takes longer than any of our statements.
  const settings = prepare ? { ...limits, plan_cache_mode: 'force_generic_plan', enable_seqscan: 'off', jit: 'off' } : {};
  const open = () => {
    const pool = connect(address, {
      max: poolSize,
      prepare,
      connect_timeout: CONNECT_TIMEOUT_SECONDS,
      backoff: () => 0.1,
      connection: { application_name: 'latchkey', ...settings },
      onclose: () => lose(pool),
    }) as Pool;
    return pool;
  };
  let client = open();
  // Who finds no connection free waits here and not in postgres.js 3.4.9, which would queue without bound, put statements behind others
  // on a connection that may be slow, and keep a place for each of those in a list that it searches at every statement.
  const places = gate(poolSize, MOST_WAITING, 'postgres');
  let isClosed = false;
  let isDown = false;
  let answeredAtMs = 0;
  let running = 0;
  let failures = 0;
  let untilAllUsed = USE_ALL_EVERY;
  let knocking: Promise<boolean> | undefined;
  let asking: Promise<unknown> | undefined;

  const isThere = () => {
    knocking ??= knock(doorOf(client), KNOCK_MS).finally(() => {
      knocking = undefined;
    });
    return knocking;
  };

  const discarded = new WeakSet<Pool>();
  const discard = (seen: Pool) => {
    if (discarded.has(seen)) return;
    discarded.add(seen);
    seen.end({ timeout: 0 }).catch(() => {});
    // A slot that was about to connect again does so after `end` (postgres.js 3.4.9), and would stay open for nobody.
    setTimeout(() => seen.close().catch(() => {}), LEFTOVER_MS).unref();
  };

  /**
   * A pool that lost a connection is not used again, whoever ended it and whether or not anybody noticed (docs/adr/0026). A statement
   * that postgres.js 3.4.9 sends between the 'error' of a socket and its 'close' is forgotten; and when that connection is made anew, the
   * statement takes the greeting for its answer: done, without a row. Others may end what they began, and have less time for it
   * where one may have been forgotten.
   */
  const lose = (seen: Pool) => {
    if (isClosed) return;
    if (seen === client) {
      client = open();
      seen.close().catch(() => {});
    }
    // Counted up before a close that an error caused, and reset when a connection is made.
    const mayForget = seen.options.shared.retries > 0;
    setTimeout(discard, mayForget ? LOST_MS : RETIRE_MS, seen).unref();
  };

  /**
   * Nor is one of which a statement failed to come back: while the server is away postgres.js queues without bound, and sends all of that
   * afterwards. Who is told that nothing comes of a statement must not find it done later: what a pool has queued goes with it.
   */
  const replace = (seen: Pool, error: unknown) => {
    isDown = true;
    if (isClosed) return;
    if (!(error instanceof TooLate)) return lose(seen);
    if (error.isSilent) {
      if (seen === client) client = open();
      return discard(seen);
    }
    if (seen !== client) {
      discard(seen);
      return lose(client); // work that went on with the next pool: which of them hangs, nobody knows
    }
    client = open();
    seen.end({ timeout: RETIRE_MS / 1000 }).catch(() => {}); // starts nothing that is queued
  };

  /**
   * The list of free connections in postgres.js 3.4.9 keeps a place for each time that it handed one out, and searches them all at every
   * statement, until it is empty: that is when all are in use (docs/adr/0025).
   */
  const useAll = () => {
    untilAllUsed = USE_ALL_EVERY;
    if (isClosed) return;
    for (let free = poolSize - places.load().running; free > 0; free--) ask().catch(() => {});
  };

  /** Waits for a connection however many do: who asks whether PostgreSQL is there is not told that we are busy. */
  const ask = () => attempt(() => client`select 1`, Number.POSITIVE_INFINITY);

  /** @param mostWaiting when more wait for a connection, it is not tried @throws DependencyDown */
  async function attempt<T>(work: () => PromiseLike<T>, mostWaiting = MOST_WAITING): Promise<T> {
    let used: Pool | undefined;
    running++;
    const { tooLate, stop } = deadline(isThere, () => answeredAtMs);
    const entered = places.enter(mostWaiting);
    try {
      await Promise.race([entered, tooLate]);
      used = client;
      const result = await Promise.race([work(), tooLate]);
      answeredAtMs = performance.now();
      isDown = false;
      if (--untilAllUsed === 0) setImmediate(useAll);
      return result;
    } catch (error) {
      if (used && (error instanceof TooLate || isBroken(error))) replace(used, error);
      else if (used && !isLate(error) && !isUnable(error)) throw error;
      failures++;
      throw error instanceof DependencyDown ? error : new DependencyDown('postgres', { cause: error });
    } finally {
      running--;
      stop();
      entered.then(
        (leave) => leave(),
        () => {}, // too many waited
      );
    }
  }

  const within: Database['within'] = async (work, { isRepeatable } = { isRepeatable: false }) => {
    // While it is down one statement asks for all, and nothing else is queued.
    if (isDown) {
      asking ??= ask().finally(() => {
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
      apply: (_, self, parts) => statement(client, self, parts),
      get: (_, key) => Reflect.get(client, key),
    }),
    within,
    async transaction<T>(work: (tx: Handle) => Promise<T>) {
      const fate = { isOver: false, isCut: false };
      const run = () =>
        new Promise<T>((resolve, reject) => {
          const fail = (error: unknown) => {
            fate.isCut = true;
            reject(error);
          };
          // What `begin` does after a cut settles late or never: the statement that was cut speaks for it.
          client.begin((tx) => transactionBody(tx, work, fate, fail)).then((result) => resolve(result as T), fail);
        });
      try {
        return await within(run);
      } finally {
        fate.isOver = true;
      }
    },
    check: () =>
      (asking ?? ask()).then(
        () => 'up',
        () => 'down',
      ),
    load: () => ({ running, size: poolSize, failures }),
    close: () => {
      isClosed = true;
      return client.end({ timeout: CLOSE_SECONDS });
    },
  };
}
