import { type AuditRow, type Seal, UnreadableArchive } from './ports/audit-trail.ts';

/** The lines of an archive: events as they were sealed, and seals. */

export function sealLine({ lastPosition, lastId, keyId, sealedAt, ...seal }: Seal): string {
  return JSON.stringify({
    number: seal.number,
    month: seal.month,
    events: seal.events,
    last_position: lastPosition,
    last_id: lastId,
    previous: seal.previous.toString('hex'),
    key_id: keyId.toString('hex'),
    sealed_at: sealedAt.toISOString(),
    mac: seal.mac.toString('hex'),
    entries: seal.entries.toString('base64'),
  });
}

/** @throws UnreadableArchive */
export async function* sealsIn(lines: AsyncIterable<string>): AsyncGenerator<Seal> {
  for await (const line of lines) {
    const seal = parsed(line);
    yield {
      number: Number(seal['number']),
      month: String(seal['month']),
      events: Number(seal['events']),
      lastPosition: Number(seal['last_position']),
      lastId: String(seal['last_id']),
      previous: Buffer.from(String(seal['previous']), 'hex'),
      keyId: Buffer.from(String(seal['key_id']), 'hex'),
      sealedAt: instant(seal['sealed_at']),
      mac: Buffer.from(String(seal['mac']), 'hex'),
      entries: Buffer.from(String(seal['entries']), 'base64'),
    };
  }
}

/** @throws UnreadableArchive */
export async function* rowsIn(lines: AsyncIterable<string>): AsyncGenerator<AuditRow> {
  for await (const line of lines) {
    const { id, position, occurred_at: occurredAt } = parsed(line);
    yield { id: String(id), position: Number(position), month: String(occurredAt).slice(0, 7), line };
  }
}

function parsed(line: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {}
  throw new UnreadableArchive(`this line is no JSON object: ${line.slice(0, 80)}`);
}

function instant(text: unknown): Date {
  const at = new Date(String(text));
  if (Number.isNaN(at.getTime())) throw new UnreadableArchive(`this is no instant: ${String(text).slice(0, 80)}`);
  return at;
}
