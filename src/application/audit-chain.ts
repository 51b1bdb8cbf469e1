import { createHash, createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto';
import type { AuditRow, Seal } from './ports/audit-trail.ts';

/** An id and a MAC, 16 bytes each: 128 bits of HMAC-SHA-256 (RFC 2104 5 allows half). */
const ID_BYTES = 16;
export const ENTRY_BYTES = 32;
export const GENESIS = Buffer.alloc(32);

export type Entry = { id: string; mac: Buffer };
export type SealCheck = 'good' | 'changed' | 'unknown-key';

export type AuditChain = {
  /** What stands in a seal for these events, in this order. */
  entriesOf(rows: readonly AuditRow[]): Buffer;
  seal(seal: Omit<Seal, 'mac' | 'keyId'>): Seal;
  check(seal: Seal): SealCheck;
  /** Whether this is the line that was sealed. */
  isLine(line: string, entry: Entry, keyId: Buffer): boolean;
  sign(text: string): { keyId: string; mac: string };
  checkSigned(text: string, keyId: string, mac: string): SealCheck;
};

/**
 * The keyed chain over the audit events: who has the database and not SECRET_KEY can neither change an event nor make a seal.
 * @param keys the first seals; the others, of earlier values of SECRET_KEY, only check
 */
export function auditChain(keys: readonly Buffer[]): AuditChain {
  const byId = new Map(keys.map((key) => [keyIdOf(key).toString('hex'), createSecretKey(key)]));
  const [[currentId, current] = []] = byId;
  if (currentId === undefined || current === undefined) throw new Error('The audit chain needs a key');
  const keyId = Buffer.from(currentId, 'hex');
  return {
    entriesOf: (rows) => Buffer.concat(rows.flatMap(({ id, line }) => [bytesOf(id), macOf(current, line)])),
    seal: (seal) => ({ ...seal, keyId, mac: hmac(current, sealText({ ...seal, keyId })) }),
    check(seal) {
      const key = byId.get(seal.keyId.toString('hex'));
      if (!key) return 'unknown-key';
      return isSame(hmac(key, sealText(seal)), seal.mac) ? 'good' : 'changed';
    },
    isLine(line, { mac }, id) {
      const key = byId.get(id.toString('hex'));
      return key !== undefined && isSame(macOf(key, line), mac);
    },
    sign: (text) => ({ keyId: currentId, mac: hmac(current, `manifest ${text}`).toString('hex') }),
    checkSigned(text, id, mac) {
      const key = byId.get(id);
      if (!key) return 'unknown-key';
      return isSame(hmac(key, `manifest ${text}`), Buffer.from(mac, 'hex')) ? 'good' : 'changed';
    },
  };
}

export function entriesIn({ entries }: Pick<Seal, 'entries'>): Entry[] {
  return Array.from({ length: Math.floor(entries.length / ENTRY_BYTES) }, (_, index) => {
    const entry = entries.subarray(index * ENTRY_BYTES, (index + 1) * ENTRY_BYTES);
    return { id: uuidOf(entry.subarray(0, ID_BYTES)), mac: entry.subarray(ID_BYTES) };
  });
}

/** Everything that a seal says, as text that can be read one way only. */
function sealText(seal: Omit<Seal, 'mac'>): string {
  const { number, month, events, lastPosition, lastId, entries, previous, keyId, sealedAt } = seal;
  const digest = createHash('sha256').update(entries).digest('hex');
  const ends = [lastPosition, lastId, previous.toString('hex'), keyId.toString('hex'), sealedAt.toISOString()];
  return `seal ${JSON.stringify([number, month, events, digest, ...ends])}`;
}

function keyIdOf(key: Buffer): Buffer {
  return createHmac('sha256', createSecretKey(key)).update('key id').digest().subarray(0, 8);
}

function macOf(key: KeyObject, line: string): Buffer {
  return hmac(key, `event ${line}`).subarray(0, ENTRY_BYTES - ID_BYTES);
}

function hmac(key: KeyObject, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

function isSame(one: Buffer, other: Buffer): boolean {
  return one.length === other.length && timingSafeEqual(one, other);
}

function bytesOf(id: string): Buffer {
  return Buffer.from(id.replaceAll('-', ''), 'hex');
}

function uuidOf(bytes: Buffer): string {
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
