import type { Account, AccountWithPassword } from '#application/ports/accounts.ts';
import type { Passkey } from '#application/ports/authenticators.ts';
import type { Authenticated, Session, SessionEnd } from '#application/ports/sessions.ts';
import type { TicketContext } from '#application/ports/tickets.ts';
import type { Proof } from '#domain/assurance.ts';
import { userHandleOf } from '#domain/passkeys.ts';

/** SQL rows as records: the one translation between the two. Arrays come as `{a,b}`: types are not fetched at connect. */

export type AccountRow = {
  account_id: string;
  email: string;
  email_verified_at: Date | null;
  username: string | null;
  display_name: string | null;
  password_hash: string | null;
  is_password_withdrawn: boolean;
  status: Account['status'];
  roles: string;
  account_created_at: Date;
};

export type SessionRow = {
  session_id: string;
  account_id: string;
  transport: Session['transport'];
  device: string | null;
  device_id: string | null;
  device_kind: string | null;
  moved_to: string | null;
  cookie_hash: Buffer | null;
  ip: string;
  user_agent: string | null;
  amr: string;
  acr: Session['acr'];
  auth_time: Date;
  session_created_at: Date;
  last_seen_at: Date;
  idle_end_at: Date;
  absolute_end_at: Date;
};

export function accountOf(row: AccountRow): AccountWithPassword {
  return {
    id: row.account_id,
    email: row.email,
    emailVerifiedAt: row.email_verified_at,
    username: row.username,
    displayName: row.display_name,
    passwordHash: row.password_hash,
    isPasswordWithdrawn: row.is_password_withdrawn,
    status: row.status,
    roles: wordsOf(row.roles) as Account['roles'],
    createdAt: row.account_created_at,
  };
}

export function sessionOf(row: SessionRow): Session {
  return {
    id: row.session_id,
    accountId: row.account_id,
    transport: row.transport,
    device: row.device,
    deviceId: row.device_id,
    deviceKind: row.device_kind,
    movedTo: row.moved_to === null ? [] : row.moved_to.split('|'),
    cookieHash: row.cookie_hash,
    ip: row.ip,
    userAgent: row.user_agent,
    amr: wordsOf(row.amr) as Session['amr'],
    acr: row.acr,
    authTime: row.auth_time,
    createdAt: row.session_created_at,
    lastSeenAt: row.last_seen_at,
    idleEndAt: row.idle_end_at,
    absoluteEndAt: row.absolute_end_at,
  };
}

export type FoundRow = SessionRow & AccountRow & { revoked_reason: SessionEnd | null; is_outdated: boolean };

/** A session that was found, or why it ended. */
export function authenticatedOf(row: FoundRow, at: Date): Authenticated {
  const session = sessionOf(row);
  const isOver = session.idleEndAt <= at || session.absoluteEndAt <= at;
  const endedBecause = row.revoked_reason ?? (row.is_outdated ? 'outdated' : isOver ? 'expired' : null);
  return endedBecause === null ? { endedBecause, session, account: accountOf(row) } : { endedBecause };
}

/** An array of plain words as PostgreSQL writes it; roles, methods and transports hold nothing that needs quotes. */
export function wordsOf(array: string): string[] {
  return array === '{}' ? [] : array.slice(1, -1).split(',');
}

export function arrayOf(words: readonly string[]): string {
  return `{${words.join(',')}}`;
}

export type PasskeyRow = {
  id: string;
  account_id: string;
  credential_id: Buffer;
  public_key: Buffer;
  sign_count: string;
  transports: string;
  name: string;
  is_backup_eligible: boolean | null;
  is_backed_up: boolean;
  created_at: Date;
  last_used_at: Date | null;
  flagged_at: Date | null;
  user_handle: Buffer | null;
};

export function passkeyOf(row: PasskeyRow): Passkey {
  return {
    id: row.id,
    accountId: row.account_id,
    credentialId: row.credential_id,
    publicKey: row.public_key,
    userHandle: row.user_handle ?? userHandleOf(row.account_id),
    signCount: Number(row.sign_count), // bigint comes as text
    transports: wordsOf(row.transports),
    name: row.name,
    isBackupEligible: row.is_backup_eligible,
    isBackedUp: row.is_backed_up,
    createdAt: row.created_at,
    lastUsedAt: row.last_used_at,
    flaggedAt: row.flagged_at,
  };
}

/** A proof as JSON keeps it. */
export type WrittenProof = { factor: Proof['factor']; at: string };

export function proofsOf(written: readonly WrittenProof[]): Proof[] {
  return written.map(({ factor, at }) => ({ factor, at: new Date(at) }));
}

export function contextOf(written: unknown): TicketContext {
  const context = written as TicketContext & { proofs?: WrittenProof[] };
  return context.proofs ? { ...context, proofs: proofsOf(context.proofs as WrittenProof[]) } : context;
}

/** An array of anything, nulls too, as PostgreSQL reads it. */
export function literalOf(values: readonly (string | number | Date | Buffer | null)[]): string {
  return `{${values.map(elementOf).join(',')}}`;
}

function elementOf(value: string | number | Date | Buffer | null): string {
  if (value === null) return 'null';
  if (typeof value === 'string') return `"${value.replace(/["\\]/g, '\\$&')}"`;
  if (typeof value === 'number') return String(value);
  return value instanceof Date ? value.toISOString() : `"\\\\x${value.toString('hex')}"`;
}
