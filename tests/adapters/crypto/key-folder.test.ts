import { createPrivateKey } from 'node:crypto';
import { chmodSync, chownSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createKeyFolder, readKeyFolder, whileLocked } from '#infrastructure/crypto/key-folder.ts';
import { testClock } from '#tests/support/clock.ts';
import { keysOf } from '#tests/support/keys.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'latchkey-key-folder-'));
  createKeyFolder(dir, 'ES256', new Date());
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const pems = () => readdirSync(dir).flatMap((name) => (name.endsWith('.pem') ? [path.join(dir, name)] : []));
const setMode = (mode: number) => {
  for (const file of pems()) chmodSync(file, mode);
};

describe('the folder of the signing keys', () => {
  it('[V13.3.2] is refused when anybody but their owner can read our keys', () => {
    for (const mode of [0o640, 0o604, 0o660]) {
      setMode(mode);
      expect(() => readKeyFolder(dir)).toThrow(/Others can read/);
    }
    setMode(0o400);
    expect(readKeyFolder(dir).keys.size).toBe(2);
  });

  // As Kubernetes mounts a Secret for a pod with fsGroup: of root, for the group. Only root can make such a file.
  it.runIf(process.getuid?.() === 0)('is read by the group when the keys belong to another user, and never by everybody', () => {
    for (const file of pems()) chownSync(file, 4711, 0);
    setMode(0o440);
    expect(readKeyFolder(dir).keys.size).toBe(2);
    for (const mode of [0o444, 0o460]) {
      setMode(mode);
      expect(() => readKeyFolder(dir)).toThrow(/Others can read/);
    }
  });

  it('is changed by one at a time, and says what to do when a change was cut off', () => {
    whileLocked(dir, () => {
      expect(() => whileLocked(dir, () => {})).toThrow(`delete ${path.join(dir, '.lock')}`);
    });
    expect(() =>
      whileLocked(dir, () => {
        throw new Error('a full disk');
      }),
    ).toThrow('a full disk');
    whileLocked(dir, () => {});
    expect(readdirSync(dir)).not.toContain('.lock');
    expect(() => whileLocked(path.join(dir, 'nowhere'), () => {})).toThrow('cannot be written to');
  });
});

describe('latchkey keys generate', () => {
  it('makes RSA keys of 2048 bits, or of as many as it is told', async () => {
    const keys = keysOf(dir, testClock());
    const bitsOfNext = () => {
      const pem = readFileSync(path.join(dir, `${readKeyFolder(dir).ring.next?.kid}.pem`));
      return createPrivateKey(pem).asymmetricKeyDetails?.modulusLength;
    };
    expect(await keys('generate', '--alg', 'RS256')).toMatchObject({ code: 0 });
    expect(bitsOfNext()).toBe(2048);
    expect(await keys('generate', '--alg', 'PS256', '--bits', '3072')).toMatchObject({ code: 0 });
    expect(bitsOfNext()).toBe(3072);
    expect(await keys('generate', '--alg', 'RS256', '--bits', '1024')).toMatchObject({ complained: ['--bits is 2048, 3072 or 4096.'] });
    expect(bitsOfNext()).toBe(3072);
  });
});
