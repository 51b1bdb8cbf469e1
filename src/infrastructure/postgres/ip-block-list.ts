import type { Clock, IpBlockList } from '#application/ports/services.ts';
import { blockList, MOST_IP_BLOCKS, parseNetwork } from '#domain/ip-blocks.ts';
import type { Database } from './database.ts';

/** A change is in force everywhere within two seconds: this, and the time of two small questions. */
const INTERVAL_MS = 1000;

/**
 * Keeps the blocked networks in memory. Once a second it asks for the revision, one row by its key, and reads the blocks when that
 * has moved. Polled, because a LISTEN does not outlive PgBouncer in transaction mode. While PostgreSQL is away the last list holds.
 * @param onTrouble is told once each time that it cannot ask
 * @returns after the first look, so that no request comes before the list
 */
export async function watchIpBlocks(
  { sql, within }: Database,
  clock: Clock,
  onTrouble: (error: unknown) => void,
): Promise<IpBlockList & { stop(): void }> {
  let isOnList = blockList([]);
  let seen = '0';
  let isTroubled = false;
  let isStopped = false;
  let timer: NodeJS.Timeout | undefined;

  const look = async () => {
    const [row] = await within(() => sql<{ revision: string }[]>`select revision from ip_block_revisions where id = 1`, REPEATABLE);
    const revision = row?.revision ?? '0';
    if (revision === seen) return;
    const rows = await within(
      () => sql<{ network: string; ends_at: Date | null }[]>`
        select network::text as network, ends_at from ip_blocks where ends_at is null or ends_at > ${clock.now()} limit ${MOST_IP_BLOCKS}`,
      REPEATABLE,
    );
    isOnList = blockList(
      rows.flatMap(({ network: text, ends_at: endsAt }) => {
        const network = parseNetwork(text);
        return typeof network === 'string' ? [] : [{ network, endsAt }];
      }),
    );
    seen = revision;
  };
  const again = async () => {
    try {
      await look();
      isTroubled = false;
    } catch (error) {
      if (!isTroubled && !isStopped) onTrouble(error);
      isTroubled = true;
    }
    if (!isStopped) timer = setTimeout(again, INTERVAL_MS).unref();
  };
  await again();

  return {
    isBlocked: (ip) => isOnList(ip, clock.now()),
    stop() {
      isStopped = true;
      clearTimeout(timer);
    },
  };
}

const REPEATABLE = { isRepeatable: true };
