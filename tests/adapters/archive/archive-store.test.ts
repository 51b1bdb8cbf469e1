import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { type ArchiveStore, type OpenedArchive, UnreadableArchive } from '#application/ports/audit-trail.ts';
import { bucketFiles } from '#infrastructure/archive/bucket.ts';
import { openArchive } from '#infrastructure/archive/open-archive.ts';
import { fakeS3, type S3 } from '#tests/support/s3.ts';
import { until } from '#tests/support/until.ts';

const KEYS = { accessKeyId: 'AKIDOFTHETESTS', secretAccessKey: 'a secret of the tests' };
const folder = mkdtempSync(path.join(tmpdir(), 'latchkey-archive-'));
let s3: S3;
beforeAll(async () => {
  s3 = await fakeS3(KEYS);
  vi.stubEnv('AWS_ACCESS_KEY_ID', KEYS.accessKeyId);
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', KEYS.secretAccessKey);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
  await s3.stop();
});

const lines = async function* (count: number) {
  for (let i = 0; i < count; i++) yield `{"n":${i},"text":"ä ${'x'.repeat(i % 50)}"}`;
};

const open = (kind: string) =>
  openArchive(kind === 'file' ? pathToFileURL(path.join(folder, 'audit')).href : 's3://bucket/some/prefix', {
    region: 'eu-central-1',
    endpoint: s3.endpoint,
  });

describe.each(['file', 's3'])('an archive at %s:', (kind) => {
  let store: ArchiveStore;
  beforeEach(async () => {
    store = await open(kind);
  });

  it('gives back what was written, with the same sums', async () => {
    const written = await store.write('a.ndjson.gz', lines(20_000));
    const read = await store.read('a.ndjson.gz');
    let count = 0;
    for await (const line of read?.lines ?? []) expect(JSON.parse(line).n).toBe(count++);
    expect(count).toBe(20_000);
    expect(read?.sums()).toEqual(written);
    await store.writeText('b.json', '{"ä":1}\n');
    expect(await store.readText('b.json')).toBe('{"ä":1}\n');
    await store.writeText('c.json', 'x');
    expect(await store.list()).toEqual(['a.ndjson.gz', 'b.json', 'c.json']);
  });

  it('has null where there is nothing', async () => {
    expect(await store.read('not-there.gz')).toBeNull();
    expect(await store.readText('not-there.json')).toBeNull();
  });

  it('shows nothing of a file whose writer failed in the middle', async () => {
    const failing = async function* () {
      yield* lines(5000);
      throw new Error('killed');
    };
    await expect(store.write('half.gz', failing())).rejects.toThrow('killed');
    expect(await store.read('half.gz')).toBeNull();
    expect(await store.list()).not.toContain('half.gz');
    expect(readdirSync(folder, { recursive: true }).filter((name) => String(name).includes('draft'))).toEqual([]);
  });

  it('says so when a file is damaged or cut off', async () => {
    await store.write('damaged.gz', lines(5000));
    const spoil = (bytes: Buffer) =>
      Buffer.concat([bytes.subarray(0, bytes.length / 2), Buffer.alloc(10), bytes.subarray(bytes.length - 99)]);
    const key = 'bucket/some/prefix/damaged.gz';
    if (kind === 's3') s3.objects.set(key, spoil(s3.objects.get(key) ?? Buffer.alloc(0)));
    else writeFileSync(path.join(folder, 'audit/damaged.gz'), 'no gzip');
    const read = await store.read('damaged.gz');
    const all = async () => {
      for await (const _ of read?.lines ?? []);
    };
    await expect(all()).rejects.toThrow(UnreadableArchive);
  });

  it('says that a file is cut off to who reads it, however late, and to nobody else', async () => {
    const whole = gzipSync('a line\n'.repeat(9));
    if (kind === 's3') s3.objects.set('bucket/some/prefix/short.gz', whole.subarray(0, -5));
    else writeFileSync(path.join(folder, 'audit/short.gz'), whole.subarray(0, -5));
    const all = async (read: OpenedArchive | null) => {
      for await (const _ of read?.lines ?? []);
    };
    const short = await store.read('short.gz');
    await store.write('sound.gz', lines(20_000));
    await all(await store.read('sound.gz')); // by then the short one has come to its end, with nobody who reads it
    await expect(all(short)).rejects.toThrow(UnreadableArchive);
  });

  it('reads no line of a size that was never written, though it comes from a few bytes', async () => {
    const endless = gzipSync(Buffer.alloc(8 * 1024 * 1024, 'x'));
    for (const [name, bytes] of [
      ['endless.gz', endless],
      ['endless.json', Buffer.alloc(2 * 1024 * 1024, 'x')],
    ] as const) {
      if (kind === 's3') s3.objects.set(`bucket/some/prefix/${name}`, bytes);
      else writeFileSync(path.join(folder, 'audit', name), bytes);
    }
    const read = await store.read('endless.gz');
    const all = async () => {
      for await (const _ of read?.lines ?? []);
    };
    await expect(all()).rejects.toThrow(UnreadableArchive);
    await expect(store.readText('endless.json')).rejects.toThrow(UnreadableArchive);
  });
});

it('a bucket refuses a file that was damaged on its way', async () => {
  const store = await open('s3');
  s3.damageNextPut();
  await expect(store.writeText('sent.json', 'some text')).rejects.toMatchObject({ name: 'BadDigest' });
  expect(await store.readText('sent.json')).toBeNull();
});

it('a bucket leaves nothing open and nothing on the disk, for an archive is opened each hour', async () => {
  const temporary = mkdtempSync(path.join(folder, 'tmp-'));
  vi.stubEnv('TMPDIR', temporary);
  const sockets = () => process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;
  const before = sockets(); // of tests that this process ran before
  const store = await open('s3');
  await store.write('a.ndjson.gz', lines(2000));
  for await (const _ of (await store.read('a.ndjson.gz'))?.lines ?? []);
  await store.writeText('b.json', 'x');
  await store.readText('b.json');
  await store.readText('not-there.json');
  await store.list();
  await until('no connection is left', () => sockets() <= before, 2); // the server would end an idle one after five seconds
  expect(readdirSync(temporary)).toEqual([]);
});

it('a folder is cleared of drafts that a killed process left long ago', async () => {
  const store = await open('file');
  await store.writeText('x.json', 'x');
  for (const [name, daysAgo] of [
    ['.audit-old.draft', 2],
    ['.audit-young.draft', 0],
  ] as const) {
    const file = path.join(folder, 'audit', name);
    writeFileSync(file, '');
    const at = new Date(Date.now() - daysAgo * 86_400_000);
    utimesSync(file, at, at);
  }
  await store.writeText('x.json', 'y');
  expect(readdirSync(path.join(folder, 'audit')).filter((name) => name.endsWith('.draft'))).toEqual(['.audit-young.draft']);
});

it('a bucket that takes the call and never answers is an error, not a wait for ever', async () => {
  const sockets: Socket[] = [];
  const silent = createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const endpoint = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
  const files = bucketFiles({ bucket: 'bucket', prefix: '', region: 'eu-central-1', endpoint, silenceMs: 100 });
  await expect(files.list()).rejects.toThrow(/time/i);
  expect(sockets.length).toBeGreaterThan(0);
  for (const socket of sockets) socket.destroy();
  silent.close();
});
