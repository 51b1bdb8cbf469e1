import type { AuditChain } from './audit-chain.ts';
import type { ArchivedFile } from './ports/audit-trail.ts';
import type { Broken } from './prove-rows.ts';

export const MANIFEST_FORMAT = 'latchkey-audit/1';

/** What an archived month is made of. It is written last: without it there is no archive. */
export type Manifest = {
  format: typeof MANIFEST_FORMAT;
  month: string;
  events: ArchivedFile;
  seals: ArchivedFile;
  /** Of the events, in the order of the archive; null where the month had none. */
  first: { id: string; position: number } | null;
  last: { id: string; position: number } | null;
  /** The MAC that the first seal follows, and that of the last one. */
  chain: { first_seal: number; previous: string; last_seal: number; head: string };
  /** The columns of an event, in the order of a line. */
  columns: readonly string[];
  made_by: string;
  archived_at: string;
};

/** The files of a month's archive. */
export function filesOf(month: string): { events: string; seals: string; manifest: string } {
  const name = `audit-${month}`;
  return { events: `${name}.events.ndjson.gz`, seals: `${name}.seals.ndjson.gz`, manifest: `${name}.manifest.json` };
}

export const COLUMNS = [
  'id',
  'position',
  'occurred_at',
  'type',
  'account_id',
  'session_id',
  'ip',
  'user_agent',
  'request_id',
  'risk',
  'details',
] as const;

type Signed = { manifest: Manifest; key_id: string; mac: string };

/** As it is stored: the manifest under the key that the seals are made with. */
export function signedManifest(manifest: Manifest, chain: AuditChain): string {
  const { keyId, mac } = chain.sign(JSON.stringify(manifest));
  const signed: Signed = { manifest, key_id: keyId, mac };
  return `${JSON.stringify(signed, null, 2)}\n`;
}

/** @returns the manifest, or what is wrong with it */
export function manifestIn(text: string, chain: AuditChain): Manifest | Extract<Broken, { why: string }> {
  let signed: Partial<Signed>;
  try {
    signed = JSON.parse(text) as Partial<Signed>;
  } catch {
    return { what: 'archive-changed', month: '', why: 'its manifest is no JSON' };
  }
  const { manifest, key_id: keyId, mac } = signed;
  if (manifest?.format !== MANIFEST_FORMAT || typeof keyId !== 'string' || typeof mac !== 'string') {
    return { what: 'archive-changed', month: '', why: `its manifest is not of the form ${MANIFEST_FORMAT}` };
  }
  const check = chain.checkSigned(JSON.stringify(manifest), keyId, mac);
  if (check === 'unknown-key') return { what: 'archive-of-unknown-key', month: manifest.month, why: 'another SECRET_KEY made it' };
  if (check === 'changed') return { what: 'archive-changed', month: manifest.month, why: 'its manifest was changed' };
  return manifest;
}
