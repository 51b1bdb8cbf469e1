import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { networkOf, plainAddress } from '#domain/network.ts';

it.each([
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['::FFFF:192.0.2.7', '192.0.2.7'],
  ['192.0.2.7', '192.0.2.7'],
  ['2001:DB8::1', '2001:db8::1'],
  ['::ffff:0:1', '::ffff:0:1'],
  ['192.0.2.7:50123', '192.0.2.7'],
  ['[2001:DB8::1]:443', '2001:db8::1'],
  ['[2001:db8::1]', '2001:db8::1'],
  ['[::ffff:192.0.2.7]:443', '192.0.2.7'],
  ['made up', 'unknown'],
  ['x'.repeat(5000), 'unknown'],
])('%s is kept as %s', (ip, kept) => expect(plainAddress(ip)).toBe(kept));

describe('The network of an address', () => {
  it.each([
    ['192.0.2.7', '192.0.2.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:DB8:0001:0002::', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['64:ff9b::192.0.2.7', '64:ff9b:0:0::/64'],
    ['192.0.2.7:50123', '192.0.2.7'],
    ['[2001:db8::1]:443', '2001:db8:0:0::/64'],
  ])('of %s is %s', (address, network) => expect(networkOf(address)).toBe(network));

  it.each(['::ffff:192.0.2.7', '::FFFF:192.0.2.7', '::ffff:c000:207', '0:0:0:0:0:ffff:192.0.2.7'])(
    'of %s is that of the IPv4 address in it',
    (address) => expect(networkOf(address)).toBe('192.0.2.7'),
  );

  const noAddresses = ['', 'localhost', '1.2.3', '1.2.3.256', '01.2.3.4', '1::2::3', '1:2:3', '12345::', ':::', '1:2:3:4:5:6:7:8:9'];
  it.each([...noAddresses, 'a\r\nFLUSHALL', 'x'.repeat(9000)])('of text that is no address is one and the same (%#)', (text) =>
    expect(networkOf(text)).toBe('unknown'),
  );

  it('is the same for all addresses of one /64 and differs between two', () => {
    const group = fc.integer({ min: 1, max: 0xffff }).map((value) => value.toString(16));
    const four = fc.tuple(group, group, group, group).map((groups) => groups.join(':'));
    fc.assert(
      fc.property(four, four, four, (network, a, b) => {
        expect(networkOf(`${network}:${a}`)).toBe(networkOf(`${network}:${b}`));
        if (network !== a) expect(networkOf(`${network}:${b}`)).not.toBe(networkOf(`${a}:${b}`));
      }),
    );
  });

  it('knows every way to write an address', () => {
    fc.assert(fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (address) => networkOf(address) !== 'unknown'));
  });
});
