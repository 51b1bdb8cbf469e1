import type { Passkey } from '#application/ports/authenticators.ts';
import type { AuditEvent } from '#domain/audit-event.ts';
import { passkeyColumns } from './authenticator-reads.ts';
import { connect, type DatabaseAddress, type Handle } from './connect.ts';
import { record } from './parts.ts';
import { arrayOf, type PasskeyRow, passkeyOf, wordsOf } from './rows.ts';

export type ExportedUser = {
  id: string;
  email: string;
  isVerified: boolean;
  username: string | null;
  displayName: string | null;
  passwordHash: string | null;
  roles: string[];
  status: 'active' | 'suspended';
  createdAt: Date;
  /** As it is stored: sealed. */
  totpSecret: string | null;
  phone: string | null;
  /** In the order of their enrolment. */
  passkeys: ExportedPasskey[];
  /** What an export leaves behind. */
  recoveryCodes: number;
};

export type ExportedPasskey = Passkey & { aaguid: string };

type Row = Omit<ExportedUser, 'roles' | 'passkeys'> & { roles: string };

const PAGE = 500;

/**
 * All accounts but those being deleted, page by page, as they are at one moment.
 * @param event is recorded before the first of them is handed out: who fails halfway has seen some
 */
export async function exportUsers(
  address: DatabaseAddress,
  event: AuditEvent,
  take: (users: ExportedUser[], of: number) => Promise<void>,
): Promise<void> {
  const sql = connect(address, { max: 1, connect_timeout: 5 });
  try {
    await record(sql, event);
    await sql.begin('isolation level repeatable read read only', async (tx) => {
      const [total] = await tx<{ count: number }[]>`select count(*)::int as count from accounts where status <> 'deleted'`;
      for (let after = '00000000-0000-0000-0000-000000000000'; ; ) {
        const rows = await tx<Row[]>`
          select a.id, a.email, a.email_verified_at is not null as "isVerified", a.username, a.display_name as "displayName",
            a.password_hash as "passwordHash", a.roles, a.status, a.created_at as "createdAt", o.secret as "totpSecret", p.number as phone,
            (select count(*)::int from recovery_codes c where c.account_id = a.id and c.used_at is null) as "recoveryCodes"
          from accounts a
            left join totp_authenticators o on o.account_id = a.id and o.activated_at is not null
            left join phones p on p.account_id = a.id
          where a.id > ${after} and a.status <> 'deleted' order by a.id limit ${PAGE}`;
        const last = rows.at(-1);
        if (last === undefined) return;
        const passkeys = await passkeysOf(tx, rows);
        await take(
          rows.map((row) => ({ ...row, roles: wordsOf(row.roles), passkeys: passkeys.get(row.id) ?? [] })),
          total?.count ?? 0,
        );
        after = last.id;
      }
    });
  } finally {
    await sql.end();
  }
}

/** By account, the oldest first. */
async function passkeysOf(sql: Handle, users: readonly { id: string }[]): Promise<Map<string, ExportedPasskey[]>> {
  const rows = await sql<(PasskeyRow & { aaguid: string })[]>`
    select ${passkeyColumns(sql)}, aaguid from passkeys where account_id = any(${arrayOf(users.map(({ id }) => id))}::text::uuid[]) order by id`;
  return Map.groupBy(
    rows.map((row) => ({ ...passkeyOf(row), aaguid: row.aaguid })),
    ({ accountId }) => accountId,
  );
}
