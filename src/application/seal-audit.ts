import { type AuditChain, GENESIS } from './audit-chain.ts';
import type { AuditRow, AuditTrail, Seal } from './ports/audit-trail.ts';
import type { Clock } from './ports/services.ts';

/** How many events are sealed at once: one seal, of 32 kB at most, for each month among them. */
export const BATCH = 1000;

export type SealAudit = {
  trail: AuditTrail;
  chain: AuditChain;
  clock: Clock;
  /** Hears of events before they are sealed, so that none is missed: after a crash it hears of them again. */
  publish?: (rows: readonly AuditRow[]) => Promise<void>;
  /** Hears of events once they are sealed, of each at most once: to count them. */
  count?: (rows: readonly AuditRow[]) => void;
};

export function sealAudit({ trail, chain, clock, publish = async () => {}, count = () => {} }: SealAudit) {
  /**
   * Seals the next events that are committed for good, one batch: as many seals as it has months. Of two that do it at once one
   * finds the numbers taken and has done nothing.
   * @returns how many events it sealed; `more` when others may wait
   */
  return async (): Promise<{ sealed: number; more: boolean }> => {
    const last = await trail.lastSeal();
    const rows = await trail.settled(last && { position: last.lastPosition, id: last.lastId }, BATCH);
    if (rows.length === 0) return { sealed: 0, more: false };
    await publish(rows);
    const isAdded = await trail.addSeals(sealsOf(rows, last, chain, clock.now()));
    if (isAdded) count(rows);
    return { sealed: isAdded ? rows.length : 0, more: rows.length === BATCH };
  };
}

/** All seals of a batch end where the batch does, so that the newest one tells where the next begins. */
function sealsOf(rows: readonly AuditRow[], last: Seal | null, chain: AuditChain, sealedAt: Date): Seal[] {
  const end = rows.at(-1);
  if (!end) return [];
  const seals: Seal[] = [];
  for (const [month, ofMonth] of Map.groupBy(rows, (row) => row.month)) {
    const before = seals.at(-1) ?? last;
    seals.push(
      chain.seal({
        number: (before?.number ?? 0) + 1,
        month,
        events: ofMonth.length,
        lastPosition: end.position,
        lastId: end.id,
        entries: chain.entriesOf(ofMonth),
        previous: before?.mac ?? GENESIS,
        sealedAt,
      }),
    );
  }
  return seals;
}
