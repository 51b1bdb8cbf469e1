import { type Finding, found } from './findings.ts';

/** What `INFO` and `CLUSTER INFO` say of one node. */
export type RedisFacts = {
  /** As Redis numbers itself; Valkey says which Redis it stands for. */
  version: string;
  isReplica: boolean;
  isCluster: boolean;
  /** Null: not asked. */
  clusterState: string | null;
  evicts: string;
  /** 0: no limit. */
  maxBytes: number;
  usedBytes: number;
};

type Where = { isLocal: boolean; isEncrypted: boolean; hasPassword: boolean; isProduction: boolean; expectsCluster: boolean };

/** Of what it may hold: above this it is as good as full. */
const FULL = 0.9;

export function judgeRedis(facts: RedisFacts, where: Where): Finding[] {
  const { version, evicts, maxBytes, usedBytes } = facts;
  const findings: Finding[] = [];
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major < 6 || (major === 6 && minor < 2)) findings.push(found('redis-version', `It is Redis ${version}.`));
  if (facts.isCluster && !where.expectsCluster)
    findings.push(found('redis-is-cluster', 'It is a node of a cluster, and REDIS_CLUSTER is false.'));
  if (!facts.isCluster && where.expectsCluster) findings.push(found('redis-no-cluster', 'It is no cluster, and REDIS_CLUSTER is true.'));
  if (facts.isReplica && !where.expectsCluster) findings.push(found('redis-replica', 'REDIS_URL leads to a replica.'));
  if (facts.clusterState !== null && facts.clusterState !== 'ok')
    findings.push(found('redis-cluster-broken', `The cluster says: cluster_state:${facts.clusterState}.`));
  if (maxBytes > 0 && evicts !== 'noeviction')
    findings.push(found('redis-evicts', `maxmemory is ${mebibytes(maxBytes)}, and maxmemory-policy is ${evicts}.`));
  if (maxBytes > 0 && usedBytes > maxBytes * FULL)
    findings.push(found('redis-full', `${mebibytes(usedBytes)} of ${mebibytes(maxBytes)} are taken.`));
  if (where.isProduction && !where.isLocal && !where.isEncrypted)
    findings.push(found('redis-in-clear', 'REDIS_URL begins with redis://.', { requirement: 'V12.3.1' }));
  if (where.isProduction && !where.isLocal && !where.hasPassword) findings.push(found('redis-no-password', 'It asked for no password.'));
  return findings;
}

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 1_048_576)} MiB`;
}
