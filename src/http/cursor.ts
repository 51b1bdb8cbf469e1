import { z } from 'zod';
import type { EventPosition } from '#application/ports/store.ts';
import { isRefusal, type Refusal, refuse } from '#domain/problems.ts';
import { time } from './fields.ts';

/** Another version is refused, not misread: what a page is ordered by may change. */
const VERSION = 1;

/** Where a page ended, opaque to clients. It holds nothing that its reader does not know: it needs no seal. */
export function writeCursor(position: readonly string[]): string {
  return Buffer.from(JSON.stringify([VERSION, ...position])).toString('base64url');
}

/**
 * @param position what the list is ordered by, as a tuple of texts
 * @returns null at the beginning, a refusal for what we did not write
 */
export function readCursor<Position extends z.ZodTuple>(
  text: string | undefined,
  position: Position,
): z.output<Position> | null | Refusal<'invalid-request'> {
  if (text === undefined) return null;
  try {
    const [version, ...rest] = z.array(z.unknown()).parse(JSON.parse(Buffer.from(text, 'base64url').toString()));
    if (version === VERSION) return position.parse(rest);
  } catch {}
  const detail = 'Give the next_cursor of a page as it is.';
  return refuse('invalid-request', { detail, errors: [{ pointer: '/query/cursor', detail }] });
}

/** A page of what was asked for with one more than `limit`, and where it ended if there is more. */
export function pageOf<Item>(found: readonly Item[], limit: number, positionOf: (last: Item) => readonly string[]) {
  const items = found.slice(0, limit);
  const last = items.at(-1);
  return { items, nextCursor: found.length > limit && last !== undefined ? writeCursor(positionOf(last)) : null };
}

/** Where a page of events ended. */
export function eventCursorOf({ occurredAt, id }: EventPosition): readonly string[] {
  return [occurredAt.toISOString(), id];
}

export function readEventCursor(text: string | undefined): EventPosition | null | Refusal<'invalid-request'> {
  const position = readCursor(text, z.tuple([time, z.uuid()]));
  return position === null || isRefusal(position) ? position : { occurredAt: new Date(position[0]), id: position[1] };
}
