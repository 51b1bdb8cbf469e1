import { randomUUIDv7 } from 'node:crypto';
import { open, rm } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { AUDIT_EVENTS, type AuditEvent } from '#domain/audit-event.ts';
import { type ExportedPasskey, type ExportedUser, exportUsers as exportFrom } from '#infrastructure/postgres/export-users.ts';
import { type Output, UsageMistake } from './command.ts';
import { writtenCell } from './csv-cells.ts';
import { progressBar } from './progress.ts';
import { COLUMNS } from './user-record.ts';
import { withUsers } from './with-users.ts';

export const EXPORT_USAGE = 'latchkey users export --out FILE [--format ndjson|csv] [--json]';

export const EXPORT_HELP = `export  writes every account to a new FILE that "import" reads. IT IS A SECRET: password hashes, and TOTP secrets as Fernet tokens of the
        first FERNET_KEY. Its owner alone can read it (0600), and a FILE that is there is left alone. Recovery codes are not in it, nor
        passkeys in CSV: users enrol them anew`;

/** Columns that say the same as another one in another way. */
const WRITTEN = COLUMNS.filter((name) => name !== 'password_salt' && name !== 'totp_secret');

export async function exportUsers(args: string[], out: Output): Promise<number> {
  const { values } = parseArgs({ args, options: { out: { type: 'string' }, format: { type: 'string' }, json: { type: 'boolean' } } });
  const { out: file } = values;
  if (file === undefined) throw new UsageMistake('Say where to with --out FILE.');
  const format = values.format ?? (file.endsWith('.csv') ? 'csv' : 'ndjson');
  if (format !== 'ndjson' && format !== 'csv') throw new UsageMistake('--format is ndjson or csv.');

  const counts = await withUsers(out, { migrates: false }, async ({ address, box }) => {
    const handle = await open(file, 'wx', 0o600).catch((error: NodeJS.ErrnoException) => {
      throw error.code === 'EEXIST' ? new Error(`${file} is there already: nothing was written.`) : error;
    });
    const bar = progressBar(process.stderr);
    const done = { users: 0, passkeys: 0, recovery_codes: 0 };
    try {
      if (format === 'csv') await handle.write(`${WRITTEN.join(',')}\n`);
      await exportFrom(address, exportEvent(new Date()), async (users, of) => {
        const lines = users.map((user) => {
          const fields = fieldsOf(user, (sealed) => (box.isCurrent(sealed) ? sealed : box.seal(box.open(sealed))));
          return format === 'csv' ? WRITTEN.map((name) => cellOf(fields[name])).join(',') : JSON.stringify(fields);
        });
        await handle.write(`${lines.join('\n')}\n`);
        done.users += users.length;
        done.passkeys += users.reduce((sum, user) => sum + user.passkeys.length, 0);
        done.recovery_codes += users.reduce((sum, user) => sum + user.recoveryCodes, 0);
        bar.show(done.users / of, `${done.users} users`);
      });
      await handle.sync();
      return done;
    } catch (error) {
      await rm(file); // half of it would look like all of it
      throw error;
    } finally {
      bar.end();
      await handle.close();
    }
  });
  const { users, recovery_codes } = counts;
  const [passkeys, passkeysLeft] = format === 'csv' ? [0, counts.passkeys] : [counts.passkeys, 0];
  const left_behind = { passkeys: passkeysLeft, recovery_codes };
  if (values.json) out.print(JSON.stringify({ users, passkeys, left_behind, file }, null, 2));
  else {
    const left = Object.entries(left_behind).map(([what, many]) => `${many} ${what.replace('_', ' ')}`);
    out.print(`${users} users with ${passkeys} passkeys in ${file}; left behind: ${left.join(', ')}`);
  }
  out.complain(`${file} holds password hashes and TOTP secrets: keep it as secret as the database, and delete it when you are done.`);
  return 0;
}

function fieldsOf(user: ExportedUser, current: (sealed: string) => string): Record<string, unknown> {
  return {
    id: user.id,
    email: user.email,
    email_verified: user.isVerified,
    username: user.username,
    display_name: user.displayName,
    password_hash: user.passwordHash,
    roles: user.roles,
    status: user.status,
    created_at: user.createdAt.toISOString(),
    totp_secret_fernet: user.totpSecret === null ? null : current(user.totpSecret),
    mfa_phone: user.phone,
    passkeys: user.passkeys.map(passkeyFieldsOf),
  };
}

function passkeyFieldsOf(passkey: ExportedPasskey): Record<string, unknown> {
  return {
    credential_id: passkey.credentialId.toString('base64url'),
    public_key: passkey.publicKey.toString('base64url'),
    sign_count: passkey.signCount,
    user_handle: passkey.userHandle.toString('base64url'),
    transports: passkey.transports,
    aaguid: passkey.aaguid,
    name: passkey.name,
    backup_eligible: passkey.isBackupEligible,
    backed_up: passkey.isBackedUp,
    created_at: passkey.createdAt.toISOString(),
    last_used_at: passkey.lastUsedAt?.toISOString() ?? null,
    flagged_at: passkey.flaggedAt?.toISOString() ?? null,
  };
}

function cellOf(value: unknown): string {
  return writtenCell(value === null || value === undefined ? '' : Array.isArray(value) ? value.join(' ') : String(value));
}

function exportEvent(at: Date): AuditEvent {
  return {
    id: randomUUIDv7(),
    type: 'USERS_EXPORTED',
    occurredAt: at,
    accountId: null,
    sessionId: null,
    ip: '127.0.0.1',
    userAgent: 'latchkey',
    requestId: 'command-line',
    risk: AUDIT_EVENTS.USERS_EXPORTED.risk,
    details: {},
  };
}
