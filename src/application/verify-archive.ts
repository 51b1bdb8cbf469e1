import { rowsIn, sealsIn } from './archived-lines.ts';
import type { AuditChain } from './audit-chain.ts';
import { filesOf, type Manifest, manifestIn } from './audit-manifest.ts';
import { type ArchivedFile, type ArchiveStore, type OpenedArchive, UnreadableArchive } from './ports/audit-trail.ts';
import { type Broken, prover, rowQueue } from './prove-rows.ts';

export type ArchiveVerdict = { broken: Broken | null; manifest: Manifest | null };

export type VerifyArchive = { store: ArchiveStore; chain: AuditChain; onProgress?: (events: number) => void };

export function verifyArchive({ store, chain, onProgress = () => {} }: VerifyArchive) {
  /**
   * Proves an archived month, without a database: the manifest is ours, its files are as it says, each seal is good and each
   * event is what was sealed. @returns the first event that is not, or what else is broken
   */
  return async (month: string): Promise<ArchiveVerdict> => {
    const changed = (why: string): ArchiveVerdict => ({ broken: { what: 'archive-changed', month, why }, manifest: null });
    const names = filesOf(month);
    const opened: OpenedArchive[] = [];
    try {
      const text = await store.readText(names.manifest);
      if (text === null) return changed(`there is no ${names.manifest}`);
      const manifest = manifestIn(text, chain);
      if ('why' in manifest) return { broken: { ...manifest, month }, manifest: null };
      if (manifest.month !== month) return changed(`its manifest is of ${manifest.month}`);
      const reading = async (name: string) => {
        const file = await store.read(name);
        if (file) opened.push(file);
        return file;
      };
      const [events, seals] = [await reading(names.events), await reading(names.seals)];
      if (!events || !seals) return changed(`there is no ${events ? names.seals : names.events}`);
      const broken =
        (await provedBroken(chain, manifest, rowQueue(rowsIn(events.lines)), sealsIn(seals.lines), onProgress)) ??
        sumsBroken(month, events.sums(), manifest.events) ??
        sumsBroken(month, seals.sums(), manifest.seals);
      return { broken, manifest };
    } catch (error) {
      if (error instanceof UnreadableArchive) return changed(error.message);
      throw error;
    } finally {
      for (const file of opened) file.close();
    }
  };
}

async function provedBroken(
  chain: AuditChain,
  { month, chain: ends }: Manifest,
  rows: ReturnType<typeof rowQueue>,
  seals: AsyncIterable<Parameters<AuditChain['check']>[0]>,
  onProgress: (events: number) => void,
): Promise<Broken | null> {
  const { prove, unclaimed } = prover(chain, rows, async () => false);
  let proved = 0;
  let head: { number: number; mac: Buffer } | null = null;
  for await (const seal of seals) {
    const check = chain.check(seal);
    if (check === 'unknown-key') return { what: 'seal-of-unknown-key', seal: seal.number, month };
    const follows = head ? seal.number > head.number : seal.number === ends.first_seal && seal.previous.toString('hex') === ends.previous;
    const isLinked = head === null || seal.number > head.number + 1 || seal.previous.equals(head.mac);
    if (check === 'changed' || seal.month !== month || !follows || !isLinked) return { what: 'seal-changed', seal: seal.number, month };
    const broken = await prove(seal);
    if (broken) return broken;
    head = seal;
    proved += seal.events;
    onProgress(proved);
  }
  if ((head?.number ?? 0) !== ends.last_seal || (head?.mac.toString('hex') ?? '') !== ends.head) {
    return { what: 'seal-missing', seal: ends.last_seal, month };
  }
  const extra = await rows.peek();
  return unclaimed() ?? (extra ? { what: 'inserted', id: extra.id, month } : null);
}

function sumsBroken(month: string, found: ArchivedFile, said: ArchivedFile): Broken | null {
  for (const key of ['count', 'bytes', 'sha256', 'lines_sha256'] as const) {
    if (found[key] !== said[key]) return { what: 'archive-changed', month, why: `${said.name}: ${key} is ${found[key]}, not ${said[key]}` };
  }
  return null;
}
