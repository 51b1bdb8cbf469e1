import type { Sql } from 'postgres';
import { DependencyDown } from '#application/ports/errors.ts';
import type { Handle } from './connect.ts';
import { isBroken } from './failure.ts';

/** What has to be done about the statements of postgres.js 3.4.9: where an answer is not whole, and where a transaction was cut. */

/**
 * What a client of postgres.js makes of its template or value. Version 3.4.9 goes on counting where a statement failed in the middle
 * of its rows: the next answer over that connection begins with as many holes as there were rows (porsager/postgres#1181). In a
 * transaction nothing is asked after a failure.
 */
export function statement(client: Sql, self: unknown, parts: unknown[]): unknown {
  const made: unknown = Reflect.apply(client as unknown as () => unknown, self, parts);
  if (!(made instanceof Promise)) return made;
  const asked = made as Promise<unknown> & { resolve: (rows: unknown[]) => void };
  const { resolve } = asked;
  asked.resolve = (rows) => {
    if (rows.length > 0 && !(0 in rows)) rows.splice(0, Number(Object.keys(rows)[0]));
    resolve(rows);
  };
  return made;
}

/**
 * The body of a transaction. Once its caller has been told that it failed, it sends nothing more and does not commit. When its
 * connection was cut it never ends: postgres.js would send a ROLLBACK or COMMIT to a socket that is gone, which brings the
 * process down, or queue it on a connection that is given up, where it is never answered.
 * @param fail ends the transaction at once for its caller
 */
export async function transactionBody<T>(
  tx: Handle,
  work: (tx: Handle) => Promise<T>,
  fate: { isOver: boolean; isCut: boolean },
  fail: (error: unknown) => void,
): Promise<T> {
  const refuseIfOver = () => {
    if (fate.isOver || fate.isCut) throw new DependencyDown('postgres');
  };
  const handle = new Proxy(tx, {
    apply(target, self, parts) {
      refuseIfOver();
      const statement: unknown = Reflect.apply(target as unknown as () => unknown, self, parts);
      if (statement instanceof Promise) hearOfCut(statement, fail);
      return statement;
    },
  });
  try {
    const result = await work(handle);
    refuseIfOver();
    return result;
  } catch (error) {
    if (fate.isCut) return await new Promise<never>(() => {});
    throw error;
  }
}

/**
 * Tells of a cut before the statement's own caller hears of it, who could send the next one in the same turn. postgres.js
 * 3.4.9 answers a statement by its `reject`; to wait for its promise would send it.
 */
function hearOfCut(statement: Promise<unknown> & { reject?: (error: unknown) => void }, tell: (error: unknown) => void): void {
  const { reject } = statement;
  statement.reject = (error) => {
    if (isBroken(error)) tell(error);
    reject?.(error);
  };
}
