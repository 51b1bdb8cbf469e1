import type { FindingKind } from './finding-kind.ts';

export const REDIS_FINDINGS = {
  'limits-in-process': {
    severity: 'note',
    why: 'Limits are counted in each process: two replicas let twice as much through.',
    todo: 'Set REDIS_URL before there are replicas.',
  },
  'redis-down': {
    severity: 'error',
    why: 'Signing in is answered with 503; the rest counts its limits in each process.',
    todo: 'Start it, or correct REDIS_URL.',
  },
  'redis-version': {
    severity: 'error',
    why: 'The limiter needs Redis 6.2, or Valkey.',
    todo: 'Move to one of those.',
  },
  'redis-evicts': {
    severity: 'warning',
    why: 'When memory is short Redis forgets counts that were made: limits let through what they should refuse.',
    todo: 'Set maxmemory-policy noeviction; the counters expire by themselves.',
  },
  'redis-full': {
    severity: 'warning',
    why: 'When it is full it refuses to count, and signing in is answered with 503.',
    todo: 'Raise maxmemory, or give the limits a Redis of their own.',
  },
  'redis-replica': {
    severity: 'error',
    why: 'A replica counts nothing: signing in is answered with 503.',
    todo: 'Let REDIS_URL lead to the primary.',
  },
  'redis-is-cluster': {
    severity: 'error',
    why: 'Most counters live on other nodes: they are refused with MOVED.',
    todo: 'Set REDIS_CLUSTER=true.',
  },
  'redis-no-cluster': {
    severity: 'error',
    why: 'A client of a cluster cannot find its nodes.',
    todo: 'Set REDIS_CLUSTER=false.',
  },
  'redis-cluster-broken': {
    severity: 'error',
    why: 'Some counters have no node: signing in is answered with 503 for those whose they are.',
    todo: 'redis-cli --cluster check says what is missing.',
  },
  'redis-in-clear': {
    severity: 'warning',
    why: 'Whoever listens between here and Redis reads its password and resets limits (ASVS 12.3.1).',
    todo: 'Give REDIS_URL with rediss://; REDIS_CA_FILE names a CA of your own.',
  },
  'redis-no-password': {
    severity: 'warning',
    why: 'Whoever reaches it can reset every limit.',
    todo: 'Set requirepass, and the password in REDIS_URL.',
  },
} as const satisfies Record<string, FindingKind>;
