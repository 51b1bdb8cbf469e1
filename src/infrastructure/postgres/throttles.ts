import type { Fragment } from 'postgres';
import type { CountedLane, PasswordTry } from '#application/ports/hot-paths.ts';
import { EVERYWHERE, LOCKS, type LockoutPolicy, type ThrottleKey } from '#domain/lockout.ts';
import type { Handle } from './connect.ts';

/**
 * Tries at passwords, counted before they are judged: the row's lock puts any number at once in a line, so that no more than
 * `maxAttempts` are judged for each lock. Whoever holds several lanes takes them in one order: identifier or device, account, everywhere.
 */

/** So many tries a lane knows by their ids. */
const RECENT = 8;

/**
 * The upsert that counts one try in the lanes that `from` selects as (identifier_hash, network).
 * @param tryId one that is among the last that a lane has counted is not counted there again: who lost the answer may ask again
 */
export function counted(sql: Handle, { maxAttempts: most, lockSeconds }: LockoutPolicy, at: Date, tryId: string, from: Fragment) {
  const isSame = sql`(${tryId}::uuid = any(t.recent_tries))`;
  const forgottenAt = new Date(at.getTime() - lockSeconds * 1000);
  const quietSince = new Date(at.getTime() - LOCKS.forgottenSeconds * 1000);
  const isLocked = sql`(t.locked_until is not null and t.locked_until > ${at}::timestamptz)`;
  const isNew = sql`(t.locked_until is not null or t.last_failed_at <= ${forgottenAt}::timestamptz)`;
  // Beyond the limit only while it is locked: the count itself says which tries are not judged.
  const failures = sql`case when ${isSame} then t.failures when ${isLocked} then greatest(t.failures, ${most}::int) + 1
    when ${isNew} then 1 else least(t.failures, ${most}::int - 1) + 1 end`;
  const locks = sql`case when coalesce(t.locked_until, t.last_failed_at) <= ${quietSince}::timestamptz then 0 else t.locks end`;
  const seconds = sql`least(${Math.max(LOCKS.longestSeconds, lockSeconds)}::float8, ${lockSeconds}::float8 * power(2, least(${locks}, 30)))`;
  return sql`
    insert into login_throttles as t (identifier_hash, network, failures, last_failed_at, locked_until, locks, recent_tries)
    select identifier_hash, network, 1, ${at}::timestamptz,
      case when ${most}::int <= 1 then ${new Date(at.getTime() + lockSeconds * 1000)}::timestamptz end, case when ${most}::int <= 1 then 1 else 0 end, array[${tryId}::uuid]
    from (${from}) as lane
    on conflict (identifier_hash, network) do update set
      failures = ${failures},
      last_failed_at = case when ${isSame} or ${isLocked} then t.last_failed_at when ${isNew} then ${at}::timestamptz
        else greatest(t.last_failed_at, ${at}::timestamptz) end,
      locked_until = case when ${isSame} or ${isLocked} then t.locked_until
        when (${failures}) >= ${most}::int then ${at}::timestamptz + make_interval(secs => ${seconds}) end,
      locks = case when ${isSame} or ${isLocked} then t.locks when (${failures}) >= ${most}::int then ${locks} + 1 else ${locks} end,
      recent_tries = case when ${isSame} or ${isLocked} then t.recent_tries when ${isNew} then array[${tryId}::uuid] else (array_prepend(${tryId}::uuid, t.recent_tries))[1:${RECENT}::int] end
    returning identifier_hash, network, failures, locked_until, ${tryId}::uuid <> all(recent_tries) as is_refused,
      ${tryId}::uuid = recent_tries[1] and locked_until is not null as is_locking`;
}

/**
 * The lanes of one try as parts of a WITH, which need one (account_hash bytea, device_id uuid) called `asker`. A device that the account
 * knows by its cookie has a lane of its own. Anybody else is counted by what was typed, whose lock shows; then by the account, which
 * may be known by several names; then everywhere: those locks do not show, or they would tell which names belong together.
 */
export function countedLanes(sql: Handle, { identifierHash, network }: ThrottleKey, policy: LockoutPolicy, at: Date, tryId: string) {
  const own = sql`
    select case when device_id is null then ${identifierHash}::bytea else account_hash end as identifier_hash,
      case when device_id is null then ${network}::text else 'device:' || device_id::text end as network from asker`;
  const byAccount = sql`
    select account_hash as identifier_hash, ${network}::text as network from asker, own_lane where device_id is null and not own_lane.is_refused`;
  const everywhere = sql`
    select account_hash as identifier_hash, ${EVERYWHERE.network}::text as network from asker, account_lane where not account_lane.is_refused`;
  const lane = (name: string, from: Fragment, rules = policy) => laneParts(sql, name, from, rules, at, tryId);
  return sql`${lane('own_lane', own)}, ${lane('account_lane', byAccount)}, ${lane('wide_lane', everywhere, EVERYWHERE.policy)},
    tried as (select 1 as place, * from own_lane union all select 2, * from account_lane union all select 3, * from wide_lane)`;
}

/** One lane as parts of a WITH. One that is seen to be locked is only read: a flood of tries does not queue for its row. `limit` keeps the planner to the index. */
function laneParts(sql: Handle, name: string, from: Fragment, policy: LockoutPolicy, at: Date, tryId: string) {
  const [asked, held, fresh] = [sql(`${name}_asked`), sql(`${name}_held`), sql(`${name}_fresh`)];
  return sql`${asked} as (${from}), ${held} as (
      select t.* from ${asked} k cross join lateral (
        select identifier_hash, network, failures, locked_until from login_throttles
        where identifier_hash = k.identifier_hash and network = k.network and locked_until > ${at}::timestamptz
          and ${tryId}::uuid <> all(recent_tries) limit 1) as t
    ), ${fresh} as (${counted(sql, policy, at, tryId, sql`select * from ${asked} where not exists (select from ${held})`)}),
    ${sql(name)} as (select * from ${fresh} union all select *, true, false from ${held})`;
}

/** The same as one value, for a statement whose rows are another question's. */
export const triedLanes = (sql: Handle) => sql`
  (select json_agg(json_build_object('hash', encode(identifier_hash, 'hex'), 'network', network, 'failures', failures,
    'lockedUntil', extract(epoch from locked_until), 'isRefused', is_refused, 'isLocking', is_locking) order by place) from tried) as lanes`;

export type LaneJson = {
  hash: string;
  network: string;
  failures: number;
  lockedUntil: number | null;
  isRefused: boolean;
  isLocking: boolean;
};

export function tryOf(lanes: readonly LaneJson[]): PasswordTry {
  const [own, ...hidden] = lanes.map(
    ({ hash, lockedUntil, ...lane }): CountedLane => ({
      ...lane,
      identifierHash: Buffer.from(hash, 'hex'),
      lockedUntil: lockedUntil === null ? null : new Date(Math.round(lockedUntil * 1000)),
    }),
  );
  if (own === undefined) throw new Error('a try was counted in no lane');
  return {
    lanes: [own, ...hidden],
    lockedUntil: own.isRefused ? own.lockedUntil : null,
    isWithheld: hidden.some((lane) => lane.isRefused),
  };
}

/** Tries that were not wrong after all are taken back, in the order in which they were counted. */
export async function takeBack(sql: Handle, lanes: readonly CountedLane[]): Promise<void> {
  for (const lane of lanes) await sql`${takenBack(sql, lane)}`;
}

/** A try that nobody judged counts no more, and a lock that it helped to fill was too early: one more may be judged. */
export async function uncount(sql: Handle, lanes: readonly CountedLane[], { maxAttempts }: LockoutPolicy, tryId: string): Promise<void> {
  for (const { identifierHash, network } of lanes) {
    const most = network === EVERYWHERE.network ? EVERYWHERE.policy.maxAttempts : maxAttempts;
    await sql`
      update login_throttles set
        failures = greatest(least(failures, ${most}::int) - 1, 0),
        locks = case when locked_until is null then locks else greatest(locks - 1, 0) end,
        locked_until = null,
        recent_tries = array_remove(recent_tries, ${tryId}::uuid)
      where identifier_hash = ${identifierHash} and network = ${network} and ${tryId}::uuid = any(recent_tries)`;
  }
}

/** What a right password makes of one lane: its own is forgotten, the one of everywhere loses this try alone. */
export function settled(sql: Handle, lane: CountedLane, when = sql``) {
  if (lane.network === EVERYWHERE.network) return takenBack(sql, lane, when);
  return sql`delete from login_throttles where identifier_hash = ${lane.identifierHash} and network = ${lane.network} ${when}`;
}

export async function settle(sql: Handle, lanes: readonly CountedLane[]): Promise<void> {
  for (const lane of lanes) await sql`${settled(sql, lane)}`;
}

/** @param when a condition, as ` and …` */
export function takenBack(sql: Handle, { identifierHash, network, failures, isLocking }: CountedLane, when = sql``) {
  const undone = isLocking
    ? sql`failures = ${failures - 1}, locked_until = null, locks = greatest(locks - 1, 0)`
    : sql`failures = greatest(failures - 1, 0)`;
  return sql`update login_throttles set ${undone} where identifier_hash = ${identifierHash} and network = ${network} ${when}`;
}
