import type { AuditChain } from './audit-chain.ts';
import { GENESIS } from './audit-chain.ts';
import { manifestIn } from './audit-manifest.ts';
import type { Archived, AuditTrail, Seal } from './ports/audit-trail.ts';
import { type Broken, paged, prover, rowQueue } from './prove-rows.ts';

const ROWS_AT_ONCE = 1000;
const SEALS_AT_ONCE = 20;

/** The newest seal: whoever keeps it elsewhere can tell later that the end of the trail was not cut off. */
export type Head = { number: number; mac: string };

export type Verdict = {
  broken: Broken | null;
  /** Events that seals prove; those that wait for one (seconds, or a transaction that runs for long). */
  sealed: number;
  waiting: number;
  seals: number;
  head: Head | null;
};

export type VerifyTrail = { trail: AuditTrail; chain: AuditChain; onProgress?: (sealed: number) => void };

export function verifyTrail({ trail, chain, onProgress = () => {} }: VerifyTrail) {
  /**
   * Proves the live table: every event that was sealed is there, unchanged and in its place, none was added among them, and no
   * seal is missing but those of archived months. Safe while the service writes, seals and archives.
   * @param known a head that was kept elsewhere
   * @returns the first that is broken, in the order in which events were sealed
   */
  return async (known: Head | null = null): Promise<Verdict> => {
    const archives = await archivesIn(await trail.archives(), chain);
    if ('what' in archives) return { broken: archives, sealed: 0, waiting: 0, seals: 0, head: null };
    const rows = rowQueue(paged((last) => trail.rows(last ?? null, ROWS_AT_ONCE)));
    const { prove, unclaimed } = prover(chain, rows, trail.holds);
    const verdict: Verdict = { broken: null, sealed: 0, waiting: 0, seals: 0, head: null };
    let before: Seal | null = null;
    /** Seals of archived months, there or not: as many as their manifests say, at most. */
    let missing = 0;
    const forgotten = async (gap: number) => sealsOf(gap > 0 ? await droppedNow(trail, chain) : archives);
    let isKnown = known === null;

    for await (const seal of paged<Seal>((last) => trail.seals(last?.number ?? 0, SEALS_AT_ONCE))) {
      const gap: number = seal.number - (before?.number ?? 0) - 1;
      const isGone = isArchived(seal, archives);
      const isMissing = missing + gap + (isGone ? 1 : 0) > (await forgotten(gap));
      const broken: Broken | null = isMissing
        ? { what: 'seal-missing', seal: seal.number - gap, month: seal.month }
        : (linkBroken(chain, seal, before, gap) ?? (isGone ? null : await prove(seal)));
      // What the archive holds may have been dropped while we looked.
      if (broken && !isArchived(seal, await droppedNow(trail, chain))) return { ...verdict, broken };
      missing += gap + (isGone ? 1 : 0);
      before = seal;
      verdict.seals++;
      if (!isGone) verdict.sealed += seal.events;
      verdict.head = { number: seal.number, mac: seal.mac.toString('hex') };
      if (known?.number === seal.number) {
        if (known.mac !== verdict.head.mac) return { ...verdict, broken: headDiffers(seal.month, 'it has another MAC') };
        isKnown = true;
      }
      onProgress(verdict.sealed);
    }

    const extra = unclaimed();
    if (extra) return { ...verdict, broken: extra };
    if (!isKnown && (known?.number ?? 0) > (before?.number ?? 0))
      return { ...verdict, broken: headDiffers('', 'the trail ends before it') };
    while (await rows.next()) verdict.waiting++;
    return verdict;
  };
}

function headDiffers(month: string, why: string): Broken {
  return { what: 'head-differs', month, why };
}

function linkBroken(chain: AuditChain, seal: Seal, before: Seal | null, gap: number): Broken | null {
  const { number, month, previous } = seal;
  const check = chain.check(seal);
  if (check === 'unknown-key') return { what: 'seal-of-unknown-key', seal: number, month };
  const expected = before?.mac ?? GENESIS;
  if (check === 'changed' || gap < 0 || (gap === 0 && !expected.equals(previous))) return { what: 'seal-changed', seal: number, month };
  return null;
}

type Known = { month: string; lastSeal: number; seals: number; isDropped: boolean }[];

async function archivesIn(archives: readonly Archived[], chain: AuditChain): Promise<Known | Broken> {
  const known: Known = [];
  for (const { month, manifest: text, isDropped } of archives) {
    const manifest = manifestIn(text, chain);
    if ('why' in manifest) return { ...manifest, month };
    if (manifest.month !== month) return { what: 'archive-changed', month, why: `its manifest is of ${manifest.month}` };
    known.push({ month, lastSeal: manifest.chain.last_seal, seals: manifest.seals.count, isDropped });
  }
  return known;
}

function isArchived(seal: Seal, archives: Known): boolean {
  return archives.some(({ month, lastSeal, isDropped }) => isDropped && month === seal.month && seal.number <= lastSeal);
}

async function droppedNow(trail: AuditTrail, chain: AuditChain): Promise<Known> {
  const archives = await archivesIn(await trail.archives(), chain);
  return 'what' in archives ? [] : archives;
}

function sealsOf(archives: Known): number {
  return archives.filter(({ isDropped }) => isDropped).reduce((sum, { seals }) => sum + seals, 0);
}
