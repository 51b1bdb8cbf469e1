import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type PasswordPolicy, passwordFaults } from '#domain/password-policy.ts';

const POLICY: PasswordPolicy = { minLength: 8, requireUppercase: false, requireNumbers: false, requireSpecialChars: false };
const faults = (password: string, policy: Partial<PasswordPolicy> = {}, context: string[] = []) =>
  passwordFaults(password, { ...POLICY, ...policy }, (word) => word === 'password123', context);

describe('the password policy', () => {
  it('[V6.2.1] counts code points', () => {
    expect(faults('seven77')).toHaveLength(1);
    expect(faults('eight888')).toEqual([]);
    expect(faults('🔑'.repeat(7))).toHaveLength(1);
    expect(faults('🔑'.repeat(8))).toEqual([]);
  });

  it('[V6.2.9] takes 64 characters and more, and refuses rather than cuts beyond 256', () => {
    expect(faults('river '.repeat(11))).toEqual([]);
    expect(faults('ab c'.repeat(64))).toEqual([]);
    expect(faults(`${'ab c'.repeat(64)}d`)).toHaveLength(1);
  });

  it('[V6.2.5] asks for no mix of characters unless the operator does', () => {
    fc.assert(fc.property(fc.stringMatching(/^[a-z]{12,40}$/), (letters) => faults(letters).length === 0));
    const strict = { requireUppercase: true, requireNumbers: true, requireSpecialChars: true };
    expect(faults('onlyletters', strict)).toHaveLength(3);
    expect(faults('Letters & 7', strict)).toEqual([]);
  });

  it('[V6.2.4] refuses a common one in any case', () => {
    expect(faults('PassWord123')).toHaveLength(1);
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
