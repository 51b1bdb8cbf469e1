import { randomBytes, randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DependencyDown } from '#application/ports/errors.ts';
import { loadCommonPasswords } from '#infrastructure/crypto/common-passwords.ts';
import { argon2Hasher, argon2Weakness } from '#infrastructure/crypto/password-hasher.ts';
import { refreshTokens } from '#infrastructure/crypto/refresh-tokens.ts';
import { openMessage, sealMessage } from '#infrastructure/crypto/sealed-messages.ts';
import { gate } from '#infrastructure/gate.ts';

const parts = fc.record({
  sessionId: fc.uuid(),
  counter: fc.integer({ min: 0, max: 0x7fff_ffff }),
  secret: fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes)),
});

describe('a refresh token', () => {
  const codec = refreshTokens(randomBytes(32));

  it('says what was written into it, and the same parts give the same token', () => {
    fc.assert(
      fc.property(parts, (written) => {
        expect(codec.decode(codec.encode(written))).toEqual(written);
        expect(codec.encode(written)).toBe(codec.encode(written));
      }),
    );
  });

  it('is refused when any one character of it is another [V7.2.3]', () => {
    const token = codec.encode({ sessionId: randomUUID(), counter: 7, secret: randomBytes(32) });
    for (let at = 0; at < token.length; at++) {
      const other = token[at] === 'A' ? 'B' : 'A';
      expect(codec.decode(token.slice(0, at) + other + token.slice(at + 1)), String(at)).toBeNull();
    }
    for (const form of [`${token}=`, `${token} `, token.slice(0, -1), `${token}A`, token.toUpperCase()])
      expect(codec.decode(form)).toBeNull();
  });

  it('is refused without a throw whatever is sent instead', () => {
    fc.assert(fc.property(fc.string(), (text) => codec.decode(text) === null && codec.decode(`lk_rt_${text}`) === null));
  });

  it('of another server is refused', () => {
    const token = refreshTokens(randomBytes(32)).encode({ sessionId: randomUUID(), counter: 0, secret: randomBytes(32) });
    expect(codec.decode(token)).toBeNull();
  });
});

describe('a sealed message', () => {
  const key = randomBytes(32);

  it('opens under its key and id, and under no other [V11.3.2]', () => {
    const sealed = sealMessage(key, 'a', Buffer.from('the link'));
    expect(openMessage(key, 'a', sealed).toString()).toBe('the link');
    expect(sealed.includes('the link')).toBe(false);
    expect(() => openMessage(key, 'b', sealed)).toThrow();
    expect(() => openMessage(randomBytes(32), 'a', sealed)).toThrow();
    for (let at = 0; at < sealed.length; at++) {
      const changed = Buffer.from(sealed);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(() => openMessage(key, 'a', changed), String(at)).toThrow();
    }
  });
});

describe('the gate before Argon2id', () => {
  it('lets so many run and so many wait, and sheds the rest at once [V15.2.2]', async () => {
    const { run, load } = gate(2, 3, 'hashing');
    const releases: (() => void)[] = [];
    let most = 0;
    const work = () =>
      new Promise<string>((resolve) => {
        most = Math.max(most, load().running);
        releases.push(() => resolve('done'));
      });
    const admitted = Array.from({ length: 5 }, () => run(work));
    await expect(run(work)).rejects.toBeInstanceOf(DependencyDown);
    expect(load()).toEqual({ running: 2, waiting: 3, shed: 1 });
    while (load().running > 0) {
      releases.shift()?.();
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await Promise.all(admitted)).toEqual(Array(5).fill('done'));
    expect(most).toBe(2);
  });

  it('sheds work that takes long while others may still wait', async () => {
    const { run, load } = gate(1, 3, 'hashing');
    const { promise, resolve } = Promise.withResolvers<string>();
    const admitted = [run(() => promise), run(() => promise, 1)];
    await expect(run(() => promise, 1)).rejects.toBeInstanceOf(DependencyDown);
    admitted.push(run(() => promise));
    expect(load()).toEqual({ running: 1, waiting: 2, shed: 1 });
    resolve('done');
    expect(await Promise.all(admitted)).toEqual(['done', 'done', 'done']);
  });

  it('gives the place on when the work fails', async () => {
    const { run, load } = gate(1, 1, 'hashing');
    await expect(run(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(await run(async () => 'next')).toBe('next');
    expect(load()).toEqual({ running: 0, waiting: 0, shed: 0 });
  });
});

describe('password hashing', () => {
  it('tells right, wrong and outdated apart, and takes NFC for NFD [V6.2.8] [V11.4.2]', async () => {
    const today = await argon2Hasher({ memoryKib: 7168, timeCost: 1, parallelism: 1 });
    const yesterday = await argon2Hasher({ memoryKib: 8192, timeCost: 1, parallelism: 1 });
    const hash = await today.hash('caf\u00e9 at noon');
    expect(hash).toMatch(/^\$argon2id\$v=19\$m=7168,t=1,p=1\$/);
    expect(await today.verify(hash, 'cafe\u0301 at noon')).toBe('right');
    expect(await today.verify(hash, 'Caf\u00e9 at noon')).toBe('wrong');
    expect(await today.verify(hash, 'caf\u00e9 at noon ')).toBe('wrong');
    expect(await yesterday.verify(hash, 'caf\u00e9 at noon')).toBe('outdated');
    expect(await today.verify(null, 'caf\u00e9 at noon')).toBe('wrong');
  });

  it('knows what is too weak [V11.4.2]', () => {
    expect(argon2Weakness({ memoryKib: 19456, timeCost: 2 })).toBeNull();
    expect(argon2Weakness({ memoryKib: 19455, timeCost: 2 })).toContain('19456');
    expect(argon2Weakness({ memoryKib: 12288, timeCost: 3 })).toBeNull();
    expect(argon2Weakness({ memoryKib: 19456, timeCost: 1 })).toContain('47104');
  });

  it('has a list of more than 10,000 common passwords that are long enough [V6.2.4]', () => {
    const list = loadCommonPasswords();
    expect((list as Set<string>).size).toBeGreaterThan(10_000);
    for (const common of ['password123', 'qwertyuiop', 'iloveyou', '12345678', 'baseball']) expect(list.has(common), common).toBe(true);
    expect(list.has('nine quiet rivers')).toBe(false);
  });

  it('has the shorter words that people add to, and none that is mostly digits [V6.2.4]', () => {
    const list = loadCommonPasswords() as Set<string>;
    for (const word of ['welcome', 'summer', 'winter', 'admin', 'test', 'changeme', 'qwerty']) expect(list.has(word), word).toBe(true);
    expect([...list].filter((word) => [...word].length < 8 && !/\p{L}{4}/u.test(word))).toEqual([]);
  });
});
