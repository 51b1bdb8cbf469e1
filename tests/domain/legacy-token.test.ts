import { describe, expect, it } from 'vitest';
import { subjectOf } from '#domain/legacy-token.ts';

const UUID = 'ec86b242-dbbd-407d-935b-52652c984c4d';
const accountIdOf = (sub: unknown, form: 'uuid' | 'integer') => subjectOf({ sub }, null, form)?.accountId ?? null;

describe('the subject of a token of the replaced service', () => {
  it('is the id of the import where ids are UUIDs, and no number then', () => {
    expect(accountIdOf(UUID.toUpperCase(), 'uuid')).toBe(UUID);
    for (const sub of ['42', 42, `${UUID} `, UUID.replaceAll('-', '')]) expect(accountIdOf(sub, 'uuid'), String(sub)).toBeNull();
  });

  it('is the number that the import made the id of where ids are integers, as text or as a number', () => {
    const ids: [unknown, string][] = [
      ['42', '00000000-0000-8000-8000-00000000002a'],
      [42, '00000000-0000-8000-8000-00000000002a'],
      ['0', '00000000-0000-8000-8000-000000000000'],
      ['2147483647', '00000000-0000-8000-8000-00007fffffff'],
      [281_474_976_710_655, '00000000-0000-8000-8000-ffffffffffff'],
    ];
    for (const [sub, id] of ids) expect(accountIdOf(sub, 'integer'), String(sub)).toBe(id);
  });

  it('is nobody where a number is written as no database writes an id, or finds no room in one', () => {
    const texts = ['', '042', '+42', '-42', '42.0', '4.2e1', '0x2a', ' 42', '42\n', '٤٢', '281474976710656', '9'.repeat(400)];
    const others = [-42, 4.2, Number.NaN, 1e300, 281_474_976_710_656, true, [42], { 0: 42 }, null, undefined, 42n];
    for (const sub of [...texts, ...others]) expect(accountIdOf(sub, 'integer'), String(sub)).toBeNull();
  });

  it('is no UUID where ids are integers: that service never gave one', () => {
    expect(accountIdOf(UUID, 'integer')).toBeNull();
    expect(accountIdOf('00000000-0000-8000-8000-00000000002a', 'integer')).toBeNull();
  });

  it('may be named by a verified address beside either', () => {
    const claims = { sub: 'ada', email: 'Ada@Example.com', email_verified: true };
    for (const form of ['uuid', 'integer'] as const)
      expect(subjectOf(claims, null, form)).toMatchObject({ accountId: null, email: { canonical: 'ada@example.com' } });
    expect(subjectOf({ ...claims, email_verified: 'true' }, null, 'integer')).toBeNull();
  });

  it('counts only where the token says that it is an access token', () => {
    const isAccess = { name: 'type', value: 'access' };
    expect(subjectOf({ sub: 42, type: 'access' }, isAccess, 'integer')).not.toBeNull();
    for (const type of ['refresh', undefined]) expect(subjectOf({ sub: 42, type }, isAccess, 'integer')).toBeNull();
  });
});
