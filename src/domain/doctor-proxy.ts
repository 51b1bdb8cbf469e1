import { type Finding, found } from './findings.ts';
import { addressOf, isLocal, networkOf } from './network.ts';
import { isLoopback } from './origins.ts';

type Settings = { HOST: string; ISSUER: string; TRUST_PROXY: readonly string[] };

/** From where the newest sign-ins came, each address with how many accounts used it; null: the audit trail cannot be read. */
export type SeenAddresses = { ip: string; accounts: number }[] | null;

/** So many different people behind one address of the house are not a household. */
const LEAST_ACCOUNTS = 5;
/** A prefix this short names a part of the internet, not a proxy. fc00::/7 and fe80::/10 are of the house. */
const WIDEST = { 4: 7, 6: 15 };

/**
 * Whether the address of a client is known when a proxy stands before the service (TRUST_PROXY, ASVS 4.1.3, 15.3.4): from the settings,
 * and from what was seen.
 */
export function judgeProxy({ HOST, ISSUER, TRUST_PROXY }: Settings, seen: SeenAddresses): Finding[] {
  const { protocol, hostname } = new URL(ISSUER);
  const isOnlyLocal = isLoopback(HOST);
  const trusted = TRUST_PROXY.flatMap((range) => rangeOf(range) ?? []);
  const trustsLoopback = ['127.0.0.1', '::1'].some((ip) => isIn(trusted, ip));
  const findings: Finding[] = [];
  if (TRUST_PROXY.length === 0 && protocol === 'https:' && !isLoopback(hostname))
    findings.push(found('proxy-unnamed', `ISSUER is ${ISSUER}, and TRUST_PROXY is empty.`));
  for (const { text } of trusted.filter(isEverybody)) findings.push(found('proxy-trusts-everybody', `TRUST_PROXY has ${text}.`));
  if (trusted.length > 0 && isOnlyLocal && !trustsLoopback)
    findings.push(found('proxy-out-of-reach', `HOST=${HOST}, and TRUST_PROXY=${TRUST_PROXY.join(',')}.`));
  if (trusted.length > 0 && !isOnlyLocal && trusted.every(({ text }) => isLoopback(text.replace(/\/\d+$/, ''))))
    findings.push(found('proxy-passed-by', `TRUST_PROXY=${TRUST_PROXY.join(',')}, and HOST=${HOST}.`));
  for (const { ip, accounts } of seen ?? []) {
    if (accounts < LEAST_ACCOUNTS || !isLocal(networkOf(ip)) || addressOf(ip) === undefined) continue;
    const what = `The newest sign-ins of ${accounts} accounts came from ${ip}`;
    if (isIn(trusted, ip)) findings.push(found('proxy-silent', `${what}, which TRUST_PROXY names.`));
    else findings.push(found('proxy-seen', `${what}.`, { todo: `Set TRUST_PROXY=${[...TRUST_PROXY, ip].join(',')}.` }));
  }
  return findings;
}

type Range = { text: string; family: 4 | 6; value: bigint; prefix: number };

function rangeOf(text: string): Range | undefined {
  const [ip = '', length] = text.split('/');
  const address = addressOf(ip);
  if (address === undefined) return undefined;
  return { text, ...address, prefix: length === undefined ? bitsOf(address.family) : Number(length) };
}

function isEverybody({ family, value, prefix, text }: Range): boolean {
  const isOfHouse = value !== 0n && isLocal(networkOf(text.split('/')[0] ?? ''));
  return prefix <= WIDEST[family] && !(family === 6 && isOfHouse);
}

function isIn(ranges: readonly Range[], ip: string): boolean {
  const address = addressOf(ip);
  if (address === undefined) return false;
  return ranges.some(({ family, value, prefix }) => {
    const rest = BigInt(bitsOf(family) - prefix);
    return family === address.family && value >> rest === address.value >> rest;
  });
}

function bitsOf(family: 4 | 6): number {
  return family === 4 ? 32 : 128;
}
