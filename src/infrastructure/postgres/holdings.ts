import type { HeldIdentity, HeldSession, HeldTicket, Holdings } from '#application/ports/holdings.ts';
import type { Handle } from './connect.ts';
import { type SessionRow, sessionOf } from './rows.ts';
import { sessionColumns } from './session-rows.ts';

const FIRST = '00000000-0000-0000-0000-000000000000';

type TicketRow = {
  id: string;
  purpose: HeldTicket['purpose'];
  created_at: Date;
  expires_at: Date;
  used_at: Date | null;
  email: string | null;
  reserved_username: string | null;
};
type DeviceRow = { id: string; kind: string; network: string; created_at: Date; last_seen_at: Date };
type MessageRow = {
  id: string;
  kind: 'email' | 'sms';
  template: string;
  recipient: string;
  created_at: Date;
  sent_at: Date | null;
  failed_at: Date | null;
};

/** The verbs of Holdings. */
export function holdings(sql: Handle): Holdings {
  return {
    async sessions(accountId, afterId, limit) {
      const rows = await sql<(SessionRow & { revoked_at: Date | null; revoked_reason: HeldSession['endReason'] })[]>`
        select ${sessionColumns(sql)}, s.revoked_at, coalesce(s.revoked_reason, case
            when s.security_stamp <> (select security_stamp from accounts where id = ${accountId}) then 'outdated' end) as revoked_reason
        from sessions s where s.account_id = ${accountId} and s.id > ${afterId ?? FIRST} order by s.account_id, s.id limit ${limit}`;
      return rows.map((row) => ({ ...sessionOf(row), endedAt: row.revoked_at, endReason: row.revoked_reason }));
    },
    async devices(accountId) {
      const rows = await sql<DeviceRow[]>`
        select id, kind, network, created_at, last_seen_at from devices where account_id = ${accountId} order by last_seen_at desc`;
      return rows.map(({ created_at, last_seen_at, ...row }) => ({ ...row, createdAt: created_at, lastSeenAt: last_seen_at }));
    },
    async tickets(accountId, afterId, limit) {
      const rows = await sql<TicketRow[]>`
        select id, purpose, created_at, expires_at, used_at, context #>> '{email,given}' as email, reserved_username from tickets
        where account_id = ${accountId} and id > ${afterId ?? FIRST} order by account_id, id limit ${limit}`;
      return rows.map((row) => ({
        id: row.id,
        purpose: row.purpose,
        createdAt: row.created_at,
        expiresAt: row.expires_at,
        usedAt: row.used_at,
        email: row.email,
        username: row.reserved_username,
      }));
    },
    async identities(accountId) {
      return await sql<HeldIdentity[]>`
        select issuer, subject, linked_at as "linkedAt", last_used_at as "lastUsedAt" from federated_identities
        where account_id = ${accountId} order by issuer`;
    },
    async messages(accountId, afterId, limit) {
      const rows = await sql<MessageRow[]>`
        select id, kind, template, recipient, created_at, sent_at, failed_at from outbox
        where account_id = ${accountId} and id > ${afterId ?? FIRST} order by account_id, id limit ${limit}`;
      return rows.map((row) => ({
        id: row.id,
        kind: row.kind,
        template: row.template,
        recipient: row.recipient,
        createdAt: row.created_at,
        sentAt: row.sent_at,
        failedAt: row.failed_at,
      }));
    },
  };
}
