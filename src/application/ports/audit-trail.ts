/** What the seals, archives and checks of the audit trail need of the world (docs/adr/0013). */

/** An event where it stands. `line` is its one canonical form: see `lineOf` in the domain. */
export type AuditRow = Place & { month: string; line: string };

/** Events are ordered by their transaction's number, then by id. */
export type Place = { position: number; id: string };

/** One link of the chain: the next events of one month, each as its id (16 bytes) and its MAC (16 bytes) in `entries`. */
export type Seal = {
  number: number;
  month: string;
  events: number;
  lastPosition: number;
  lastId: string;
  entries: Buffer;
  /** The MAC of the seal before. */
  previous: Buffer;
  /** Which key made the MACs. */
  keyId: Buffer;
  sealedAt: Date;
  mac: Buffer;
};

/** A month that was archived. `isDropped`: its events are no longer in the live table. */
export type Archived = { month: string; location: string; manifest: string; isDropped: boolean };

export interface AuditTrail {
  /** Events whose transactions have all ended, from after this place on: nothing can appear among them any more. */
  settled(after: Place | null, limit: number): Promise<AuditRow[]>;
  /** Events of any month, or of one. */
  rows(after: Place | null, limit: number, month?: string): Promise<AuditRow[]>;
  /** The last of those whose transactions have ended, oldest first. */
  newest(limit: number): Promise<AuditRow[]>;
  /** Whether an event with this id is anywhere in the live table. */
  holds(id: string): Promise<boolean>;
  lastSeal(): Promise<Seal | null>;
  seals(afterNumber: number, limit: number, month?: string): Promise<Seal[]>;
  /** All of them or none. @returns false when somebody else has sealed meanwhile */
  addSeals(seals: readonly Seal[]): Promise<boolean>;
  /** Months with a partition, oldest first. */
  months(): Promise<string[]>;
  archives(): Promise<Archived[]>;
  recordArchive(archive: Omit<Archived, 'isDropped'>, at: Date): Promise<void>;
  /** @returns busy: somebody uses the table, try again @throws when the month holds events after `last`, or is not archived */
  dropMonth(month: string, last: Place): Promise<'dropped' | 'busy'>;
  /** Removes seals of a month that was dropped, never the newest of all. @returns how many */
  forgetSeals(month: string, limit: number): Promise<number>;
}

/** One file of an archive: its lines, and its bytes as they lie there. `lines_sha256` is of the lines, before gzip. */
export type ArchivedFile = { name: string; count: number; bytes: number; sha256: string; lines_sha256: string };

/** Where archives are kept. A file appears under its name whole or not at all. */
export interface ArchiveStore {
  /** As people see it. */
  location: string;
  /** Writes lines, gzipped. */
  write(name: string, lines: AsyncIterable<string>): Promise<ArchivedFile>;
  writeText(name: string, text: string): Promise<void>;
  /** @returns null when there is no such file; `sums` speaks once all lines were read @throws UnreadableArchive while they are */
  read(name: string): Promise<OpenedArchive | null>;
  /** @throws UnreadableArchive */
  readText(name: string): Promise<string | null>;
  list(): Promise<string[]>;
}

/** `close` ends it wherever it was read to. */
export type OpenedArchive = { lines: AsyncIterable<string>; sums(): ArchivedFile; close(): void };

/** A file of an archive that we never wrote: cut off, damaged, or made to fill the memory of who reads it. */
export class UnreadableArchive extends Error {}

/** Events of an archive in a table of their own, for an auditor to query. */
export interface RestoredTable {
  /** Begins one under a name of its own; what a load that was cut off left there is gone. @returns null when the month is there already */
  begin(month: string): Promise<string | null>;
  add(table: string, lines: readonly string[]): Promise<void>;
  lines(table: string): AsyncIterable<string>;
  /** Gives it the name of its month. @returns that name */
  keep(table: string): Promise<string>;
  discard(table: string): Promise<void>;
}
