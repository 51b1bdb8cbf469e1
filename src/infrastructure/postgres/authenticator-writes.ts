import type { Reads, Writes } from '#application/ports/store.ts';
import { passkeyColumns } from './authenticator-reads.ts';
import type { Handle } from './connect.ts';
import { arrayOf, type PasskeyRow, passkeyOf } from './rows.ts';

/** The verbs of authenticators. A use is claimed by one statement: never check, then write (ASVS 15.4.2, 6.5.1). */
export function authenticatorWrites(sql: Handle, reads: Reads['authenticators']): Writes['authenticators'] {
  return {
    ...reads,
    async beginTotp({ id, accountId, sessionId, secret }, at) {
      await sql`
        insert into totp_authenticators (id, account_id, session_id, secret, created_at)
        values (${id}, ${accountId}, ${sessionId}, ${secret}, ${at})
        on conflict (account_id) where activated_at is null do update set
          id = excluded.id, session_id = excluded.session_id, secret = excluded.secret, created_at = excluded.created_at`;
    },
    async activateTotp(accountId, id, step, at) {
      const pending = await sql`
        select from totp_authenticators where id = ${id} and account_id = ${accountId} and activated_at is null for update`;
      if (pending.length === 0) return false;
      await sql`delete from totp_authenticators where account_id = ${accountId} and activated_at is not null`;
      await sql`update totp_authenticators set activated_at = ${at}, last_used_at = ${at}, last_step = ${step} where id = ${id}`;
      return true;
    },
    async claimTotpStep(id, step, at) {
      const rows = await sql`
        update totp_authenticators set last_step = ${step}, last_used_at = ${at}
        where id = ${id} and activated_at is not null and last_step < ${step} returning id`;
      return rows.length === 1;
    },
    async removeTotp(accountId) {
      await sql`delete from totp_authenticators where account_id = ${accountId}`;
    },
    async replaceRecoveryCodes(accountId, codeHashes, at) {
      await sql`delete from recovery_codes where account_id = ${accountId}`;
      for (const hash of codeHashes) {
        await sql`insert into recovery_codes (account_id, code_hash, created_at) values (${accountId}, ${hash}, ${at})`;
      }
    },
    async useRecoveryCode(accountId, codeHash, at) {
      const used = await sql`
        update recovery_codes set used_at = ${at} where account_id = ${accountId} and code_hash = ${codeHash} and used_at is null
        returning account_id`;
      if (used.length === 0) return null;
      const [row] = await sql<{ left: number }[]>`
        select count(*)::int as left from recovery_codes where account_id = ${accountId} and used_at is null`;
      return row?.left ?? 0;
    },
    async setPhone(accountId, number, at) {
      await sql`
        insert into phones (account_id, number, verified_at) values (${accountId}, ${number}, ${at})
        on conflict (account_id) do update set number = excluded.number, verified_at = excluded.verified_at, last_used_at = null`;
    },
    async touchPhone(accountId, at) {
      await sql`update phones set last_used_at = ${at} where account_id = ${accountId}`;
    },
    async removePhone(accountId) {
      await sql`delete from phones where account_id = ${accountId}`;
    },
    async addPasskey(passkey, at) {
      const [row] = await sql<PasskeyRow[]>`
        insert into passkeys (id, account_id, credential_id, public_key, sign_count, transports, aaguid, name, is_backup_eligible,
          is_backed_up, created_at, last_used_at)
        values (${passkey.id}, ${passkey.accountId}, ${passkey.credentialId}, ${passkey.publicKey}, ${passkey.signCount},
          ${arrayOf(passkey.transports)}::text::text[], ${passkey.aaguid}, ${passkey.name}, ${passkey.isBackupEligible},
          ${passkey.isBackedUp}, ${at}, null)
        on conflict (credential_id) do nothing returning ${passkeyColumns(sql)}`;
      return row ? passkeyOf(row) : null;
    },
    async usePasskey(id, { signCount, isBackupEligible, isBackedUp }, at) {
      const [row] = await sql<{ before: string }[]>`
        with seen as (select id, sign_count from passkeys where id = ${id} for update)
        update passkeys p set sign_count = greatest(p.sign_count, ${signCount}), is_backed_up = ${isBackedUp}, last_used_at = ${at},
          is_backup_eligible = coalesce(p.is_backup_eligible, ${isBackupEligible})
        from seen where p.id = seen.id and coalesce(p.is_backup_eligible, ${isBackupEligible}) = ${isBackupEligible} returning seen.sign_count as before`;
      return row ? Number(row.before) : null;
    },
    async flagPasskey(id, at) {
      await sql`update passkeys set flagged_at = ${at} where id = ${id}`;
    },
    async renamePasskey(accountId, id, name) {
      const [row] = await sql<PasskeyRow[]>`
        update passkeys set name = ${name} where id = ${id} and account_id = ${accountId} returning ${passkeyColumns(sql)}`;
      return row ? passkeyOf(row) : null;
    },
    async removePasskey(accountId, id) {
      await sql`delete from passkeys where id = ${id} and account_id = ${accountId}`;
    },
    async removeSince(accountId, since) {
      await sql`delete from passkeys where account_id = ${accountId} and created_at >= ${since}`;
      await sql`delete from totp_authenticators where account_id = ${accountId} and coalesce(activated_at, 'infinity') >= ${since}`;
      await sql`delete from phones where account_id = ${accountId} and verified_at >= ${since}`;
      await sql`delete from federated_identities where account_id = ${accountId} and linked_at >= ${since}`;
      await sql`delete from recovery_codes where account_id = ${accountId} and created_at >= ${since}`;
    },
    async removeAll(accountId) {
      const [row] = await sql<{ apps: number; phones: number; passkeys: number; codes: number }[]>`
        with apps as (delete from totp_authenticators where account_id = ${accountId} returning activated_at),
          numbers as (delete from phones where account_id = ${accountId} returning account_id),
          keys as (delete from passkeys where account_id = ${accountId} returning id),
          codes as (delete from recovery_codes where account_id = ${accountId} returning used_at)
        select (select count(activated_at) from apps)::int as apps, (select count(*) from numbers)::int as phones,
          (select count(*) from keys)::int as passkeys, (select count(*) from codes where used_at is null)::int as codes`;
      const { apps = 0, phones = 0, passkeys = 0, codes = 0 } = row ?? {};
      return { totp: apps > 0, phone: phones > 0, passkeys, recoveryCodes: codes };
    },
  };
}
