import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseEmail } from '#domain/email.ts';

describe('an e-mail address', () => {
  it.each([
    ['Ada.Lovelace@Example.COM', 'Ada.Lovelace@example.com', 'ada.lovelace@example.com'],
    ["o'hara+news@mail.example.org", "o'hara+news@mail.example.org", "o'hara+news@mail.example.org"],
    ['ada@bücher.example', 'ada@xn--bcher-kva.example', 'ada@xn--bcher-kva.example'],
    ['ada@BÜCHER.example', 'ada@xn--bcher-kva.example', 'ada@xn--bcher-kva.example'],
    ['a@b.co', 'a@b.co', 'a@b.co'],
  ])('%s goes to %s and is one with %s', (input, given, canonical) => {
    expect(parseEmail(input)).toEqual({ given, canonical });
  });

  it.each([
    '',
    '@',
    'ada',
    'ada@',
    '@example.com',
    'ada@localhost',
    'ada@127.0.0.1',
    'ada@[127.0.0.1]',
    'ada@2130706433',
    'ada@example.com:25',
    'ada@example.com/x',
    'ada@ex%61mple.com',
    'ada@exa mple.com',
    'ada@-example.com',
    'ada@example..com',
    'a..da@example.com',
    '.ada@example.com',
    'ada.@example.com',
    '"ada lovelace"@example.com',
    'ada@example.com\n',
    'ada\r\nBcc: all@example.com',
    'ada@example.com,eve@example.com',
    'eve@evil.example@example.com',
    'Ada <ada@example.com>',
    `${'a'.repeat(65)}@example.com`,
    `ada@${'a'.repeat(64)}.com`,
    `ada@${'a.'.repeat(125)}com`,
  ])('is not %j', (input) => {
    expect(parseEmail(input)).toBeUndefined();
  });

  it('[V1.1.1] is never another one in look-alike letters: the Kelvin sign, dotless i, fullwidth, Cyrillic', () => {
    for (const local of ['\u212Aelvin', 'm\u0131ke', 'ｍike', 'mikе', 'mi\u200Bke', 'ﬁona'])
      expect(parseEmail(`${local}@example.com`)).toBeUndefined();
  });

  it('in its canonical form is its own canonical form, and where mail goes differs in case at most', () => {
    fc.assert(
      fc.property(fc.emailAddress({ size: 'small' }), (input) => {
        const email = parseEmail(input);
        if (email === undefined) return;
        expect(parseEmail(email.canonical)).toEqual({ given: email.canonical, canonical: email.canonical });
        expect(email.given.toLowerCase()).toBe(email.canonical);
      }),
    );
  });

  it('never throws and holds nothing but printable ASCII, whatever the input is', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.string().map((domain) => `a@${domain}.com`),
        ),
        (input) => {
          const email = parseEmail(input);
          if (email) expect(email.given).toMatch(/^[!-~]+$/);
        },
      ),
      { numRuns: 500 },
    );
  });
});
