import { expect, it } from 'vitest';
import { type AuditChain, GENESIS } from '#application/audit-chain.ts';
import type { AuditRow, Seal } from '#application/ports/audit-trail.ts';
import { prover, rowQueue } from '#application/prove-rows.ts';

const ADDED = '00000000-0000-7000-8000-000000000000';
const seal: Seal = {
  number: 1,
  month: '2026-03',
  events: 2,
  lastPosition: 100,
  lastId: 'ffffffff-ffff-7fff-bfff-ffffffffffff',
  entries: Buffer.alloc(64, 1),
  previous: GENESIS,
  keyId: Buffer.alloc(8),
  sealedAt: new Date(0),
  mac: Buffer.alloc(32),
};

it.each(['2026-03', '2026-02'])('[V15.2.2] of events that nobody sealed no flood is held in memory: those of %s', async (month) => {
  let read = 0;
  async function* flood(): AsyncGenerator<AuditRow> {
    for (; read < 100_000; read++) yield { id: ADDED, position: 1, month, line: '{}' };
  }
  const { prove } = prover({} as AuditChain, rowQueue(flood()), async () => false);
  expect(await prove(seal)).toEqual({ what: 'inserted', id: ADDED, month });
  expect(read).toBeLessThan(2000);
});
