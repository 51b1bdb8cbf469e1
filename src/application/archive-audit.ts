import { hasEndedFor } from '#domain/audit-line.ts';
import { sealLine } from './archived-lines.ts';
import type { AuditChain } from './audit-chain.ts';
import { COLUMNS, filesOf, MANIFEST_FORMAT, type Manifest, manifestIn, signedManifest } from './audit-manifest.ts';
import type { ArchiveStore, AuditTrail, Place, Seal } from './ports/audit-trail.ts';
import type { Clock } from './ports/services.ts';
import { type Broken, paged, prover, rowQueue } from './prove-rows.ts';
import { verifyArchive } from './verify-archive.ts';

const ROWS_AT_ONCE = 1000;
const SEALS_AT_ONCE = 20;
const DROP_TRIES = 20;

/** A month that cannot be archived as it is; the message names what is broken. Nothing was dropped. */
export class ArchiveRefused extends Error {
  readonly broken: Broken | null;

  constructor(message: string, broken: Broken | null = null) {
    super(message);
    this.broken = broken;
  }
}

export type ArchiveAudit = {
  trail: AuditTrail;
  store: ArchiveStore;
  chain: AuditChain;
  clock: Clock;
  madeBy: string;
  seal: () => Promise<{ more: boolean }>;
  /** Between two tries to drop a month that writers use. */
  pause: () => Promise<void>;
  onProgress?: (month: string, events: number) => void;
};

export type ArchivedMonth = { month: string; events: number; state: 'archived' | 'busy' };

export function archiveAudit(needs: ArchiveAudit) {
  const { trail, clock, pause, onProgress = () => {} } = needs;
  return {
    /** Months that ended at least `days` ago and are still in the live table. */
    due: async (days: number) => (await trail.months()).filter((month) => hasEndedFor(month, days, clock.now())),

    /**
     * Archives one month and drops it from the live table: every event is proved while it is written, the archive is read back
     * and proved as a whole, and only then the month goes. A process that dies anywhere leaves the month where it is, or
     * archived and dropped; the next run takes it up.
     * @returns busy: archived, and a long transaction keeps the table; the next run drops it
     * @throws ArchiveRefused when the month is broken, or not all of it can be sealed yet
     */
    async archive(month: string): Promise<ArchivedMonth> {
      const manifest = (await recorded(needs, month)) ?? (await written(needs, month, (events) => onProgress(month, events)));
      const last: Place = manifest.last ?? { position: -1, id: '00000000-0000-0000-0000-000000000000' };
      const done = { month, events: manifest.events.count };
      for (let tries = 1; (await trail.dropMonth(month, last)) === 'busy'; tries++) {
        if (tries === DROP_TRIES) return { ...done, state: 'busy' };
        await pause();
      }
      while ((await trail.forgetSeals(month, ROWS_AT_ONCE)) === ROWS_AT_ONCE);
      return { ...done, state: 'archived' };
    },

    /** Removes the seals of dropped months that a run before did not come to. */
    async tidy(): Promise<void> {
      for (const { month, isDropped } of await trail.archives()) if (isDropped) await trail.forgetSeals(month, ROWS_AT_ONCE);
    },
  };
}

/** A month that was archived before and not dropped yet. */
async function recorded({ trail, chain }: ArchiveAudit, month: string): Promise<Manifest | null> {
  const archive = (await trail.archives()).find((each) => each.month === month);
  if (!archive) return null;
  const manifest = manifestIn(archive.manifest, chain);
  if ('why' in manifest) throw new ArchiveRefused(`The archive of ${month} cannot be trusted: ${manifest.why}`, manifest);
  return manifest;
}

async function written(needs: ArchiveAudit, month: string, onProgress: (events: number) => void): Promise<Manifest> {
  const { trail, store, chain, clock, madeBy } = needs;
  while ((await needs.seal()).more);
  const newest = await trail.lastSeal();
  const rest = await trail.rows(newest && { position: newest.lastPosition, id: newest.lastId }, 1, month);
  if (rest.length > 0) throw new ArchiveRefused(`${month} holds events that cannot be sealed yet: a transaction runs for long`);

  const names = filesOf(month);
  const ends = { first: null as Place | null, last: null as Place | null, firstSeal: null as Seal | null, lastSeal: null as Seal | null };
  const sealsOfMonth = () => paged<Seal>((last) => trail.seals(last?.number ?? 0, SEALS_AT_ONCE, month));
  const provedLines = async function* () {
    const taken: string[] = [];
    const rows = rowQueue(paged((last) => trail.rows(last ?? null, ROWS_AT_ONCE, month)));
    const tapped = {
      peek: rows.peek,
      next: async () => {
        const row = await rows.next();
        if (!row) return row;
        taken.push(row.line);
        ends.first ??= { id: row.id, position: row.position };
        ends.last = { id: row.id, position: row.position };
        return row;
      },
    };
    const { prove } = prover(chain, tapped, trail.holds);
    let count = 0;
    for await (const seal of sealsOfMonth()) {
      const state = chain.check(seal);
      const broken: Broken | null =
        state === 'good'
          ? await prove(seal)
          : { what: state === 'changed' ? 'seal-changed' : 'seal-of-unknown-key', seal: seal.number, month };
      if (broken) throw new ArchiveRefused(`${month} is broken and stays where it is`, broken);
      yield* taken.splice(0);
      ends.firstSeal ??= seal;
      ends.lastSeal = seal;
      count += seal.events;
      onProgress(count);
    }
    const extra = await rows.peek();
    if (extra) throw new ArchiveRefused(`${month} is broken and stays where it is`, { what: 'inserted', id: extra.id, month });
  };
  const events = await store.write(names.events, provedLines());
  const { firstSeal, lastSeal } = ends;
  const seals = await store.write(
    names.seals,
    mapped(sealsOfMonth(), (seal) => (seal.number <= (lastSeal?.number ?? 0) ? sealLine(seal) : null)),
  );
  const manifest: Manifest = {
    format: MANIFEST_FORMAT,
    month,
    events,
    seals,
    first: ends.first,
    last: ends.last,
    chain: {
      first_seal: firstSeal?.number ?? 0,
      previous: firstSeal?.previous.toString('hex') ?? '',
      last_seal: lastSeal?.number ?? 0,
      head: lastSeal?.mac.toString('hex') ?? '',
    },
    columns: COLUMNS,
    made_by: madeBy,
    archived_at: clock.now().toISOString(),
  };
  const text = signedManifest(manifest, chain);
  await store.writeText(names.manifest, text);
  const { broken } = await verifyArchive({ store, chain, onProgress: () => onProgress(0) })(month);
  if (broken) throw new ArchiveRefused(`What was written of ${month} does not read back`, broken);
  await trail.recordArchive({ month, location: store.location, manifest: text }, clock.now());
  return manifest;
}

async function* mapped<In>(items: AsyncIterable<In>, of: (item: In) => string | null): AsyncGenerator<string> {
  for await (const item of items) {
    const line = of(item);
    if (line !== null) yield line;
  }
}
