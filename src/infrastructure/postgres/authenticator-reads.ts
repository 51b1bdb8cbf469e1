import type { Phone, Totp } from '#application/ports/authenticators.ts';
import type { Reads } from '#application/ports/store.ts';
import type { SecondFactor } from '#domain/assurance.ts';
import { MOST_PASSKEYS } from '#domain/passkeys.ts';
import type { Handle } from './connect.ts';
import { secondFactors } from './parts.ts';
import { type PasskeyRow, passkeyOf, wordsOf } from './rows.ts';

export function passkeyColumns(sql: Handle) {
  return sql`
    id, account_id, credential_id, public_key, sign_count, transports, name, is_backup_eligible, is_backed_up, created_at, last_used_at,
    flagged_at, user_handle`;
}

export function authenticatorReads(sql: Handle): Reads['authenticators'] {
  const self: Reads['authenticators'] = {
    async list(accountId) {
      const totp = await self.findTotp(accountId, 'active');
      const phone = await self.findPhone(accountId);
      const passkeys = await self.listPasskeys(accountId, MOST_PASSKEYS);
      const [codes] = await sql<{ left: number }[]>`
        select count(*)::int as left from recovery_codes where account_id = ${accountId} and used_at is null`;
      return { totp, phone, passkeys, recoveryCodesLeft: codes?.left ?? 0 };
    },
    async secondFactors(accountId) {
      const [row] = await sql<{ factors: string }[]>`
        select ${secondFactors(sql, sql`wanted.id`)} as factors from (select ${accountId}::uuid as id) as wanted`;
      return wordsOf(row?.factors ?? '{}') as SecondFactor[];
    },
    async findTotp(accountId, state) {
      const [row] = await sql<{ id: string; secret: string; session_id: string; created_at: Date; last_used_at: Date | null }[]>`
        select id, secret, session_id, created_at, last_used_at from totp_authenticators
        where account_id = ${accountId} and ${state === 'active' ? sql`activated_at is not null` : sql`activated_at is null`}`;
      if (!row) return null;
      const totp: Totp = {
        id: row.id,
        secret: row.secret,
        sessionId: row.session_id,
        createdAt: row.created_at,
        lastUsedAt: row.last_used_at,
      };
      return totp;
    },
    async findPhone(accountId) {
      const [row] = await sql<{ number: string; verified_at: Date; last_used_at: Date | null }[]>`
        select number, verified_at, last_used_at from phones where account_id = ${accountId}`;
      const phone: Phone | null = row ? { number: row.number, verifiedAt: row.verified_at, lastUsedAt: row.last_used_at } : null;
      return phone;
    },
    async listPasskeys(accountId, limit) {
      // Those of the account first, whatever is known of the table: in the order of all ids it would be read from end to end.
      const rows = await sql<PasskeyRow[]>`
        with own as materialized (select ${passkeyColumns(sql)} from passkeys where account_id = ${accountId})
        select * from own order by id limit ${limit}`;
      return rows.map(passkeyOf);
    },
    async findPasskey(credentialId) {
      const [row] = await sql<PasskeyRow[]>`select ${passkeyColumns(sql)} from passkeys where credential_id = ${credentialId}`;
      return row ? passkeyOf(row) : null;
    },
  };
  return self;
}
