import { describe, expect, it } from 'vitest';
import { isLocal } from '#domain/network.ts';
import { networkScoreOf, RESPONSES, RISK_RULES, type RiskRule, riskOf, type Signals, scoreOf } from '#domain/risk.ts';

const CALM: Signals = {
  isHoneypotFilled: false,
  isNewDevice: false,
  isNewNetwork: false,
  failuresBefore: 0,
  accountsFromNetwork: 0,
  networksOfAccount: 0,
  recentNetworks: 0,
  isTokenReused: false,
};

/** What is just enough for each rule, and just too little. */
const EDGES: Record<RiskRule, [enough: Partial<Signals>, tooLittle: Partial<Signals>]> = {
  'new-device': [{ isNewDevice: true }, {}],
  'new-network': [{ isNewNetwork: true }, {}],
  'failures-before': [{ failuresBefore: 3 }, { failuresBefore: 2 }],
  'many-accounts': [{ accountsFromNetwork: 20 }, { accountsFromNetwork: 19 }],
  'many-networks': [{ networksOfAccount: 10 }, { networksOfAccount: 9 }],
  'impossible-pace': [{ recentNetworks: 3 }, { recentNetworks: 2 }],
  'token-reuse': [{ isTokenReused: true }, {}],
  honeypot: [{ isHoneypotFilled: true }, {}],
};

describe('the risk of a sign-in', () => {
  it.each(Object.entries(EDGES))('is raised by %s, and not by a little less', (rule, [enough, tooLittle]) => {
    expect(riskOf({ ...CALM, ...enough })).toEqual({ rules: [rule], points: RISK_RULES[rule as RiskRule].points });
    expect(riskOf({ ...CALM, ...tooLittle })).toEqual({ rules: [], points: 0 });
  });

  it('blocks a network for what it did, not for what strangers did to the account of who mistypes in it', () => {
    const byStrangers = ['many-networks', 'token-reuse', 'new-device', 'new-network', 'impossible-pace'];
    expect(networkScoreOf(20, byStrangers)).toBe(20);
    expect(networkScoreOf(20, ['failures-before', ...byStrangers])).toBeLessThan(RESPONSES.block.from);
    expect(networkScoreOf(20, ['many-accounts'])).toBeGreaterThanOrEqual(RESPONSES.block.from);
  });

  it('is that of all its steps: what held at the first factor counts at the second, once', () => {
    expect(riskOf({ ...CALM, failuresBefore: 3 }, ['honeypot', 'failures-before'])).toEqual({
      rules: ['failures-before', 'honeypot'],
      points: RISK_RULES['failures-before'].points + RISK_RULES.honeypot.points,
    });
  });

  it('adds up, to 100 at most', () => {
    const all = riskOf(Object.assign({}, CALM, ...Object.values(EDGES).map(([enough]) => enough)));
    expect(all.rules).toEqual(Object.keys(RISK_RULES));
    expect([scoreOf(20, all), scoreOf(20, riskOf(CALM))]).toEqual([100, 20]);
  });
});

describe('a network of the house', () => {
  it.each([
    '127.0.0.1',
    '10.1.2.3',
    '192.168.0.1',
    '172.16.0.1',
    '172.31.9.9',
    '169.254.1.1',
    '100.64.0.1',
    'unknown',
    'fd00:1:2:3::/64',
    'fe80:0:0:0::/64',
    '0:0:0:0::/64',
  ])('%s is one', (network) => expect(isLocal(network)).toBe(true));
  it.each(['203.0.113.1', '172.32.0.1', '100.128.0.1', '11.0.0.1', '2001:db8:0:0::/64', 'fec0:0:0:0::/64'])('%s is none', (network) =>
    expect(isLocal(network)).toBe(false),
  );
});
