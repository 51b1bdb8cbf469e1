import { randomUUIDv7 } from 'node:crypto';
import type { Sql } from 'postgres';
import type { DeviceSighting, HotPaths, NewSignIn, SignInLookup } from '#application/ports/store.ts';
import type { SecondFactor } from '#domain/assurance.ts';
import { AUDIT_EVENTS, type AuditEvent } from '#domain/audit-event.ts';
import type { LockoutPolicy, ThrottleKey } from '#domain/lockout.ts';
import type { Handle } from './connect.ts';
import { type KnownDeviceRow, knownDevice, knownDeviceColumns, knownDeviceOf, notedDevice } from './devices.ts';
import { enqueue, holdsSecondFactor, record, secondFactors } from './parts.ts';
import { accountColumns } from './reads.ts';
import { type AccountRow, accountOf, wordsOf } from './rows.ts';
import { insertSession } from './session-rows.ts';

/** The statements of a password sign-in, see HotPaths. */

type LookupRow = Omit<AccountRow, 'account_id'> &
  KnownDeviceRow & { account_id: string | null; locked_until: Date | null; second_factors: string };

export async function findForSignIn(
  sql: Sql,
  { kind, canonical }: { kind: 'email' | 'username'; canonical: string },
  { identifierHash, network }: ThrottleKey,
  sighting: DeviceSighting,
  at: Date,
): Promise<SignInLookup> {
  const [row] = await sql<LookupRow[]>`
    select ${accountColumns(sql)}, t.locked_until, ${secondFactors(sql, sql`a.id`)} as second_factors, ${knownDeviceColumns(sql)}
    from (select 1) as always
      left join accounts a on ${kind === 'email' ? sql`a.email_canonical` : sql`a.username_canonical`} = ${canonical}
        and a.status <> 'deleted'
      ${knownDevice(sql, sighting)}
      left join login_throttles t on t.identifier_hash = ${identifierHash} and t.network = ${network} and t.locked_until > ${at}`;
  if (!row) return { account: null, lockedUntil: null, secondFactors: [], device: { by: 'new', hasOthers: false } };
  const { account_id: accountId } = row;
  return {
    account: accountId === null ? null : accountOf({ ...row, account_id: accountId }),
    lockedUntil: row.locked_until,
    secondFactors: wordsOf(row.second_factors) as SecondFactor[],
    device: knownDeviceOf(row),
  };
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
  sql: Handle,
  { accountId, begun, key, seenPasswordHash, rehashed, event }: Parameters<HotPaths['openSession']>[0],
): Promise<'opened' | 'locked' | 'changed'> {
  const at = event.occurredAt;
  // `for share`: a password reset under way is waited for, and one that comes later sees this session and ends it.
  const isCounted = 'session' in begun && begun.most > 0;
  const rehash = sql`, rehash as (
    update accounts set password_hash = ${rehashed}, updated_at = ${at} where id in (select account_id from opened)
  ), told as (${record(sql, { ...event, type: 'PASSWORD_REHASHED' }, { id: sql`${randomUUIDv7()}::uuid`, from: sql`from opened` })})`;
  const [row] = await sql<{ unchanged: boolean; locked: boolean }[]>`
    with unchanged as (
      select id, security_stamp from accounts where id = ${accountId} and password_hash = ${seenPasswordHash} and status = 'active'
        ${'session' in begun ? sql`and not ${holdsSecondFactor(sql, sql`accounts.id`)}` : sql``}
      ${rehashed === null && !isCounted ? sql`for share` : sql`for no key update`}
    ), lane as (
      select from login_throttles
      where identifier_hash = ${key.identifierHash} and network = ${key.network} and locked_until > ${at}
    ), opened as (
      ${'session' in begun ? insertSession(sql, begun.session) : insertPreAuth(sql, begun.preAuth, at)}
      from unchanged where not exists (select from lane)
      returning account_id
    ), cleared as (
      delete from login_throttles
      where identifier_hash = ${key.identifierHash} and network = ${key.network} and exists (select from opened)
    ), logged as (${record(sql, event, { from: sql`from opened` })})${'session' in begun ? around(sql, begun, at) : sql``}${rehashed === null ? sql`` : rehash}
    select exists (select from unchanged) as unchanged, exists (select from lane) as locked`;
  if (row?.locked) return 'locked';
  return row?.unchanged ? 'opened' : 'changed';
}

/** What else begins with a session: its device is noted, a new one told of, and the session that its browser held until now ends. */
function around(sql: Handle, { device, notice, replaces }: NewSignIn, at: Date) {
  const told = notice
    ? sql`, reportable as (
        insert into tickets (id, purpose, account_id, secret_hash, context, created_at, expires_at)
        select ${notice.ticket.id}::uuid, ${notice.ticket.purpose}::text, account_id, ${notice.ticket.secretHash}::bytea,
          ${JSON.stringify(notice.ticket.context)}::text::jsonb, ${at}::timestamptz, ${notice.ticket.expiresAt}::timestamptz from opened
      ), mailed as (${enqueue(sql, notice.mail, at, sql`select a.id, a.email from accounts a join opened on opened.account_id = a.id`)})`
    : sql``;
  const replaced = replaces
    ? sql`, replaced as (
        update sessions set revoked_at = ${at}, revoked_reason = 'replaced'
        where cookie_hash = ${replaces} and revoked_at is null and exists (select from opened))`
    : sql``;
  return sql`, ${notedDevice(sql, device, at, 'opened')}${told}${replaced}`;
}

type PreAuthTicket = Extract<Parameters<HotPaths['openSession']>[0]['begun'], { preAuth: unknown }>['preAuth'];

function insertPreAuth(sql: Handle, { id, purpose, secretHash, context, expiresAt }: PreAuthTicket, at: Date) {
  return sql`
    insert into tickets (id, purpose, account_id, secret_hash, context, created_at, expires_at)
    select ${id}::uuid, ${purpose}::text, id, ${secretHash}::bytea, ${JSON.stringify(context)}::text::jsonb, ${at}::timestamptz,
      ${expiresAt}::timestamptz`;
}
