import { describe, expect, it } from 'vitest';
import { acrOf, amrOf, type Factor } from '#domain/assurance.ts';

const proofs = (...factors: Factor[]) => factors.map((factor) => ({ factor, at: new Date(0) }));

describe('what a session is worth', () => {
  it.each<[Factor[], string, string[]]>([
    [['password'], 'aal1', ['pwd']],
    [['password', 'totp'], 'aal2', ['pwd', 'otp', 'mfa']],
    [['passkey', 'totp'], 'aal1', ['pop', 'otp']],
    [['verified-passkey'], 'aal2', ['pop', 'mfa']],
    [['federated'], 'aal1', []],
    [['federated', 'totp'], 'aal2', ['otp', 'mfa']],
    [['federated', 'passkey'], 'aal2', ['pop', 'mfa']],
    [['federated', 'password'], 'aal1', ['pwd']],
  ])('%j is %s', (factors, acr, amr) => {
    expect(acrOf(proofs(...factors))).toBe(acr);
    expect(amrOf(proofs(...factors))).toEqual(amr);
  });
});
