import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type PasswordPolicy, passwordFaults } from '#domain/password-policy.ts';

const POLICY: PasswordPolicy = { minLength: 8, requireUppercase: false, requireNumbers: false, requireSpecialChars: false };
const faults = (password: string, policy: Partial<PasswordPolicy> = {}, context: string[] = []) =>
  passwordFaults(password, { ...POLICY, ...policy }, (word) => word === 'password123', context);

const COMMON = new Set(['welcome', 'summer', 'test', 'test1', 'dragon', 'password', 'sunshine', 'trustno1', '12345678']);
const isCommon = (password: string) => passwordFaults(password, POLICY, (word) => COMMON.has(word), []).length > 0;

/** Slow and plain, to hold the policy against: written out, what a short unit or a step of one would make of the beginning. */
function isPattern(text: string): boolean {
  const letters = [...text.toLowerCase()];
  const repeats = [1, 2, 3, 4].map((unit) => letters.map((_, at) => letters[at % unit]).join(''));
  const [first = ''] = letters;
  const start = first.codePointAt(0) ?? 0;
  const runs = [1, -1].map((step) =>
    letters
      .map((_, at) =>
        /\d/.test(first) ? (((Number(first) + at * step) % 10) + 10) % 10 : String.fromCodePoint(Math.max(0, start + at * step)),
      )
      .join(''),
  );
  return [...repeats, ...runs].includes(letters.join(''));
}

describe('the password policy', () => {
  it('[V6.2.1] counts code points', () => {
    expect(faults('seven77')).toHaveLength(1);
    expect(faults('eight888')).toEqual([]);
    expect(faults('🦉🪁🧭🪵🫐🦔🪨')).toHaveLength(1);
    expect(faults('🦉🪁🧭🪵🫐🦔🪨🧶')).toEqual([]);
  });

  it('[V6.2.9] takes 64 characters and more, and refuses rather than cuts beyond 256', () => {
    expect(faults('river '.repeat(11))).toEqual([]);
    expect(faults('a bcd ef'.repeat(32))).toEqual([]);
    expect(faults(`${'a bcd ef'.repeat(32)}d`)).toHaveLength(1);
  });

  it('[V6.2.5] asks for no mix of characters unless the operator does', () => {
    fc.assert(fc.property(fc.stringMatching(/^[a-z]{12,40}$/), (letters) => isPattern(letters) || faults(letters).length === 0));
    const strict = { requireUppercase: true, requireNumbers: true, requireSpecialChars: true };
    expect(faults('onlyletters', strict)).toHaveLength(3);
    expect(faults('Letters & 7', strict)).toEqual([]);
  });

  it('[V6.2.4] refuses a common one in any case', () => {
    expect(faults('PassWord123')).toHaveLength(1);
  });

  it('[V6.2.4] refuses repeats of a short unit, however long and even cut off', () => {
    for (const repeat of [
      '00000000',
      'ΣΣΣΣΣΣΣΣ',
      'abcİabcİabcİ',
      'aaaaaaaa',
      'zZzZZzZz',
      '123123123',
      '12341234',
      '12312312',
      ' '.repeat(8),
      '\u200b'.repeat(8),
    ])
      expect(isCommon(repeat), JSON.stringify(repeat)).toBe(true);
    const unit = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 4 }).filter((text) => {
      const normal = text.normalize('NFC');
      return [...normal].length <= 4 && (text + text).normalize('NFC') === normal + normal; // its ends do not melt into one sign
    });
    fc.assert(fc.property(unit, fc.integer({ min: 8, max: 40 }), (text, length) => isCommon(text.repeat(length))));
  });

  it('[V6.2.4] refuses runs up and down, past nine too', () => {
    for (const run of ['87654321', 'abcdefgh', 'StuvWxyz', '987654321', '0987654321', '1234567890', '5678901234', '21098765'])
      expect(isCommon(run), run).toBe(true);
    const alphabet = fc.constantFrom('abcdefghijklmnopqrstuvwxyz', '01234567890123456789', '!"#$%&\'()*+,-./', 'абвгдежзийклмноп');
    fc.assert(
      fc.property(alphabet, fc.nat(7), fc.integer({ min: 8, max: 26 }), fc.boolean(), (letters, start, length, isUpper) => {
        const run = [...(isUpper ? letters.toUpperCase() : letters)].slice(start, start + length);
        fc.pre(run.length >= 8);
        return isCommon(run.join('')) && isCommon(run.toReversed().join(''));
      }),
    );
  });

  it('[V6.2.4] refuses a common word in leet or with up to four digits and signs around it', () => {
    const decorated = [
      'Password123!',
      'P@ssw0rd1',
      'Welcome1!',
      'Summer2024',
      'test12345',
      '$un5h1ne',
      '1Sunshine!',
      '!!dr4gon!!',
      '12345678!',
    ];
    for (const password of decorated) expect(isCommon(password), password).toBe(true);
    const LOOKS: Record<string, string[]> = { a: ['@', '4'], o: ['0'], i: ['1'], l: ['1'], e: ['3'], s: ['$', '5'], t: ['7'] };
    const word = fc.constantFrom('welcome', 'password', 'sunshine', 'dragon', 'summer');
    const sign = fc.constantFrom(...'0123456789!?.$@ #_-🦉');
    fc.assert(
      fc.property(
        word,
        fc.array(sign, { maxLength: 4 }),
        fc.nat(4),
        fc.nat(2),
        fc.nat(1),
        fc.boolean(),
        (text, signs, cut, look, nth, upper) => {
          const from = Object.keys(LOOKS)[look * 2 + nth] ?? '';
          const leet = text.replaceAll(from, LOOKS[from]?.[nth] ?? from);
          const password = `${signs.slice(cut).join('')}${upper ? leet.toUpperCase() : leet}${signs.slice(0, cut).join('')}`;
          fc.pre([...password].length >= 8);
          return isCommon(password);
        },
      ),
    );
  });

  it('[V6.2.4] refuses no random digits, no word with eight of them, and no phrase of common words', () => {
    for (const fine of ['dragon92847561', '92847561dragon', 'dragon92847', '73571946', '8305917264', 'dragon test', 'abcdefgi', '89012346'])
      expect(isCommon(fine), fine).toBe(false);
    const digits = (length: number) => fc.stringMatching(new RegExp(`^\\d{${length}}$`));
    const word = fc.constantFrom(...COMMON).filter((text) => /^[a-z]+$/.test(text));
    fc.assert(fc.property(digits(8), (number) => isCommon(number) === (isPattern(number) || COMMON.has(number))));
    fc.assert(fc.property(word, digits(8), (text, number) => !isCommon(`${text}${number}`) && !isCommon(`${number}${text}`)));
    const phrase = fc.array(word, { minLength: 2, maxLength: 6 }).map((words) => words.join(' '));
    fc.assert(fc.property(phrase, (text) => isCommon(text) === isPattern(text)));
    fc.assert(fc.property(fc.stringMatching(/^[b-df-hj-np-z2689]{8,20}$/), (noise) => isCommon(noise) === isPattern(noise)));
  });

  it('[V6.2.11] refuses what derives from the context, as a whole', () => {
    const context = ['ada.lovelace@example.com', 'Latchkey'];
    for (const close of ['lovelace1843', 'L0v3l4c3!', 'latchkey2026', 'lovelacelovelace', '!!Lovelace!!', 'ada.lovelace@example.com']) {
      expect(faults(close, {}, context), close).toHaveLength(1);
    }
    for (const far of ['lovelace wrote the first notes', 'my latchkey is brass', 'unrelated words'])
      expect(faults(far, {}, context), far).toEqual([]);
  });
});
