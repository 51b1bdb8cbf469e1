import type { DeviceNote, DeviceSighting, KnownDevice } from '#application/ports/devices.ts';
import type { Writes } from '#application/ports/store.ts';
import { MOST_DEVICES } from '#domain/device.ts';
import type { Handle } from './connect.ts';

/** The devices of accounts: which one a sign-in shows, and what is known of it from then on. */

export type KnownDeviceRow = { device_id: string | null; by_cookie: boolean | null; has_devices: boolean };

/**
 * The columns of `KnownDeviceRow`, beside a row `a` of accounts; `knownDevice` must be joined. An account whose devices were
 * forgotten, because one was a thief's, has been signed in to before all the same.
 */
export function knownDeviceColumns(sql: Handle) {
  return sql`d.id as device_id, d.by_cookie,
    (exists (select from devices where devices.account_id = a.id)
      or exists (select from sessions where sessions.account_id = a.id)) as has_devices`;
}

/**
 * The device of the account `a` that shows its cookie, else what keeps no cookies, of the same kind in the same network. One that is
 * known to keep its cookie is not meant by whoever has none: an office or a mobile network has many of a kind.
 */
export function knownDevice(sql: Handle, { tokenHash, kind, network }: DeviceSighting) {
  return sql`left join lateral (
    select id, token_hash is not distinct from ${tokenHash}::bytea as by_cookie from devices
    where devices.account_id = a.id and (token_hash = ${tokenHash}::bytea
      or (confirmed_at is null and kind = ${kind}::text and network = ${network}::text))
    order by by_cookie desc, last_seen_at desc limit 1
  ) d on true`;
}

export function knownDeviceOf({ device_id, by_cookie, has_devices }: KnownDeviceRow): KnownDevice {
  if (device_id === null) return { by: 'new', hasOthers: has_devices };
  return { id: device_id, by: by_cookie ? 'cookie' : 'traits' };
}

/**
 * Writes a device down, as parts of a WITH: other accounts on the same browser know it by its new cookie too, though not any number of
 * them, because a script may sign in to thousands with one; and those longest not seen are forgotten. `when` says which account,
 * as (account_id), if any. It waits for its own device alone, and before it holds another: two sign-ins, each with what the other one
 * wants, would else wait in a circle. What is seen meanwhile stays.
 */
export function notedDevice(sql: Handle, { id, tokenHash, kind, network, replaces, isConfirmed }: DeviceNote, at: Date, when: string) {
  const confirmedAt = isConfirmed ? at : null;
  return sql`noted as (
    insert into devices as d (id, account_id, token_hash, kind, network, created_at, last_seen_at, confirmed_at)
    select ${id}::uuid, account_id, ${tokenHash}::bytea, ${kind}::text, ${network}::text, ${at}::timestamptz, ${at}::timestamptz,
      ${confirmedAt}::timestamptz from ${sql(when)}
    on conflict (id) do update set token_hash = excluded.token_hash, kind = excluded.kind, network = excluded.network,
      last_seen_at = excluded.last_seen_at, confirmed_at = coalesce(d.confirmed_at, excluded.confirmed_at)
    where d.account_id = excluded.account_id
    returning d.id
  ), carried as (
    update devices set token_hash = ${tokenHash}::bytea where id in (
      select d.id from devices d join ${sql(when)} w on d.account_id <> w.account_id
      where d.token_hash = ${replaces}::bytea and (select count(*) from noted) >= 0
      order by d.last_seen_at desc limit ${MOST_DEVICES} for update of d skip locked)
  ), forgotten as (
    delete from devices where id in (
      select d.id from devices d join (
        select d.id, d.last_seen_at from ${sql(when)} w join devices d on d.account_id = w.account_id where d.id <> ${id}::uuid
        order by d.last_seen_at desc offset ${MOST_DEVICES - 1}) as oldest on oldest.id = d.id and oldest.last_seen_at = d.last_seen_at
      where (select count(*) from noted) >= 0 for update of d skip locked)
  )`;
}

export function deviceWrites(sql: Handle): Writes['devices'] {
  return {
    async note(accountId, note, at) {
      await sql`with owner as (select ${accountId}::uuid as account_id), ${notedDevice(sql, note, at, 'owner')} select from owner`;
    },
    async forgetAll(accountId) {
      await sql`delete from devices where account_id = ${accountId}`;
    },
    async forget(accountId, deviceId) {
      await sql`delete from devices where id = ${deviceId} and account_id = ${accountId}`;
    },
  };
}
