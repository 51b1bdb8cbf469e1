import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mailboxOf, parseEmail } from '#domain/email.ts';

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

describe('the mailbox behind an address', () => {
  it.each([
    ['ada@example.com', 'ada@example.com'],
    ['ada+news@example.com', 'ada@example.com'],
    ['ada+news+more@example.com', 'ada@example.com'],
    ['ada+@example.com', 'ada@example.com'],
    ['a.d.a+news@example.com', 'a.d.a@example.com'],
    ['a.d.a@notgmail.com', 'a.d.a@notgmail.com'],
    ['a.d.a@gmail.com.example.com', 'a.d.a@gmail.com.example.com'],
    ['a.d.a@gmail.com', 'ada@gmail.com'],
    ['a.d.a+n.e.w.s@googlemail.com', 'ada@gmail.com'],
    ['+@example.com', '+@example.com'],
    ['+news@example.com', '+news@example.com'],
    ['+n.e.w.s@googlemail.com', '+n.e.w.s@googlemail.com'],
  ])('of %s is %s', (address, mailbox) => {
    expect(mailboxOf(address)).toBe(mailbox);
  });

  it('is the same for every subaddress, is an address, and is its own mailbox', () => {
    const user = fc.stringMatching(/^[a-z0-9]{1,20}(\.[a-z0-9]{1,20})?$/);
    const subaddress = fc.stringMatching(/^[a-z0-9+-]{0,20}$/);
    fc.assert(
      fc.property(user, subaddress, fc.constantFrom('example.com', 'gmail.com', 'googlemail.com'), (name, tag, domain) => {
        const mailbox = mailboxOf(`${name}@${domain}`);
        expect(mailboxOf(`${name}+${tag}@${domain}`)).toBe(mailbox);
        expect(mailboxOf(mailbox)).toBe(mailbox);
        expect(parseEmail(mailbox)?.canonical).toBe(mailbox);
      }),
    );
  });

  it('is never that of somebody who has neither the same letters nor the same domain', () => {
    const [user, domain] = [fc.stringMatching(/^[a-z0-9]{1,20}$/), fc.constantFrom('example.com', 'example.org', 'gmail.com')];
    fc.assert(
      fc.property(user, domain, user, domain, (name, at, other, elsewhere) => {
        const isSame = name === other && at === elsewhere;
        expect(mailboxOf(`${name}+x@${at}`) === mailboxOf(`${other}+y@${elsewhere}`)).toBe(isSame);
      }),
    );
  });
});
