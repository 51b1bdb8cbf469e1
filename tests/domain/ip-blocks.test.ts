import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { blockList, contains, harmOf, MOST_IP_BLOCKS, type Network, parseNetwork, writeNetwork } from '#domain/ip-blocks.ts';
import { addressOf } from '#domain/network.ts';

const NOW = new Date('2026-01-01T00:00:00Z');

function network(text: string): Network {
  const parsed = parseNetwork(text);
  if (typeof parsed === 'string') throw new Error(`${text}: ${parsed}`);
  return parsed;
}

describe('a network', () => {
  it.each([
    ['192.0.2.7', '192.0.2.7/32'],
    [' 192.0.2.0/24 ', '192.0.2.0/24'],
    ['2001:DB8::/32', '2001:db8:0:0:0:0:0:0/32'],
    ['2001:db8::1', '2001:db8:0:0:0:0:0:1/128'],
    ['::ffff:192.0.2.7', '192.0.2.7/32'],
    ['::ffff:192.0.2.0/120', '192.0.2.0/24'],
  ])('%s is %s', (text, written) => expect(writeNetwork(network(text))).toBe(written));

  it.each([
    '',
    'localhost',
    '192.0.2.0/33',
    '192.0.2.0/-1',
    '192.0.2.0/',
    '192.0.2.0/24/24',
    '192.0.2.7/24',
    '2001:db8::1/64',
    '::ffff:192.0.2.0/24',
    '1.2.3',
    'fe80::1%eth0',
    '192.0.2.0/1e1',
    '0x7f.0.0.1',
  ])('%j is none', (text) => expect(parseNetwork(text)).toEqual(expect.any(String)));

  it('that has bits behind its prefix is told which one may have been meant', () => {
    expect(parseNetwork('192.0.2.7/24')).toContain('192.0.2.0/24');
  });

  it('is written as it is read', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (ip) => {
        const written = writeNetwork(network(ip));
        expect(writeNetwork(network(written))).toBe(written);
        expect(contains(network(written), ip)).toBe(true);
      }),
    );
  });
});

describe('a block', () => {
  it.each(['0.0.0.0/0', '::/0', '128.0.0.0/1', '2000::/3', '10.0.0.0/7'])('of %s is too wide', (text) =>
    expect(harmOf(network(text), '198.51.100.1')).toMatch(/too wide/),
  );

  it.each([
    ['198.51.100.1', '198.51.100.1'],
    ['198.51.100.0/24', '198.51.100.1'],
    ['198.51.100.0/24', '::ffff:198.51.100.1'],
    ['::ffff:198.51.100.1', '198.51.100.1'],
    ['2001:db8::/64', '2001:DB8:0:0:1::1'],
  ])('of %s hurts whoever calls from %s', (text, ip) => expect(harmOf(network(text), ip)).toMatch(/calling from/));

  it.each(['127.0.0.1', '127.0.0.0/8', '127.1.2.0/24', '::1'])('of %s hurts the machine itself', (text) =>
    expect(harmOf(network(text), '198.51.100.1')).toMatch(/machine/),
  );

  it.each(['198.51.100.2', '10.0.0.0/8', '2001:db8::/32'])('of %s hurts nobody here', (text) =>
    expect(harmOf(network(text), '198.51.100.1')).toBeNull(),
  );
});

describe('the list', () => {
  const address = fc.oneof(
    fc.ipV4(),
    fc.ipV6(),
    fc.ipV4().map((ip) => `::ffff:${ip}`),
  );
  const block = fc.record({ ip: address, share: fc.double({ min: 0, max: 1, noNaN: true }), endsAt: fc.option(fc.constantFrom(0, 1, 2)) });

  it('says of every address what one look at each block says', () => {
    fc.assert(
      fc.property(fc.array(block), fc.array(address), (blocks, ips) => {
        const made = blocks.map(({ ip, share, endsAt }) => {
          const { family, value } = addressOf(ip) ?? { family: 4, value: 0n };
          const bits = family === 4 ? 32 : 128;
          const prefix = Math.round(share * bits);
          const shift = BigInt(bits - prefix);
          return {
            network: { family, prefix, start: (value >> shift) << shift },
            endsAt: endsAt === null ? null : new Date(NOW.getTime() + endsAt - 1),
          };
        });
        const unique = [...new Map(made.map((one) => [writeNetwork(one.network), one])).values()];
        const isBlocked = blockList(unique);
        for (const ip of [...ips, ...blocks.map(({ ip }) => ip)]) {
          const expected = unique.some(({ network: of, endsAt }) => contains(of, ip) && (endsAt === null || endsAt > NOW));
          expect(isBlocked(ip, NOW)).toBe(expected);
        }
      }),
    );
  });

  it('of as many as there may be costs little more than one of one', () => {
    const isBlocked = blockList(
      Array.from({ length: MOST_IP_BLOCKS }, (_, i) => ({ network: network(`10.${i >> 8}.${i & 255}.0/24`), endsAt: null })),
    );
    const startedAtMs = performance.now();
    for (let i = 0; i < 10_000; i++) isBlocked(`198.51.${i & 255}.1`, NOW);
    expect((performance.now() - startedAtMs) / 10_000).toBeLessThan(0.1); // milliseconds; one by one it would be more than that
    expect([isBlocked('10.39.15.255', NOW), isBlocked('10.39.16.0', NOW), isBlocked('unknown', NOW)]).toEqual([true, false, false]);
  });
});
