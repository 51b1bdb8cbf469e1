import { z } from 'zod';

/** Where a list goes on: the time and the id of the last one that was sent. It opens nothing, so it needs no signature. */
type Position = { occurredAt: Date; id: string };

const LATEST_MS = 8.64e15; // ECMA-262 21.4.1.1

/** A position as an opaque word: 8 bytes of time, 16 of the id. */
export function cursorOf({ occurredAt, id }: Position): string {
  const time = Buffer.alloc(8);
  time.writeBigUInt64BE(BigInt(occurredAt.getTime()));
  return Buffer.concat([time, Buffer.from(id.replaceAll('-', ''), 'hex')]).toString('base64url');
}

export const cursor = z
  .string()
  .max(32)
  .refine((text) => positionOf(text) !== null, 'It is not a cursor of this list.')
  .describe('next_cursor of the page before');

/** @returns null for what `cursor` does not let through */
export function positionOf(text: string): Position | null {
  if (!/^[A-Za-z0-9_-]{32}$/.test(text)) return null;
  const bytes = Buffer.from(text, 'base64url');
  const ms = Number(bytes.readBigUInt64BE(0));
  const id = bytes.toString('hex', 8).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
  return ms <= LATEST_MS ? { occurredAt: new Date(ms), id } : null;
}
