import { type AuditChain, type Entry, entriesIn } from './audit-chain.ts';
import type { AuditRow, Place, Seal } from './ports/audit-trail.ts';
import { BATCH } from './seal-audit.ts';

/** What is wrong, and where first. `id` names an event, `seal` a link of the chain. */
export type Broken =
  | { what: 'changed' | 'deleted' | 'inserted'; id: string; month: string }
  | { what: 'seal-changed' | 'seal-missing' | 'seal-of-unknown-key'; seal: number; month: string }
  | { what: 'archive-changed' | 'archive-of-unknown-key' | 'head-differs'; month: string; why: string };

/** Events that come in their order, looked at one ahead. */
export type RowQueue = { next(): Promise<AuditRow | undefined>; peek(): Promise<AuditRow | undefined> };

export function rowQueue(rows: AsyncIterable<AuditRow>): RowQueue {
  const iterator = rows[Symbol.asyncIterator]();
  let ahead: AuditRow | undefined;
  const peek = async () => {
    if (ahead === undefined) {
      const { done, value } = await iterator.next();
      ahead = done ? undefined : value;
    }
    return ahead;
  };
  return {
    peek,
    async next() {
      const row = await peek();
      ahead = undefined;
      return row;
    },
  };
}

/** How many events that no seal claims are held in memory, to name the first of them. */
const MOST_ADDED = 100;

/**
 * Holds the events up to each seal against it. Events of other months that stand in between wait for their own seal: no more of
 * them than a batch holds.
 * @param exists whether an event is elsewhere: tells one that was moved from one that is gone
 */
export function prover(chain: AuditChain, rows: RowQueue, exists: (id: string) => Promise<boolean>) {
  const waiting = new Map<string, AuditRow[]>();
  return {
    async prove(seal: Seal): Promise<Broken | null> {
      const { month } = seal;
      for (;;) {
        const row = await rows.peek();
        if (!row || isAfter(row, { position: seal.lastPosition, id: seal.lastId })) break;
        await rows.next();
        const queue = waiting.get(row.month) ?? [];
        queue.push(row);
        waiting.set(row.month, queue);
        const most = row.month === month ? seal.events : BATCH;
        if (queue.length > most + MOST_ADDED) return firstAdded(entriesIn(seal), queue);
      }
      const entries = entriesIn(seal);
      const queue = waiting.get(month) ?? [];
      // Those of the month that the next seals of the same batch do not claim.
      waiting.delete(month);
      return await firstBroken(chain, seal, entries, queue, exists);
    },
    /** An event that no seal has claimed, though seals went past it. */
    unclaimed(): Broken | null {
      const first = [...waiting.values()].flat().sort((one, other) => (isAfter(one, other) ? 1 : -1))[0];
      return first ? { what: 'inserted', id: first.id, month: first.month } : null;
    },
  };
}

function firstAdded(entries: readonly Entry[], rows: readonly AuditRow[]): Broken | null {
  const claimed = new Set(entries.map(({ id }) => id));
  const added = rows.find(({ id }) => !claimed.has(id)) ?? rows.at(-1); // else one of them stands there many times
  return added ? { what: 'inserted', id: added.id, month: added.month } : null;
}

async function firstBroken(
  chain: AuditChain,
  { keyId, month }: Seal,
  entries: readonly Entry[],
  rows: readonly AuditRow[],
  exists: (id: string) => Promise<boolean>,
): Promise<Broken | null> {
  for (const [index, entry] of entries.entries()) {
    const row = rows[index];
    if (row?.id === entry.id) {
      if (chain.isLine(row.line, entry, keyId)) continue;
      return { what: 'changed', id: row.id, month };
    }
    const isFurtherOn = rows.some(({ id, line }) => id === entry.id && chain.isLine(line, entry, keyId));
    // What stands in its place was added, or is one of these that was moved ahead.
    if (row && isFurtherOn) return { what: entries.some(({ id }) => id === row.id) ? 'changed' : 'inserted', id: row.id, month };
    return { what: (await exists(entry.id)) ? 'changed' : 'deleted', id: entry.id, month };
  }
  const extra = rows[entries.length];
  return extra ? { what: 'inserted', id: extra.id, month } : null;
}

export function isAfter(one: Place, other: Place): boolean {
  return one.position === other.position ? one.id > other.id : one.position > other.position;
}

/** Pages as one stream: memory stays flat. */
export async function* paged<Item>(page: (last: Item | undefined) => Promise<readonly Item[]>): AsyncGenerator<Item, undefined> {
  for (let last: Item | undefined; ; ) {
    const items = await page(last);
    yield* items;
    last = items.at(-1);
    if (last === undefined) return;
  }
}
