import { randomUUIDv7 } from 'node:crypto';
import type { Fragment, Sql } from 'postgres';
import type { DeviceSighting } from '#application/ports/devices.ts';
import type { CountedLane, HotPaths, NewSignIn, SignInLookup } from '#application/ports/hot-paths.ts';
import type { SecondFactor } from '#domain/assurance.ts';
import { AUDIT_EVENTS } from '#domain/audit-event.ts';
import { EVERYWHERE, type LockoutPolicy, type ThrottleKey, TOLD_AGAIN_SECONDS } from '#domain/lockout.ts';
import type { Handle } from './connect.ts';
import { type KnownDeviceRow, knownDevice, knownDeviceColumns, knownDeviceOf, notedDevice } from './devices.ts';
import { enqueue, holdsSecondFactor, record, secondFactors } from './parts.ts';
import { accountColumns } from './reads.ts';
import { type AccountRow, accountOf, wordsOf } from './rows.ts';
import { insertSession } from './session-rows.ts';
import { type SignalsRow, signalColumns, signalsOf } from './signals.ts';
import { countedLanes, type LaneJson, settled, triedLanes, tryOf } from './throttles.ts';

/** The statements of a password sign-in, see HotPaths. */

type LookupRow = Omit<AccountRow, 'account_id'> &
  KnownDeviceRow &
  SignalsRow & {
    account_id: string | null;
    second_factors: string;
    lanes: LaneJson[];
  };

/** @param tryId asked for again with the same id, its try is not counted again */
export async function findForSignIn(
  sql: Handle,
  tryId: string,
  { kind, canonical }: { kind: 'email' | 'username'; canonical: string },
  { strangerHash, ...lane }: ThrottleKey & { strangerHash: Buffer },
  policy: LockoutPolicy,
  sighting: DeviceSighting,
  at: Date,
): Promise<SignInLookup> {
  const [row] = await sql<LookupRow[]>`
    with found as materialized (
      select ${accountColumns(sql)}, ${secondFactors(sql, sql`a.id`)} as second_factors, ${knownDeviceColumns(sql)}
      from (select 1) as always
        left join accounts a on ${kind === 'email' ? sql`a.email_canonical` : sql`a.username_canonical`} = ${canonical}
          and a.status <> 'deleted'
        ${knownDevice(sql, sighting)}
    ), asker as (
      select coalesce(uuid_send(account_id), ${strangerHash}::bytea) as account_hash, case when by_cookie then device_id end as device_id
      from found
    ), ${countedLanes(sql, lane, policy, at, tryId)}
    select found.*, ${triedLanes(sql)}, ${signalColumns(sql, sighting.network, at)} from found cross join asker`;
  if (!row) throw new Error('a look-up has one row, whoever is looked for');
  const { account_id: accountId } = row;
  return {
    account: accountId === null ? null : accountOf({ ...row, account_id: accountId }),
    tried: tryOf(row.lanes),
    secondFactors: wordsOf(row.second_factors) as SecondFactor[],
    device: knownDeviceOf(row),
    signals: signalsOf(row),
  };
}

export async function recordFailure(sql: Sql, ...[events, told, wrong]: Parameters<HotPaths['recordFailure']>): Promise<void> {
  const [first, ...others] = events;
  if (first === undefined) return;
  const at = first.occurredAt;
  const also = others.map((event, index) => sql`, ${sql(`also_${index}`)} as (${record(sql, event)})`);
  // The account comes before the lanes, as for whoever removes it; it may be gone by then.
  const judged = sql`, owner as materialized (
    select id, email from accounts where id = ${told?.accountId ?? null}::uuid for key share
  ), judged as (
    update login_throttles set judged_at = ${at} where identifier_hash = ${wrong?.identifierHash ?? null} and network = ${wrong?.network ?? null}
      and (select count(*) from owner) >= 0
    returning network)`;
  await sql`with first as (${record(sql, first)})${joined(sql, also)}${judged}${told ? toldOnce(sql, told, at) : sql``} select`;
}

/**
 * The mail to the owner, where there is one; the note that they were told is made for names that nobody has too. After `judged`: lanes
 * are taken in one order.
 */
function toldOnce(sql: Sql, { laneHash, mail }: NonNullable<Parameters<HotPaths['recordFailure']>[1]>, at: Date) {
  const before = new Date(at.getTime() - TOLD_AGAIN_SECONDS * 1000);
  return sql`, told as (
    insert into login_throttles as t (identifier_hash, network, failures, last_failed_at, told_at)
    select ${laneHash}::bytea, ${EVERYWHERE.network}::text, 0, ${at}::timestamptz, ${at}::timestamptz where (select count(*) from judged) >= 0
    on conflict (identifier_hash, network) do update set told_at = excluded.told_at where t.told_at is null or t.told_at <= ${before}
    returning network
  ), mailed as (${enqueue(sql, mail, at, sql`select id, email from owner where exists (select from told)`)})`;
}

const joined = (sql: Handle, parts: readonly Fragment[]): Fragment => parts.reduce((all, part) => sql`${all}${part}`, sql``);

export async function openSession(
  sql: Handle,
  { accountId, begun, tried, seenPasswordHash, rehashed, event }: Parameters<HotPaths['openSession']>[0],
): Promise<'opened' | 'changed'> {
  const at = event.occurredAt;
  // `for share`: a password reset under way is waited for, and one that comes later sees this session and ends it.
  const isCounted = 'session' in begun && begun.most > 0;
  const rehash = sql`, rehash as (
    update accounts set password_hash = ${rehashed}, updated_at = ${at} where id in (select account_id from opened)
  ), told as (${record(sql, { ...event, type: 'PASSWORD_REHASHED', risk: AUDIT_EVENTS.PASSWORD_REHASHED.risk }, { id: sql`${randomUUIDv7()}::uuid`, from: sql`from opened` })})`;
  const [row] = await sql<{ unchanged: boolean }[]>`
    with unchanged as (
      select id, security_stamp from accounts where id = ${accountId} and password_hash = ${seenPasswordHash} and status = 'active'
        ${'session' in begun ? sql`and not ${holdsSecondFactor(sql, sql`accounts.id`)}` : sql``}
      ${rehashed === null && !isCounted ? sql`for share` : sql`for no key update`}
    ), opened as (
      ${'session' in begun ? insertSession(sql, begun.session) : insertPreAuth(sql, begun.preAuth, at)}
      from unchanged
      returning account_id
    ), ${settledLanes(sql, tried.lanes)}, logged as (${record(sql, event, { from: sql`from opened` })})${'session' in begun ? around(sql, begun, at) : sql``}${rehashed === null ? sql`` : rehash}
    select exists (select from unchanged) as unchanged`;
  return row?.unchanged ? 'opened' : 'changed';
}

/**
 * What a right password makes of the counts, lane by lane in their order: those of its own network or device are forgotten, the one
 * of everywhere loses this try alone. An owner who signs in clears no stranger's guesses from elsewhere.
 */
function settledLanes(sql: Handle, lanes: readonly CountedLane[]) {
  const parts = lanes.map((lane, index) => {
    const when =
      index === 0
        ? sql`and exists (select from opened)`
        : sql`and exists (select from opened) and (select count(*) from ${sql(`settled_${index - 1}`)}) >= 0`;
    return sql`${index === 0 ? sql`` : sql`, `}${sql(`settled_${index}`)} as (${settled(sql, lane, when)} returning network)`;
  });
  return joined(sql, parts);
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
