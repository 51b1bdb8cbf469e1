/** What is not an address counts as one network, so that made-up text neither escapes the limits nor fills memory. */
const UNKNOWN = 'unknown';

/**
 * The network that an address counts for: an IPv4 address by itself, an IPv6 address by its /64, because one customer
 * holds 2^64 of those (ASVS 15.3.4, T21). IPv4 written as IPv6 counts as IPv4.
 */
export function networkOf(ip: string): string {
  const address = withoutPort(ip).replace(/%.*$/, '');
  if (!address.includes(':')) return bytesOf(address) ? address : UNKNOWN;
  const groups = groupsOf(address);
  if (groups === undefined) return UNKNOWN;
  const [, , , , , mark, high = 0, low = 0] = groups;
  const isMapped = mark === 0xffff && groups.slice(0, 5).every((group) => group === 0);
  if (isMapped) return [high >> 8, high & 255, low >> 8, low & 255].join('.');
  const prefix = groups.slice(0, 4).map((group) => group.toString(16));
  return `${prefix.join(':')}::/64`;
}

/** An address as it is kept and looked for: IPv4 that came over an IPv6 socket is IPv4. @returns `unknown` for what is no address */
export function plainAddress(ip: string): string {
  const address = withoutPort(ip).replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/, '');
  return partsOf(address) ? address : UNKNOWN;
}

/** Some proxies write the client's port into X-Forwarded-For, as 192.0.2.1:5678 or [2001:db8::1]:443: another port is nobody else. */
function withoutPort(ip: string): string {
  const [, v6, v4] = /^(?:\[([^\]]*)\](?::\d{1,5})?|(\d+\.\d+\.\d+\.\d+):\d{1,5})$/.exec(ip) ?? [];
  return (v6 ?? v4 ?? ip).toLowerCase();
}

const LOCAL = [
  /^(?:127|10|0)\./,
  /^192\.168\./,
  /^172\.(?:1[6-9]|2\d|3[01])\./,
  /^169\.254\./,
  /^100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])\./,
];

/**
 * Whether a network, as `networkOf` writes it, is of the house: this machine, a private range, or no address at all. Behind a proxy that
 * nobody named (TRUST_PROXY) everybody comes from one of those, so none of them is ever blocked by itself.
 */
export function isLocal(network: string): boolean {
  if (!network.includes(':')) return network === UNKNOWN || LOCAL.some((range) => range.test(network));
  return /^(?:0:0:0:0::|f[cd][0-9a-f]{2}:|fe[89ab][0-9a-f]:)/.test(network);
}

/** An address as a number of its family; IPv4 written as IPv6 is IPv4. @returns undefined when it is no address */
export function addressOf(ip: string): { family: 4 | 6; value: bigint } | undefined {
  const parts = partsOf(ip.toLowerCase());
  if (parts === undefined) return undefined;
  const bits = parts.length === 4 ? 8n : 16n;
  const value = parts.reduce((sum, part) => (sum << bits) + BigInt(part), 0n);
  if (parts.length === 4) return { family: 4, value };
  return value >> 32n === 0xffffn ? { family: 4, value: value & 0xffffffffn } : { family: 6, value };
}

/** Four bytes or eight groups, whatever zone stands behind them. */
function partsOf(address: string): number[] | undefined {
  const unzoned = address.replace(/%.*$/, '');
  return unzoned.includes(':') ? groupsOf(unzoned) : bytesOf(unzoned);
}

function bytesOf(address: string): number[] | undefined {
  const parts = address.split('.');
  const isAddress = parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256);
  return isAddress ? parts.map(Number) : undefined;
}

/** The eight groups of an IPv6 address, whose last two may be written as IPv4 (RFC 4291 2.2). */
function groupsOf(address: string): number[] | undefined {
  const [head = '', tail, ...others] = address.split('::');
  if (others.length > 0) return undefined;
  const first = partOf(head, tail === undefined);
  const last = partOf(tail ?? '', true);
  if (first === undefined || last === undefined) return undefined;
  const missing = 8 - first.length - last.length;
  const isComplete = tail === undefined ? missing === 0 : missing > 0;
  return isComplete ? [...first, ...Array<number>(missing).fill(0), ...last] : undefined;
}

function partOf(text: string, isEnd: boolean): number[] | undefined {
  const groups: number[] = [];
  const words = text === '' ? [] : text.split(':');
  for (const [index, word] of words.entries()) {
    const bytes = isEnd && index === words.length - 1 ? bytesOf(word) : undefined;
    if (bytes) {
      const [a = 0, b = 0, c = 0, d = 0] = bytes;
      groups.push(a * 256 + b, c * 256 + d);
    } else if (/^[0-9a-f]{1,4}$/.test(word)) groups.push(Number.parseInt(word, 16));
    else return undefined;
  }
  return groups;
}
