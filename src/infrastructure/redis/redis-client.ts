import { Cluster, Redis } from 'ioredis';

/** A peer that vanished without a word (failover, cable) is given up after this and connected to anew. */
const SOCKET_TIMEOUT_MS = 1000;
const CONNECT_TIMEOUT_MS = 500;
/** A node that came back, or became the primary without being asked, is found within this time. */
const SLOTS_EVERY_MS = 1000;

export type RedisClient = Redis | Cluster;

export type RedisAddress = {
  /** One URL; those of some nodes of a cluster with commas between them. */
  url: string;
  isCluster: boolean;
  /** Certificates (PEM) to trust with rediss:// instead of the public ones. */
  ca: string | undefined;
};

const backoff = (attempt: number) => Math.min(50 * 2 ** Math.min(attempt, 5), 1000);

/** A client that fails soon rather than waits, and never repeats by itself what may have been done. */
export function redisClient({ url, isCluster, ca }: RedisAddress): RedisClient {
  // While Redis loads its data it says so to whoever asks. ioredis would wait for the end of that, for minutes, and tell nobody.
  const common = { ...commonOptions(ca), enableReadyCheck: false };
  if (isCluster) return clusterClient(url, common);
  let isLeaving = false;
  const client = new Redis(url, {
    ...common,
    enableOfflineQueue: false,
    retryStrategy: backoff,
    // Once a connection: each time is a timer and a listener more, and hundreds may hear of it at once.
    reconnectOnError({ message }) {
      const isFirst = !isLeaving && saysReplica(message);
      isLeaving ||= isFirst;
      return isFirst;
    },
  });
  client.on('close', () => {
    isLeaving = false;
  });
  return client;
}

/**
 * The primary became a replica: the name may lead to the new one by now. READONLY stands first since Redis 7, and in the middle of what a
 * script says before that; MASTERDOWN is said where `replica-serve-stale-data no` is set, for as long as the old primary is gone.
 */
function saysReplica(message: string): boolean {
  return /\bREADONLY\b/.test(message) || message.startsWith('MASTERDOWN');
}

/** A client of one node that connects once, gives it time, and is gone when that ends. */
export function redisClientOnce(url: string, ca: string | undefined, withinMs: number): Redis {
  const limits = { commandTimeout: withinMs, socketTimeout: withinMs, connectTimeout: withinMs };
  return new Redis(url, { ...commonOptions(ca), ...limits, enableOfflineQueue: false, retryStrategy: () => null });
}

function commonOptions(ca: string | undefined) {
  return {
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false, // a draw that was lost may have been counted: it is not made twice
    socketTimeout: SOCKET_TIMEOUT_MS,
    connectTimeout: CONNECT_TIMEOUT_MS,
    connectionName: 'latchkey',
    ...(ca === undefined ? {} : { tls: { ca } }),
  };
}

/** Whether a command would be sent now. Who asks when it is not would wait without an end. */
export function isOpen(client: RedisClient): boolean {
  return client.status === 'ready';
}

function clusterClient(url: string, common: object): Cluster {
  const urls = url.split(',').map((one) => new URL(one.trim()));
  const [first] = urls;
  const isTls = first?.protocol === 'rediss:';
  const nodes = urls.map(({ hostname, port }) => ({ host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 6379) }));
  const credentials = {
    ...(first?.username ? { username: decodeURIComponent(first.username) } : {}),
    ...(first?.password ? { password: decodeURIComponent(first.password) } : {}),
  };
  return new Cluster(nodes, {
    enableOfflineQueue: true, // without it ioredis refuses what it needs itself while it connects; `isOpen` keeps ours out of it
    slotsRefreshTimeout: CONNECT_TIMEOUT_MS,
    slotsRefreshInterval: SLOTS_EVERY_MS,
    clusterRetryStrategy: backoff,
    // MOVED is followed, because nothing was done where it came from. Whatever else fails is told, not tried again.
    maxRedirections: 4,
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    redisOptions: { ...(isTls ? { tls: {} } : {}), ...common, ...credentials },
    // A certificate names a host, not its address: the name is kept until the socket is opened.
    ...(isTls ? { dnsLookup: (address, done) => done(null, address) } : {}),
  });
}
