import { hash, randomUUID } from 'node:crypto';
import { closeSync, ftruncateSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs';

const MARK_BYTES = 12;
const SLOT_BYTES = MARK_BYTES + 4;
/** Read at once: where most searches end, and no more than a page of the file. */
const WINDOW_SLOTS = 16;
const FIRST_SLOTS = 65_536;
const FULLEST = 0.75;

export type SeenBefore = {
  /** @returns the line that said the same before, or null and remembers this one */
  lineOf(said: string, line: number): number | null;
  close(): void;
};

/**
 * Which line said something first, for as many lines as there may be, in the same memory for any number: an open table in a file, 16 bytes
 * each by the first 96 bits of SHA-256, with some room. The file has no name any more as soon as it is open, so that nothing of it stays
 * behind, however this process ends.
 * @param beside a file in whose folder there is room: a temporary folder is often memory
 */
export function openSeenBefore(beside: string): SeenBefore {
  let table = openTable(beside, FIRST_SLOTS);
  let count = 0;
  return {
    lineOf(said, line) {
      const slot = Buffer.alloc(SLOT_BYTES);
      hash('sha256', said, 'buffer').copy(slot, 0, 0, MARK_BYTES);
      slot.writeUInt32LE(line, MARK_BYTES);
      const before = table.keep(slot);
      if (before === null && ++count > FULLEST * table.slots) table = doubled(table, beside);
      return before;
    },
    close: () => table.close(),
  };
}

type Table = ReturnType<typeof openTable>;

function openTable(beside: string, slots: number) {
  const file = `${beside}.${randomUUID()}.tmp`;
  const fd = openSync(file, 'wx+', 0o600);
  unlinkSync(file);
  ftruncateSync(fd, slots * SLOT_BYTES); // a hole of zeros, and no line is 0
  const window = Buffer.alloc(WINDOW_SLOTS * SLOT_BYTES);

  return {
    slots,
    /** Writes it to the first free slot from its place on, unless its mark is there. @returns the line of that mark */
    keep(kept: Buffer): number | null {
      for (let first = kept.readUInt32LE() & (slots - 1); ; first = (first + WINDOW_SLOTS) & (slots - 1)) {
        const read = readSync(fd, window, 0, window.length, first * SLOT_BYTES); // less at the end of the table
        for (let at = 0; at < read; at += SLOT_BYTES) {
          const line = window.readUInt32LE(at + MARK_BYTES);
          if (line !== 0 && window.compare(kept, 0, MARK_BYTES, at, at + MARK_BYTES) !== 0) continue;
          if (line === 0) writeSync(fd, kept, 0, SLOT_BYTES, first * SLOT_BYTES + at);
          return line === 0 ? null : line;
        }
        if (read < window.length) first = -WINDOW_SLOTS;
      }
    },
    *kept(): Generator<Buffer> {
      for (let first = 0; first < slots; first += WINDOW_SLOTS) {
        const some = Buffer.alloc(window.length);
        readSync(fd, some, 0, some.length, first * SLOT_BYTES);
        for (let at = 0; at < some.length; at += SLOT_BYTES) {
          if (some.readUInt32LE(at + MARK_BYTES) !== 0) yield some.subarray(at, at + SLOT_BYTES);
        }
      }
    },
    close: () => closeSync(fd),
  };
}

function doubled(full: Table, beside: string): Table {
  const roomy = openTable(beside, full.slots * 2);
  for (const slot of full.kept()) roomy.keep(slot);
  full.close();
  return roomy;
}
