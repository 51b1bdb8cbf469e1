import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseUsername } from '#domain/username.ts';

describe('a user name', () => {
  it.each(['ada', 'Ada.Lovelace', 'a_b-c.d', '007', 'x'.repeat(32)])('may be %s', (name) => {
    expect(parseUsername(name)).toEqual({ given: name, canonical: name.toLowerCase() });
  });

  it.each([
    '',
    'ab',
    'x'.repeat(33),
    '.ada',
    'ada.',
    'a..da',
    'a._da',
    'a da',
    'ada@x',
    'ada\n',
    'аda',
    'ádà',
    '\u212Ada',
    'ada\u200B',
    'a/b/c',
  ])('may not be %j', (name) => {
    expect(parseUsername(name)).toBeUndefined();
  });

  it('is never taken for an e-mail address, and its canonical form is its own', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[A-Za-z0-9._@-]{1,34}$/), (name) => {
        const username = parseUsername(name);
        if (username === undefined) return;
        expect(username.canonical).not.toContain('@');
        expect(parseUsername(username.canonical)?.canonical).toBe(username.canonical);
      }),
    );
  });

  it('is read in time that does not grow wild with its length', () => {
    const startedMs = performance.now();
    expect(parseUsername(`${'a.'.repeat(50_000)}!`)).toBeUndefined();
    expect(performance.now() - startedMs).toBeLessThan(1000);
  });
});
