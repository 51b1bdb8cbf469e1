import { addressOf, plainAddress } from './network.ts';

/** The addresses that begin with the same `prefix` bits; `start` is the first of them. */
export type Network = { family: 4 | 6; start: bigint; prefix: number };

/** So many at once: what one look-up costs and what they hold in memory is bounded. */
export const MOST_IP_BLOCKS = 10_000;
/** A flood from many networks leaves people the rest for blocks of their own. */
export const MOST_AUTOMATIC_IP_BLOCKS = 9000;

/** Nobody blocks more than this by one line: a mistyped prefix would lock the world out. */
const WIDEST = { 4: 8, 6: 16 };
const BITS = { 4: 32, 6: 128 };
const LOOPBACK = [parseNetwork('127.0.0.0/8'), parseNetwork('::1')];

/** Reads an address or a CIDR. IPv4 written as IPv6 is IPv4. @returns what is wrong with it, as a sentence, when it is neither */
export function parseNetwork(text: string): Network | string {
  const [address = '', length, ...others] = text.trim().split('/');
  const parsed = addressOf(address);
  if (parsed === undefined || address.includes('%') || others.length > 0) return 'Give an address or a CIDR.';
  const { family, value } = parsed;
  const isMapped = family === 4 && address.includes(':');
  if (length !== undefined && !/^\d{1,3}$/.test(length)) return 'Give the length of the prefix as a number.';
  const prefix = length === undefined ? BITS[family] : Number(length) - (isMapped ? 96 : 0);
  if (prefix < 0 || prefix > BITS[family]) return 'There is no prefix of this length.';
  const shift = BigInt(BITS[family] - prefix);
  const start = (value >> shift) << shift;
  if (start !== value) return `It has bits behind its prefix: is it ${writeNetwork({ family, start, prefix })}, or the one address?`;
  return { family, start, prefix };
}

export function writeNetwork({ family, start, prefix }: Network): string {
  const [bits, count, base, sign] = family === 4 ? ([8n, 4, 10, '.'] as const) : ([16n, 8, 16, ':'] as const);
  const parts = Array.from({ length: count }, (_, i) => ((start >> (bits * BigInt(count - 1 - i))) & ((1n << bits) - 1n)).toString(base));
  return `${parts.join(sign)}/${prefix}`;
}

/** Whether the address lies in the network. */
export function contains(network: Network, ip: string): boolean {
  const address = addressOf(plainAddress(ip));
  return (
    address !== undefined && address.family === network.family && firstBits(address.value, network) === firstBits(network.start, network)
  );
}

/** Why somebody who calls from `ip` must not block this network. @returns a sentence, null when nothing speaks against it */
export function harmOf(network: Network, ip: string): string | null {
  if (network.prefix < WIDEST[network.family]) return `It is too wide: at most /${WIDEST[4]} of IPv4 and /${WIDEST[6]} of IPv6.`;
  if (contains(network, ip)) return 'It holds the address that you are calling from.';
  const isLoopback = LOOPBACK.some((own) => typeof own === 'object' && own.family === network.family && overlap(own, network));
  return isLoopback ? 'It holds addresses of the machine itself.' : null;
}

/**
 * The blocks as a question that costs as much for one as for ten thousand: one look for each length of prefix that there is.
 * @returns whether this address is blocked at that time; what is no address is not
 */
export function blockList(blocks: readonly { network: Network; endsAt: Date | null }[]): (ip: string, at: Date) => boolean {
  const lengths = new Map<string, { network: Network; ends: Map<bigint, number> }>();
  for (const { network, endsAt } of blocks) {
    const key = `${network.family}/${network.prefix}`;
    const { ends } = lengths.get(key) ?? { ends: new Map<bigint, number>() };
    ends.set(firstBits(network.start, network), endsAt?.getTime() ?? Number.POSITIVE_INFINITY);
    lengths.set(key, { network, ends });
  }
  if (lengths.size === 0) return () => false;
  return (ip, at) => {
    const address = addressOf(plainAddress(ip));
    if (address === undefined) return false;
    for (const { network, ends } of lengths.values()) {
      if (network.family !== address.family) continue;
      const endsAtMs = ends.get(firstBits(address.value, network));
      if (endsAtMs !== undefined && endsAtMs > at.getTime()) return true;
    }
    return false;
  };
}

function firstBits(value: bigint, { family, prefix }: Network): bigint {
  return value >> BigInt(BITS[family] - prefix);
}

function overlap(one: Network, other: Network): boolean {
  const wider = one.prefix < other.prefix ? one : other;
  return firstBits(one.start, wider) === firstBits(other.start, wider);
}
