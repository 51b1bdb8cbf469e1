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
   * first, and the table is read back and held against it.
   * @returns what is broken, or that there is such a table already; then nothing was loaded
   */
  return async (month: string): Promise<Restored | NotRestored> => {
    const { broken, manifest } = await verifyArchive({ store, chain })(month);
    if (broken) return { broken };
    const file = await store.read(filesOf(month).events);
    if (!file || !manifest) throw new Error(`The archive of ${month} went away while it was read`);
    try {
      const table = await restored.create(month);
      if (table === null) return { exists: true };
      let lines: string[] = [];
      let events = 0;
      const flush = async () => {
        if (lines.length > 0) await restored.add(table, lines);
        events += lines.length;
        lines = [];
        onProgress(events);
      };
      for await (const line of file.lines) {
        lines.push(line);
        if (lines.length === LINES_AT_ONCE) await flush();
      }
      await flush();
      const digest = createHash('sha256');
      for await (const line of restored.lines(table)) digest.update(`${line}\n`);
      if (digest.digest('hex') === manifest.events.lines_sha256) return { table, events };
      return { broken: { what: 'archive-changed', month, why: `${table} does not read back as the archive` } };
    } finally {
      file.close();
    }
  };
}
