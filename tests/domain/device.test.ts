import { describe, expect, it } from 'vitest';
import { deviceKind } from '#domain/device.ts';

const AGENTS: [string, string][] = [
  ['Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0', 'Firefox on Linux'],
  ['Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36', 'Chrome on Windows'],
  [
    'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0',
    'Edge on Windows',
  ],
  [
    'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Safari/605.1.15',
    'Safari on macOS',
  ],
  [
    'Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Mobile/15E148 Safari/604.1',
    'Safari on iOS',
  ],
  [
    'Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/142.0 Mobile/15E148 Safari/604.1',
    'Chrome on iOS',
  ],
  [
    'Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/29.0 Chrome/136.0 Mobile Safari/537.36',
    'Samsung Internet on Android',
  ],
  [
    'Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0 Safari/537.36 OPR/124.0',
    'Opera on ChromeOS',
  ],
  ['curl/8.14.1', 'curl'],
  ['python-requests/2.32.5', 'Python'],
  ['Go-http-client/2.0', 'Go'],
  ['Acme/12 CFNetwork/1494.0.7 Darwin/23.4.0', 'an iOS app'],
  ['CFNetwork/1494.0.7', 'an iOS app'],
  ['My%20App/1 (unknown version) CFNetwork/1494.0.7 Darwin/23.4.0', 'an iOS app'],
  ['NotCFNetworking/1.0', 'another program'],
  ['', 'another program'],
];

describe('the kind of a device', () => {
  it.each(AGENTS)('is told from %s', (agent, kind) => {
    expect(deviceKind(agent)).toBe(kind);
  });

  it('stays the same when browser or system are updated', () => {
    const kinds = AGENTS.map(([agent]) => [deviceKind(agent), deviceKind(agent.replace(/\d+/g, (digits) => `${Number(digits) + 1}`))]);
    for (const [before, after] of kinds) expect(after).toBe(before);
  });

  it('[V1.2.1] holds nothing that the client wrote: it stands in mails', () => {
    const hostile = ['https://evil.example/reset Firefoxx', '<b>Chrome</b>', 'constructor/1', '__proto__', 'a'.repeat(512), null];
    for (const agent of hostile) expect(deviceKind(agent)).toBe('another program');
  });
});
