import { hash } from 'node:crypto';

const FIRST_SLOTS = 4096;
const FULLEST = 0.75;

/**
 * Which line said something first, for as many lines as there may be: 12 bytes each, by the first 64 bits of SHA-256, in an open table with
 * some room.
 * @returns a function that gives the line that said the same before, or null and remembers this one
 */
export function seenBefore(): (said: string, line: number) => number | null {
  let marks = new BigUint64Array(FIRST_SLOTS);
  let lines = new Uint32Array(FIRST_SLOTS);
  let count = 0;

  const slotOf = (mark: bigint) => {
    let slot = Number(mark & BigInt(marks.length - 1));
    while (lines[slot] !== 0 && marks[slot] !== mark) slot = (slot + 1) & (marks.length - 1);
    return slot;
  };
  const grow = () => {
    const [oldMarks, oldLines] = [marks, lines];
    marks = new BigUint64Array(oldMarks.length * 2);
    lines = new Uint32Array(oldMarks.length * 2);
    for (const [i, line] of oldLines.entries()) {
      if (line === 0) continue;
      const slot = slotOf(oldMarks[i] ?? 0n);
      marks[slot] = oldMarks[i] ?? 0n;
      lines[slot] = line;
    }
  };

  return (said, line) => {
    const mark = hash('sha256', said, 'buffer').readBigUInt64LE();
    const slot = slotOf(mark);
    const before = lines[slot] ?? 0;
    if (before !== 0) return before;
    marks[slot] = mark;
    lines[slot] = line;
    if (++count > FULLEST * marks.length) grow();
    return null;
  };
}
