import { createHash } from 'node:crypto';
import type { AuditChain } from './audit-chain.ts';
import { filesOf } from './audit-manifest.ts';
import type { ArchiveStore, RestoredTable } from './ports/audit-trail.ts';
import type { Broken } from './prove-rows.ts';
import { verifyArchive } from './verify-archive.ts';

const LINES_AT_ONCE = 1000;

export type Restored = { table: string; events: number };
export type NotRestored = { broken: Broken } | { exists: true };

export type RestoreAudit = { store: ArchiveStore; chain: AuditChain; restored: RestoredTable; onProgress?: (events: number) => void };

export function restoreAudit({ store, chain, restored, onProgress = () => {} }: RestoreAudit) {
  /**
   * Loads an archived month into a table of its own, for an auditor to query: never into the live one. The archive is proved
   * first, and the table is read back and held against it before it gets its name.
   * @returns what is broken, or that there is such a table already; then nothing was loaded
   */
  return async (month: string): Promise<Restored | NotRestored> => {
    const { broken, manifest } = await verifyArchive({ store, chain })(month);
    if (broken) return { broken };
    const file = await store.read(filesOf(month).events);
    if (!file || !manifest) throw new Error(`The archive of ${month} went away while it was read`);
    try {
      const loading = await restored.begin(month);
      if (loading === null) return { exists: true };
      try {
        const events = await load(file.lines, loading);
        if ((await digestOf(restored.lines(loading))) === manifest.events.lines_sha256)
          return { table: await restored.keep(loading), events };
        await restored.discard(loading);
        return { broken: { what: 'archive-changed', month, why: 'what was loaded does not read back as the archive' } };
      } catch (error) {
        await restored.discard(loading).catch(() => {}); // the next one drops it too
        throw error;
      }
    } finally {
      file.close();
    }
  };

  async function load(lines: AsyncIterable<string>, table: string): Promise<number> {
    let waiting: string[] = [];
    let events = 0;
    const flush = async () => {
      if (waiting.length > 0) await restored.add(table, waiting);
      events += waiting.length;
      waiting = [];
      onProgress(events);
    };
    for await (const line of lines) {
      waiting.push(line);
      if (waiting.length === LINES_AT_ONCE) await flush();
    }
    await flush();
    return events;
  }
}

async function digestOf(lines: AsyncIterable<string>): Promise<string> {
  const digest = createHash('sha256');
  for await (const line of lines) digest.update(`${line}\n`);
  return digest.digest('hex');
}
