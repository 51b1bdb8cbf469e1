import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readKeyFolder } from '#infrastructure/crypto/key-folder.ts';
import { earlierSecret, generatedSecret } from '#infrastructure/embedded/generated-secret.ts';

const AT_ONCE = 4;
const ROUNDS = 25;
const SRC = path.join(import.meta.dirname, '../../../src');

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'latchkey-first-start-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** Threads share one process id, as processes in containers do that are number 1 each. They begin each round at the same moment. */
async function roundsAtOnce(module: string, call: string): Promise<unknown[][]> {
  const gates = new Int32Array(new SharedArrayBuffer(4 * ROUNDS));
  const code = `
    const { parentPort, workerData: { gates, dir } } = require('node:worker_threads');
    import(${JSON.stringify(pathToFileURL(path.join(SRC, module)).href)}).then((module) => {
      const results = [];
      for (let round = 0; round < ${ROUNDS}; round++) {
        Atomics.add(gates, round, 1);
        Atomics.notify(gates, round);
        for (let seen; (seen = Atomics.load(gates, round)) < ${AT_ONCE}; ) if (Atomics.wait(gates, round, seen, 10_000) === 'timed-out') throw new Error('alone');
        try { results.push(String(${call})); } catch (error) { results.push(error.message); }
      }
      parentPort.postMessage(results);
    });`;
  const workers = Array.from({ length: AT_ONCE }, () => new Worker(code, { eval: true, workerData: { gates, dir } }));
  const results = await Promise.all(
    workers.map(
      (worker) =>
        new Promise<unknown[]>((resolve, reject) => {
          worker.once('message', resolve).once('error', reject);
        }),
    ),
  ).finally(() => Promise.all(workers.map((worker) => worker.terminate())));
  return Array.from({ length: ROUNDS }, (_, round) => results.map((ofOne) => ofOne[round]));
}

describe('several first starts at once, of processes with the same id,', { timeout: 60_000 }, () => {
  it('agree on one secret', async () => {
    const rounds = await roundsAtOnce('infrastructure/embedded/generated-secret.ts', `module.generatedSecret(dir, 'secret-' + round)`);
    for (const [round, secrets] of rounds.entries()) {
      const kept = readFileSync(path.join(dir, `secret-${round}`), 'utf8');
      expect(secrets).toEqual(Array.from({ length: AT_ONCE }, () => kept));
    }
    expect(readdirSync(dir)).toHaveLength(ROUNDS);
  });

  it('agree on the signing keys, and leave nothing else behind', async () => {
    const create = `module.createKeyFolder(dir + '/' + round, 'ES256', new Date())`;
    for (const said of await roundsAtOnce('infrastructure/crypto/key-folder.ts', create))
      expect(said).toEqual(Array.from({ length: AT_ONCE }, () => 'undefined'));
    for (let round = 0; round < ROUNDS; round++) {
      const keys = path.join(dir, String(round));
      const { keys: known } = readKeyFolder(keys);
      expect(readdirSync(keys).sort()).toEqual(['manifest.json', ...Array.from(known.keys(), (kid) => `${kid}.pem`)].sort());
    }
  });
});

describe('latchkey keys generate on a file system without hard links', () => {
  /** As FAT answers, or what else a folder answers to `link`. */
  const generate = (code: string, more = '') => {
    const refusing = `import fs from 'node:fs'; import { syncBuiltinESMExports } from 'node:module';
      fs.linkSync = () => { throw Object.assign(new Error('${code}: link'), { code: '${code}' }) }; ${more} syncBuiltinESMExports();`;
    return spawnSync(
      process.execPath,
      ['--import', `data:text/javascript,${encodeURIComponent(refusing)}`, 'src/cli/latchkey.ts', 'keys', 'generate', '--alg', 'ES256'],
      { env: { PATH: process.env['PATH'], KEYS_DIR: dir }, encoding: 'utf8' },
    );
  };

  it.each(['EPERM', 'ENOTSUP', 'ENOSYS'])('makes them all the same (%s)', (code) => {
    expect(generate(code)).toMatchObject({ status: 0, stderr: '' });
    expect(readKeyFolder(dir).keys.size).toBe(2);
    expect(readdirSync(dir)).toHaveLength(3);
  });

  it('says why when it cannot, and leaves no keys that nobody knows', () => {
    const full = `fs.renameSync = () => { throw new Error('ENOSPC: no space left on device') };`;
    const { status, stderr } = generate('ENOSPC', full);
    expect(status).toBe(1);
    expect(stderr).toContain('no space left');
    expect(readdirSync(dir)).toEqual([]);
  });
});

describe('a secret that is kept', () => {
  it.each(['', 'short'])('is refused when it was cut to %j: keys derived from it would be anybody’s', (cut) => {
    generatedSecret(dir, 'secret-key');
    writeFileSync(path.join(dir, 'secret-key'), cut);
    expect(() => generatedSecret(dir, 'secret-key')).toThrow('holds no secret of ours any more');
    expect(() => earlierSecret(dir, 'secret-key')).toThrow('holds no secret of ours any more');
  });
});
