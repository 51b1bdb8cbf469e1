import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { foreignHash } from '#infrastructure/crypto/foreign-hashes/foreign-hashes.ts';
import { firebaseHash } from '#infrastructure/crypto/foreign-hashes/scrypt.ts';
import { argon2Hasher } from '#infrastructure/crypto/password-hasher.ts';

type Vectors = {
  hashes: { name: string; by: string; password: string; hash: string }[];
  firebase: Record<'password' | 'signer_key' | 'salt_separator' | 'salt' | 'hash', string> & { rounds: number; mem_cost: number };
};
const vectors: Vectors = JSON.parse(readFileSync(new URL('../../vectors/password-hashes.json', import.meta.url), 'utf8'));
const hasher = await argon2Hasher({ memoryKib: 7168, timeCost: 1, parallelism: 1 });
const bytes = (text: string) => Buffer.from(text, 'base64');

/** Why the hash is refused. */
function refusal(hash: string): string {
  const read = foreignHash(hash);
  return typeof read === 'function' ? '' : read.refused;
}

describe('hashes of other systems', () => {
  it.each(vectors.hashes)('$name by $by: $password', async ({ password, hash }) => {
    expect(await hasher.verify(hash, password)).toBe('outdated');
    for (const wrong of [`${password.slice(0, 20)}!`, password.toUpperCase(), '']) expect(await hasher.verify(hash, wrong)).toBe('wrong');
  });

  it("keeps Firebase's hashes without the project's signer key", async () => {
    const { password, signer_key, salt_separator, rounds, mem_cost, salt, hash } = vectors.firebase;
    const parameters = { signerKey: bytes(signer_key), saltSeparator: bytes(salt_separator), rounds, memCost: mem_cost };
    const kept = firebaseHash(parameters, bytes(salt), bytes(hash)) ?? '';
    expect(await hasher.verify(kept, password)).toBe('outdated');
    expect(await hasher.verify(kept, 'user2password')).toBe('wrong');
    expect(kept).not.toContain(signer_key.slice(0, 20));
    expect(firebaseHash(parameters, bytes(salt), bytes(hash).subarray(1))).toBeNull();
  });

  it('takes a password in the spelling that the other system got, whatever form it is typed in', async () => {
    const composed = vectors.hashes.find(({ name, password }) => name === 'pbkdf2 sha256' && password.startsWith('Z'));
    expect(await hasher.verify(composed?.hash ?? '', (composed?.password ?? '').normalize('NFD'))).toBe('outdated');
    // "café" with a combining accent, as it was typed there: pbkdf2_sha256, one iteration (Python's hashlib)
    const decomposed = 'pbkdf2_sha256$1$salt$BrTbYuZxiGUak1FfCTge6AVOPVYgLOiDyghTT2zrKdg=';
    expect(await hasher.verify(decomposed, 'cafe\u0301')).toBe('outdated');
    expect(await hasher.verify(decomposed, 'caf\u00e9')).toBe('wrong');
  });

  it('knows the first 72 bytes of a bcrypt password only, as the system that made it', async () => {
    const long = vectors.hashes.find(({ name }) => name === 'bcrypt of more than 72 bytes');
    const { password = '', hash = '' } = long ?? {};
    expect(await hasher.verify(hash, password.slice(0, 72))).toBe('outdated');
    expect(await hasher.verify(hash, password.slice(0, 71))).toBe('wrong');
    const whole = vectors.hashes.filter(({ name }) => name.includes('sha256 of more than 72 bytes'));
    expect(whole).toHaveLength(2);
    for (const each of whole) expect(await hasher.verify(each.hash, each.password.slice(0, 72))).toBe('wrong');
  });

  it('refuses what would take a sign-in down to check', () => {
    const salt = 'c2FsdHNhbHQ';
    const tag = 'qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo';
    const costly = [
      `$argon2id$v=19$m=2097152,t=1,p=4$${salt}$${tag}`,
      `$argon2id$v=19$m=65536,t=1000,p=4$${salt}$${tag}`,
      `$argon2id$v=19$m=65536,t=3,p=1000$${salt}$${tag}`,
      `$2b$31$${'u'.repeat(53)}`,
      `bcrypt_sha256$$2b$16$${'u'.repeat(53)}`,
      `pbkdf2_sha256$1000000000$salt$${tag}=`,
      `$pbkdf2-sha512$2000001$${salt}$${tag}`,
      `pbkdf2_sha1$100000$salt$${Buffer.alloc(1024, 1).toString('base64')}`, // 52 blocks
      `scrypt$1048576$salt$8$1$${tag}=`,
      `$scrypt$ln=14,r=8,p=64$${salt}$${tag}`,
      `$firebase-scrypt$ln=20,r=8,p=1$${salt}$${tag}`,
      Buffer.concat([bytes('AQAAAAF/////AAAAEA=='), Buffer.alloc(48, 7)]).toString('base64'),
    ];
    for (const hash of costly) expect(refusal(hash), hash).toContain('costs too much');
  });

  it('refuses what has no form that it knows, is damaged, or would match by chance', async () => {
    const odd = [
      '',
      '!',
      'a plain password',
      '5f4dcc3b5aa765d61d8327deb882cf99',
      'md5$salt$5f4dcc3b5aa765d61d8327deb882cf99',
      '$1$salt$qJH7.N4xYta3aEG/dfqo/0',
      '$6$salt$IxDD3jeSOb5eB1CX5LBsqZFVkJdido3OUILO5Ifz5iwMuTS4XMS130MTSuDDl3aCI6WouIL9AjRbLCelDCy.g.',
      `$2x$05$${'u'.repeat(53)}`,
      '$2b$05$short',
      `$2b$03$${'u'.repeat(53)}`,
      'pbkdf2_sha256$1000$salt$',
      'pbkdf2_sha256$1000$salt$AAAA',
      'pbkdf2_sha256$0$salt$qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo=',
      'pbkdf2_md5$1000$salt$qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo=',
      '$pbkdf2-sha256$1000$$qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo',
      '$scrypt$ln=0,r=8,p=1$c2FsdA$qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo',
      'scrypt$1000$salt$8$1$qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo=',
      '$argon2id$v=19$m=8,t=0,p=1$c2FsdHNhbHQ$qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo',
      '$argon2id$v=19$m=4096,t=1,p=1$c2FsdHNhbHQ$AAAA',
      '$argon2id$',
      Buffer.concat([Buffer.from([0]), Buffer.alloc(47, 7)]).toString('base64'),
      Buffer.concat([bytes('AQAAAAEAACcQAAAAMA=='), Buffer.alloc(48, 7)]).toString('base64'),
    ];
    for (const hash of odd) {
      expect(refusal(hash), hash).not.toBe('');
      expect(await hasher.verify(hash, ''), hash).toBe('wrong');
    }
  });
});
