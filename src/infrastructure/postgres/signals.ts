import type { SignInSignals } from '#application/ports/hot-paths.ts';
import type { Reads } from '#application/ports/store.ts';
import { EVERYWHERE } from '#domain/lockout.ts';
import { GUESSED_SECONDS, MOST_COUNTED, RECENT_SECONDS, REUSED_SECONDS } from '#domain/risk.ts';
import type { Handle } from './connect.ts';
import { type KnownDeviceRow, knownDevice, knownDeviceColumns, knownDeviceOf } from './devices.ts';

/** What is known of who signs in, for the rules of `domain/risk.ts`. */

export type SignalsRow = {
  accounts_from_network: number;
  networks_of_account: number;
  recent_networks: number;
  is_known_network: boolean;
  is_token_reused: boolean;
};

/**
 * The columns of `SignalsRow`, beside `found` (account_id) and `asker` (account_hash). Counted no further than matters, each by an
 * index. Rows of accounts, real or not, have a hash of 16 bytes. A try that nobody has judged yet is no wrong password: an office
 * that signs in at nine is not a botnet.
 */
export function signalColumns(sql: Handle, network: string, at: Date) {
  const guessedSince = new Date(at.getTime() - GUESSED_SECONDS * 1000);
  const recentSince = new Date(at.getTime() - RECENT_SECONDS * 1000);
  const reusedSince = new Date(at.getTime() - REUSED_SECONDS * 1000);
  return sql`
    (select count(*) filter (where octet_length(guessed.identifier_hash) = 16)::int from (
      select t.identifier_hash from login_throttles t where t.network = ${network} and t.last_failed_at > ${guessedSince}
        and t.judged_at > ${guessedSince}
      limit ${2 * MOST_COUNTED}) as guessed) as accounts_from_network,
    (select count(*) filter (where guessing.network <> ${EVERYWHERE.network} and guessing.network not like 'device:%')::int from (
      select t.network from login_throttles t where t.identifier_hash = asker.account_hash
        and t.judged_at is not null
      limit ${2 * MOST_COUNTED}) as guessing) as networks_of_account,
    (select count(distinct v.network)::int from devices v where v.account_id = found.account_id and v.last_seen_at > ${recentSince}
      and v.network <> ${network}) as recent_networks,
    exists (select from devices v where v.account_id = found.account_id and v.network = ${network}) as is_known_network,
    exists (select from sessions s where s.account_id = found.account_id and s.revoked_reason = 'refresh-token-reused'
      and s.revoked_at > ${reusedSince}) as is_token_reused`;
}

export function signalsOf(row: SignalsRow): SignInSignals['signals'] {
  return {
    accountsFromNetwork: row.accounts_from_network,
    networksOfAccount: row.networks_of_account,
    recentNetworks: row.recent_networks,
    isKnownNetwork: row.is_known_network,
    isTokenReused: row.is_token_reused,
  };
}

export function signInReads(sql: Handle): Reads['signIns'] {
  return {
    async signals(accountId, sighting, at) {
      const [row] = await sql<(KnownDeviceRow & SignalsRow & { failures: number })[]>`
        with found as materialized (
          select a.id as account_id, ${knownDeviceColumns(sql)}
          from (select 1) as always left join accounts a on a.id = ${accountId}::uuid ${knownDevice(sql, sighting)}
        ), asker as (select uuid_send(account_id) as account_hash from found)
        select found.*, ${signalColumns(sql, sighting.network, at)}, coalesce((
          select t.failures from login_throttles t where t.identifier_hash = asker.account_hash and t.network = ${sighting.network}), 0) as failures
        from found cross join asker`;
      if (!row) throw new Error('a look-up has one row, whoever is looked for');
      return { device: knownDeviceOf(row), signals: signalsOf(row), passwordFailures: row.failures };
    },
  };
}
