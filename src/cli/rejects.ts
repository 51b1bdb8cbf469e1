import { type FileHandle, open, rm } from 'node:fs/promises';
import type { Output } from './command.ts';
import type { Entry } from './user-file.ts';

const MOST_SHOWN = 20;
const MOST_REASONS = 100;

export type Rejects = {
  /** @param reason in words that other lines may share @param detail what is this line's own */
  add(entry: Entry, reason: string, detail?: string): Promise<void>;
  count(): number;
  /** How many lines by reason, the most frequent first. */
  reasons(): Record<string, number>;
  /** @returns the file that holds them all, null when there are none */
  close(): Promise<string | null>;
};

/**
 * Lines that were not taken: the first ones are named at once, all of them are kept in a file that its owner alone can read, for they hold
 * password hashes.
 */
export async function openRejects(file: string, out: Output): Promise<Rejects> {
  // A file of its own: one that was there may be a link to elsewhere, or be open in a process that must not read these.
  await rm(file, { force: true });
  const handle: FileHandle = await open(file, 'wx', 0o600);
  const counts = new Map<string, number>();
  let count = 0;
  return {
    async add({ line, text }, reason, detail) {
      const known = counts.has(reason) || counts.size < MOST_REASONS ? reason : 'other reasons';
      counts.set(known, (counts.get(known) ?? 0) + 1);
      const why = detail === undefined ? reason : `${reason} (${detail})`;
      if (++count <= MOST_SHOWN) out.complain(`line ${line}: ${why}`);
      else if (count === MOST_SHOWN + 1) out.complain(`and more: all of them are in ${file}`);
      await handle.write(`${JSON.stringify({ line, reason: why, input: text })}\n`);
    },
    count: () => count,
    reasons: () => Object.fromEntries([...counts].sort(([, one], [, other]) => other - one)),
    async close() {
      await handle.close();
      if (count > 0) return file;
      await rm(file, { force: true });
      return null;
    },
  };
}
