import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fernetBox, fernetOpen, fernetSeal, newFernetKey, parseFernetKey, parseFernetKeys } from '#infrastructure/crypto/fernet.ts';

type Vector = { desc?: string; token: string; now: string; iv: number[]; ttl_sec: number; src: string; secret: string };

const vectors = (name: string) => JSON.parse(readFileSync(`tests/vectors/fernet-${name}.json`, 'utf8')) as Vector[];
const key = (text: string) => parseFernetKeys(text)[0];
const now = new Date();

describe('Fernet', () => {
  it.each(vectors('generate'))('[V11.3.2] makes the token of its spec', ({ token, now, iv, src, secret }) => {
    expect(fernetSeal(key(secret), src, new Date(now), Buffer.from(iv))).toBe(token);
  });

  it.each(vectors('verify'))('[V11.3.2] opens the token of its spec', ({ token, now, ttl_sec, src, secret }) => {
    expect(fernetOpen(key(secret), token, { now: new Date(now), ttlSeconds: ttl_sec })?.toString()).toBe(src);
  });

  it.each(vectors('invalid'))('[V11.3.2] refuses what its spec calls invalid: $desc', ({ token, now, ttl_sec, secret }) => {
    expect(fernetOpen(key(secret), token, { now: new Date(now), ttlSeconds: ttl_sec })).toBeUndefined();
  });

  it('opens what it sealed, and nothing that was changed by one character', () => {
    const made = key(newFernetKey());
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.nat(), (text, at) => {
        const token = fernetSeal(made, text.toWellFormed(), now);
        expect(fernetOpen(made, token)?.toString()).toBe(text.toWellFormed());
        const place = at % token.length;
        const changed = token.slice(0, place) + (token[place] === 'A' ? 'B' : 'A') + token.slice(place + 1);
        expect(fernetOpen(made, changed)).toBeUndefined();
      }),
    );
  });

  it('has one spelling for a token', () => {
    const made = key(newFernetKey());
    const token = fernetSeal(made, 'x', now);
    for (const other of [
      token.replace(/=+$/, ''),
      `${token}=`,
      ` ${token}`,
      `${token}\n`,
      token.replaceAll('_', '/').replaceAll('-', '+'),
    ]) {
      if (other !== token) expect(fernetOpen(made, other)).toBeUndefined();
    }
  });

  it('takes keys of 32 bytes in base64url, and says so of anything else', () => {
    expect(parseFernetKey('cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=')).toBeDefined();
    expect(parseFernetKey('cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4')).toBeDefined();
    for (const bad of ['', 'short', 'cw/0x689RpI+jtRR7oE8h/eQsKImvJapLeSbXpwF4e4=', `${newFernetKey()}AA`])
      expect(parseFernetKey(bad)).toBeUndefined();
    expect(() => parseFernetKeys('nonsense')).toThrow('FERNET_KEY');
  });
});

describe('a box of several keys', () => {
  const [older, newer] = [newFernetKey(), newFernetKey()];

  it('[V13.3.4] encrypts with the first and opens with all: keys rotate without losing a secret', () => {
    const before = fernetBox(parseFernetKeys(older));
    const rotating = fernetBox(parseFernetKeys(`${newer},${older}`));
    const sealed = before.seal('JBSWY3DPEHPK3PXP');
    expect(rotating.open(sealed)).toBe('JBSWY3DPEHPK3PXP');
    expect([rotating.isCurrent(sealed), rotating.isCurrent(rotating.seal('x'))]).toEqual([false, true]);
    expect(() => before.open(rotating.seal('x'))).toThrow('FERNET_KEY');
  });
});
