import { randomUUIDv7 } from 'node:crypto';
import type { Sql } from 'postgres';
import type { HotPaths, SignInLookup } from '#application/ports/store.ts';
import { AUDIT_EVENTS, type AuditEvent } from '#domain/audit-event.ts';
import type { LockoutPolicy, ThrottleKey } from '#domain/lockout.ts';
import { record } from './parts.ts';
import { accountColumns } from './reads.ts';
import { type AccountRow, accountOf, arrayOf } from './rows.ts';

/** The statements of a password sign-in, see HotPaths. */

type LookupRow = Omit<AccountRow, 'account_id'> & { account_id: string | null; locked_until: Date | null };

export async function findForSignIn(
  sql: Sql,
  { kind, canonical }: { kind: 'email' | 'username'; canonical: string },
  { identifierHash, network }: ThrottleKey,
  at: Date,
): Promise<SignInLookup> {
  const [row] = await sql<LookupRow[]>`
    select ${accountColumns(sql)}, t.locked_until
    from (select 1) as always
      left join accounts a on ${kind === 'email' ? sql`a.email_canonical` : sql`a.username_canonical`} = ${canonical}
      left join login_throttles t on t.identifier_hash = ${identifierHash} and t.network = ${network} and t.locked_until > ${at}`;
  if (!row) return { account: null, lockedUntil: null };
  const { account_id: accountId } = row;
  return { account: accountId === null ? null : accountOf({ ...row, account_id: accountId }), lockedUntil: row.locked_until };
}

export async function countFailure(
  sql: Sql,
  { identifierHash, network }: ThrottleKey,
  { maxAttempts, lockSeconds }: LockoutPolicy,
  event: AuditEvent,
): Promise<Date | null> {
  const at = event.occurredAt;
  const lockedUntil = new Date(at.getTime() + lockSeconds * 1000);
  const forgottenAt = new Date(at.getTime() - lockSeconds * 1000);
  // One that ran out, or a failure long ago, begins anew. A lock that runs counts nothing: no row comes back then.
  const failures = sql`case when t.locked_until is not null or t.last_failed_at <= ${forgottenAt} then 1 else t.failures + 1 end`;
  const [row] = await sql<{ locked_until: Date | null; is_counted: boolean }[]>`
    with counted as (
      insert into login_throttles as t (identifier_hash, network, failures, last_failed_at, locked_until)
      values (${identifierHash}, ${network}, 1, ${at}, case when ${maxAttempts}::int <= 1 then ${lockedUntil}::timestamptz end)
      on conflict (identifier_hash, network) do update set
        failures = ${failures}, last_failed_at = ${at},
        locked_until = case when ${failures} >= ${maxAttempts}::int then ${lockedUntil}::timestamptz end
      where t.locked_until is null or t.locked_until <= ${at}
      returning locked_until
    ), logged as (${record(sql, event)}), locked as (${record(
      sql,
      { ...event, type: 'ACCOUNT_LOCKED', risk: AUDIT_EVENTS.ACCOUNT_LOCKED.risk, details: { lock_seconds: lockSeconds } },
      { id: sql`${randomUUIDv7()}::uuid`, from: sql`from counted where locked_until is not null` },
    )})
    select locked_until, true as is_counted from counted
    union all
    select locked_until, false from login_throttles
    where identifier_hash = ${identifierHash} and network = ${network} and not exists (select from counted)`;
  if (row?.is_counted || row?.locked_until) return row.locked_until;
  // The lane was locked by a statement that this one's snapshot does not see: the next one does.
  const [lock] = await sql<{ locked_until: Date | null }[]>`
    select locked_until from login_throttles where identifier_hash = ${identifierHash} and network = ${network}`;
  return lock?.locked_until ?? null;
}

export async function openSession(
  sql: Sql,
  { session, key, seenPasswordHash, rehashed, event }: Parameters<HotPaths['openSession']>[0],
): Promise<'opened' | 'locked' | 'changed'> {
  const at = session.createdAt;
  // `for share`: a password reset under way is waited for, and one that comes later sees this session and ends it.
  const rehash = sql`, rehash as (
    update accounts set password_hash = ${rehashed}, updated_at = ${at} where id in (select account_id from opened)
  ), told as (${record(sql, { ...event, type: 'PASSWORD_REHASHED' }, { id: sql`${randomUUIDv7()}::uuid`, from: sql`from opened` })})`;
  const [row] = await sql<{ unchanged: boolean; locked: boolean }[]>`
    with unchanged as (
      select id from accounts where id = ${session.accountId} and password_hash = ${seenPasswordHash} and status = 'active'
      ${rehashed === null ? sql`for share` : sql`for no key update`}
    ), lane as (
      select from login_throttles
      where identifier_hash = ${key.identifierHash} and network = ${key.network} and locked_until > ${at}
    ), opened as (
      insert into sessions (id, account_id, transport, device, ip, user_agent, amr, acr, auth_time, created_at, last_seen_at,
        idle_end_at, absolute_end_at, refresh_secret_hash)
      select ${session.id}::uuid, id, ${session.transport}::text, ${session.device}::text, ${session.ip}::text, ${session.userAgent}::text,
        ${arrayOf(session.amr)}::text::text[], ${session.acr}::text, ${session.authTime}::timestamptz, ${at}::timestamptz,
        ${session.lastSeenAt}::timestamptz, ${session.idleEndAt}::timestamptz, ${session.absoluteEndAt}::timestamptz,
        ${session.refreshSecretHash}::bytea
      from unchanged where not exists (select from lane)
      returning account_id
    ), cleared as (
      delete from login_throttles
      where identifier_hash = ${key.identifierHash} and network = ${key.network} and exists (select from opened)
    ), logged as (${record(sql, event, { from: sql`from opened` })})${rehashed === null ? sql`` : rehash}
    select exists (select from unchanged) as unchanged, exists (select from lane) as locked`;
  if (row?.locked) return 'locked';
  return row?.unchanged ? 'opened' : 'changed';
}
