import type { RedisFacts } from '#domain/doctor-redis.ts';
import { redisClientOnce } from './redis-client.ts';

const ANSWER_MS = 2000;

/**
 * Looks at one node of a Redis for `latchkey doctor`, the first of `url` that answers.
 * @throws what the last of them said, without a password; it ends by itself
 */
export async function examineRedis(url: string, ca: string | undefined): Promise<RedisFacts> {
  let failure: unknown;
  for (const node of url.split(',')) {
    try {
      return await examineNode(node.trim(), ca);
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

async function examineNode(url: string, ca: string | undefined): Promise<RedisFacts> {
  const redis = redisClientOnce(url, ca, ANSWER_MS);
  let said: unknown = new Error('nobody answers');
  redis.on('error', (error) => {
    said = error;
  });
  let timer: NodeJS.Timeout | undefined;
  try {
    // A server that never answers is cut off: nothing here waits for it.
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(resolve, ANSWER_MS, 'late');
    });
    const state = await Promise.race([
      new Promise<'ready'>((resolve) => void redis.once('ready', () => resolve('ready'))),
      new Promise<'ended'>((resolve) => void redis.once('end', () => resolve('ended'))),
      late,
    ]);
    if (state !== 'ready') throw said;
    const info = fieldsIn(await redis.info());
    const isCluster = info['cluster_enabled'] === '1';
    const cluster = isCluster ? fieldsIn((await redis.call('CLUSTER', 'INFO')) as string) : {};
    return {
      version: info['redis_version'] ?? '0',
      isReplica: info['role'] === 'slave',
      isCluster,
      clusterState: cluster['cluster_state'] ?? null,
      evicts: info['maxmemory_policy'] ?? 'noeviction',
      maxBytes: Number(info['maxmemory'] ?? 0),
      usedBytes: Number(info['used_memory'] ?? 0),
    };
  } finally {
    clearTimeout(timer);
    if (redis.status !== 'end') redis.disconnect();
  }
}

function fieldsIn(text: string): Record<string, string> {
  return Object.fromEntries(
    text.split(/\r?\n/).flatMap((line) => {
      const at = line.indexOf(':');
      return at > 0 ? [[line.slice(0, at), line.slice(at + 1)]] : [];
    }),
  );
}
