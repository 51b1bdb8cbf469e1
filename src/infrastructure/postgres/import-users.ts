import { randomUUIDv7 } from 'node:crypto';
import type { Passkey } from '#application/ports/authenticators.ts';
import type { AuditEvent } from '#domain/audit-event.ts';
import type { Email } from '#domain/email.ts';
import type { Role } from '#domain/roles.ts';
import type { Username } from '#domain/username.ts';
import { connect, type DatabaseAddress, type Handle } from './connect.ts';
import { isTaken } from './failure.ts';
import { record } from './parts.ts';

/** `userHandle` null: the account's id, as our own have. */
export type ImportedPasskey = Omit<Passkey, 'id' | 'accountId' | 'userHandle'> & { userHandle: Buffer | null; aaguid: string };

export type ImportedUser = {
  /** Of the file. */
  line: number;
  /** The one that it had: other services know the user by it. null: it gets a new one. */
  id: string | null;
  email: Email;
  isVerified: boolean;
  username: Username | null;
  displayName: string | null;
  passwordHash: string | null;
  roles: readonly Role[];
  status: 'active' | 'suspended';
  createdAt: Date;
  /** Sealed with our key. */
  totpSecret: string | null;
  phone: string | null;
  passkeys: readonly ImportedPasskey[];
};

/** What one batch made. */
export type Imported = { users: number; admins: number; passkeys: number };

/** `free` only in a rehearsal. */
export type Fate = 'imported' | 'free' | 'already-there' | { refused: string };

export type Importer = {
  /** Writes all of them that can be, with the event that tells of it, or none: in one transaction. @returns by line what became of each */
  write(users: readonly ImportedUser[], event: (imported: Imported) => AuditEvent, at: Date): Promise<Map<number, Fate>>;
  /** What would become of each. */
  rehearse(users: readonly ImportedUser[]): Promise<Map<number, Fate>>;
  close(): Promise<void>;
};

/** Accounts from elsewhere, over a connection of its own. */
export function openImporter(address: DatabaseAddress): Importer {
  const sql = connect(address, { max: 1, connect_timeout: 5 });
  const writeOnce: Importer['write'] = (users, event, at) =>
    sql.begin(async (tx) => {
      const fates = await fatesOf(tx, users);
      const free = users.filter(({ line }) => fates.get(line) === 'free');
      const made = await insert(tx, free, at);
      for (const { line } of free) if (made.has(line)) fates.set(line, 'imported');
      // What a sign-up took meanwhile is there for this statement to see.
      const missed = free.filter(({ line }) => !made.has(line));
      for (const [line, fate] of await fatesOf(tx, missed)) {
        fates.set(line, fate === 'free' ? { refused: 'Somebody took the address or the user name for a moment: import it again.' } : fate);
      }
      const imported = free.filter(({ line }) => made.has(line));
      const admins = imported.filter(({ roles }) => roles.includes('admin')).length;
      const passkeys = imported.reduce((sum, user) => sum + user.passkeys.length, 0);
      if (made.size > 0) await record(tx, event({ users: made.size, admins, passkeys }));
      return fates;
    }) as Promise<Map<number, Fate>>;
  return {
    // A passkey that was enrolled here while this ran undoes all of it: the next time it is there to be named.
    write: (users, event, at) =>
      writeOnce(users, event, at).catch((error) => (isTaken(error) ? writeOnce(users, event, at) : Promise.reject(error))),
    rehearse: (users) =>
      sql.begin('read only', async (tx) => {
        const [schema] = await tx<{ is_there: boolean }[]>`select to_regclass('accounts') is not null as is_there`;
        // Before the first start there is nobody, and a rehearsal makes no tables.
        return schema?.is_there ? await fatesOf(tx, users) : new Map(users.map(({ line }) => [line, 'free' as const]));
      }) as Promise<Map<number, Fate>>,
    close: () => sql.end(),
  };
}

type Holders = {
  line: number;
  email_id: string | null;
  email_verified: boolean;
  email_status: string | null;
  id_taken: boolean;
  name_taken: boolean;
  passkey_taken: boolean;
};

/** Who holds the ids, addresses and user names now. */
async function fatesOf(sql: Handle, users: readonly ImportedUser[]): Promise<Map<number, Fate>> {
  if (users.length === 0) return new Map();
  await sql`set local enable_seqscan = off`; // a plan from before the first batch would read the table from end to end
  const rows = await sql<Holders[]>`
    select given.line, e.id as email_id, e.email_verified_at is not null as email_verified, e.status as email_status,
      i.id is not null as id_taken, n.id is not null as name_taken,
      exists (select from jsonb_to_recordset(given.passkeys) as mine (credential_id bytea) join passkeys using (credential_id)) as passkey_taken
    from ${given(sql, users)}
      left join accounts e on e.email_canonical = given.email_canonical
      left join accounts i on i.id = given.account_id
      left join accounts n on n.username_canonical = given.username_canonical`;
  const holders = new Map(rows.map((row) => [row.line, row]));
  return new Map(users.map((user) => [user.line, fateOf(user, holders.get(user.line))]));
}

function fateOf({ id, isVerified }: ImportedUser, holders: Holders | undefined): Fate {
  if (!holders) return 'free';
  if (holders.email_id !== null) {
    if (holders.email_status === 'deleted') return { refused: 'The address has an account here that is being deleted.' };
    if (id !== null && holders.email_id !== id) return { refused: 'The address has an account here with another id.' };
    if (isVerified && !holders.email_verified) return { refused: 'Somebody registered the address here and never confirmed it.' };
    return 'already-there';
  }
  if (holders.id_taken) return { refused: 'The id has an account here with another address.' };
  if (holders.name_taken) return { refused: 'The user name has an account here with another address.' };
  if (holders.passkey_taken) return { refused: 'One of its passkeys has an account here with another address.' };
  return 'free';
}

/** One parameter for all of them: the statement is the same for any number, and knows its types. */
function given(sql: Handle, users: readonly ImportedUser[]) {
  const rows = users.map((user) => ({
    line: user.line,
    account_id: user.id,
    email: user.email.given,
    email_canonical: user.email.canonical,
    is_verified: user.isVerified,
    username: user.username?.given,
    username_canonical: user.username?.canonical,
    display_name: user.displayName,
    password_hash: user.passwordHash,
    status: user.status,
    roles: user.roles,
    made_at: user.createdAt,
    totp_id: randomUUIDv7(),
    totp_secret: user.totpSecret,
    phone: user.phone,
    passkeys: passkeyRows(user.passkeys),
  }));
  return sql`jsonb_to_recordset(${JSON.stringify(rows)}::text::jsonb) as given (line int, account_id uuid, email text, email_canonical text,
    is_verified boolean, username text, username_canonical text, display_name text, password_hash text, status text, roles text[],
    made_at timestamptz, totp_id uuid, totp_secret text, phone text, passkeys jsonb)`;
}

/** Their ids rise as they stand there: an account lists the oldest first. */
function passkeyRows(passkeys: readonly ImportedPasskey[]) {
  const ids = passkeys.map(() => randomUUIDv7()).sort();
  return passkeys.map((passkey, i) => ({
    id: ids[i],
    credential_id: hexOf(passkey.credentialId),
    public_key: hexOf(passkey.publicKey),
    sign_count: passkey.signCount,
    transports: passkey.transports,
    aaguid: passkey.aaguid,
    name: passkey.name,
    is_backup_eligible: passkey.isBackupEligible,
    is_backed_up: passkey.isBackedUp,
    created_at: passkey.createdAt,
    last_used_at: passkey.lastUsedAt,
    flagged_at: passkey.flaggedAt,
    user_handle: passkey.userHandle && hexOf(passkey.userHandle),
  }));
}

/** As bytea reads it. */
function hexOf(bytes: Buffer): string {
  return `\\x${bytes.toString('hex')}`;
}

/** @returns the lines of those that were made */
async function insert(sql: Handle, users: readonly ImportedUser[], at: Date): Promise<Set<number>> {
  if (users.length === 0) return new Set();
  const named = users.map((user) => ({ ...user, id: user.id ?? randomUUIDv7() }));
  const rows = await sql<{ id: string }[]>`
    with given as materialized (select * from ${given(sql, named)}), made as (
      insert into accounts (id, email, email_canonical, email_verified_at, username, username_canonical, display_name, password_hash, status,
        roles, created_at, updated_at)
      select account_id, email, email_canonical, case when is_verified then ${at}::timestamptz end, username, username_canonical,
        display_name, password_hash, status, roles, made_at, ${at}::timestamptz
      from given order by email_canonical
      on conflict do nothing returning id
    ), enrolled as (
      insert into totp_authenticators (id, account_id, session_id, secret, last_step, created_at, activated_at)
      select totp_id, account_id, account_id, totp_secret, 0, ${at}::timestamptz, ${at}::timestamptz
      from given where totp_secret is not null and account_id in (select id from made)
    ), reachable as (
      insert into phones (account_id, number, verified_at)
      select account_id, phone, ${at}::timestamptz from given where phone is not null and account_id in (select id from made)
    ), keyed as (
      insert into passkeys (id, account_id, credential_id, public_key, sign_count, transports, aaguid, name, is_backup_eligible, is_backed_up,
        created_at, last_used_at, flagged_at, user_handle)
      select mine.id, account_id, credential_id, public_key, sign_count, transports, aaguid, name, is_backup_eligible, is_backed_up,
        mine.created_at, last_used_at, flagged_at, user_handle
      from given, jsonb_to_recordset(given.passkeys) as mine (id uuid, credential_id bytea, public_key bytea, sign_count bigint,
        transports text[], aaguid uuid, name text, is_backup_eligible boolean, is_backed_up boolean, created_at timestamptz,
        last_used_at timestamptz, flagged_at timestamptz, user_handle bytea)
      where account_id in (select id from made)
    )
    select id from made`;
  const made = new Set(rows.map(({ id }) => id));
  return new Set(named.filter(({ id }) => made.has(id)).map(({ line }) => line));
}
