import { createHmac } from 'node:crypto';
import type { Sql } from 'postgres';
import { type AuditChain, auditChain } from '#application/audit-chain.ts';
import type { AuditTrail } from '#application/ports/audit-trail.ts';
import { sealAudit } from '#application/seal-audit.ts';
import { postgresAuditTrail } from '#infrastructure/postgres/audit-trail.ts';
import type { Handle } from '#infrastructure/postgres/connect.ts';
import type { Database } from '#infrastructure/postgres/database.ts';
import { until } from './until.ts';

/** What the tests of the audit trail share: a chain, events in bulk, and the hands of someone who owns the database. */

export const chain: AuditChain = auditChain([createHmac('sha256', 'a test').update('audit').digest()]);

export type Trail = { trail: AuditTrail; seal: () => Promise<{ sealed: number; more: boolean }>; sealAll(): Promise<void> };

export function trailOn(database: Database, sql: Sql, now: () => Date = () => new Date()): Trail {
  const trail = postgresAuditTrail(database);
  const seal = sealAudit({ trail, chain, clock: { now } });
  return {
    trail,
    seal,
    // Other databases of the server may have transactions open: what is committed is settled when those have ended.
    sealAll: () =>
      until('all events are sealed', async () => {
        while ((await seal()).more);
        const last = await trail.lastSeal();
        const [row] = await sql`select from audit_events
          where ${last ? sql`(position, id) > (${last.lastPosition}, ${last.lastId})` : sql`true`} limit 1`;
        return row === undefined;
      }).then(() => {}),
  };
}

/** Events of one statement, spread over the month of `at`'s following minutes. @returns their ids in the order of sealing */
export async function addEvents(sql: Handle, count: number, at = new Date()): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    insert into audit_events (id, occurred_at, type, account_id, session_id, ip, user_agent, request_id, risk, details)
    select gen_random_uuid(), ${at}::timestamptz + i * interval '1 millisecond', 'LOGIN_FAILED', gen_random_uuid(), null, '192.0.2.' || i % 250,
      E'a \\u2028 "quoted" \\t agent', 'request-' || i, 20, jsonb_build_object('reason', 'unknown', 'n', 1.50, 'ok', true)
    from generate_series(1, ${count}::int) i returning id`;
  return rows.map(({ id }) => id).sort();
}

/** What nobody can whom the database obeys: someone with all rights over the server, triggers off. */
export async function asOwner(sql: Sql, work: (tx: Handle) => PromiseLike<unknown>): Promise<void> {
  await sql.begin(async (tx) => {
    await tx`set local session_replication_role = replica`;
    await work(tx);
  });
}

/** An empty trail. */
export async function clearTrail(sql: Sql): Promise<void> {
  await asOwner(sql, (tx) => tx`truncate audit_events, audit_seals, audit_archives`);
}
