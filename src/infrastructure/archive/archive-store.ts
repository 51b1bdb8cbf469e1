import { createHash, randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import { type ArchivedFile, type ArchiveStore, UnreadableArchive } from '#application/ports/audit-trail.ts';

/** More than an event, a seal (32 bytes for each of its 1,000 events, in base 64) or a manifest may have. */
const LONGEST = 128 * 1024;
const TOO_LONG = `a line of more than ${LONGEST} characters`;

/** Whole files under names: what a folder and a bucket have in common. */
export type Files = {
  location: string;
  /** Where drafts are made. */
  draftFolder(): Promise<string>;
  /** Makes a finished draft appear under its name, whole or not at all. */
  publish(draft: string, name: string, sha256: Buffer): Promise<void>;
  /** @returns null when there is none */
  open(name: string): Promise<Readable | null>;
  list(): Promise<string[]>;
};

/** Archives as gzipped lines, drafted on disk and then published: memory stays flat, and what is half written has no name. */
export function archiveStore(files: Files): ArchiveStore {
  const drafted = async (name: string, make: (draft: string) => Promise<Buffer>) => {
    const draft = path.join(await files.draftFolder(), `.${name}.${randomUUID()}.draft`);
    try {
      await files.publish(draft, name, await make(draft));
    } finally {
      await rm(draft, { force: true });
    }
  };
  return {
    location: files.location,
    list: files.list,
    async write(name, lines) {
      const sums = summing(name);
      await drafted(name, async (draft) => {
        const output = createWriteStream(draft, { mode: 0o600, flush: true });
        await pipeline(sums.ofLines(lines), createGzip(), sums.ofBytes, output);
        return Buffer.from(sums.sums().sha256, 'hex');
      });
      return sums.sums();
    },
    async writeText(name, text) {
      await drafted(name, async (draft) => {
        await writeFile(draft, text, { mode: 0o600, flush: true });
        return createHash('sha256').update(text).digest();
      });
    },
    async read(name) {
      const opened = await files.open(name);
      if (!opened) return null;
      const sums = summing(name);
      const unzipped = createGunzip();
      // An error on the way reaches whoever reads the lines.
      pipeline(opened, sums.ofBytes, unzipped).catch((error) => unzipped.destroy(error));
      unzipped.on('error', () => {}); // it may come before anybody reads
      return { lines: whole(name, sums.readLines(unzipped)), sums: sums.sums, close: () => void opened.destroy() };
    },
    async readText(name) {
      const opened = await files.open(name);
      if (!opened) return null;
      let text = '';
      for await (const chunk of opened.setEncoding('utf8')) {
        text += chunk;
        if (text.length > LONGEST) throw unreadable(name, TOO_LONG);
      }
      return text;
    },
  };
}

const unreadable = (name: string, why: string) => new UnreadableArchive(`${name}: ${why}`);

/** Lines, or what zlib says of a file that is cut off or damaged. */
async function* whole(name: string, lines: AsyncIterable<string>): AsyncGenerator<string> {
  try {
    yield* lines;
  } catch (error) {
    const isDamaged = error instanceof Error && 'code' in error && String(error.code).startsWith('Z_');
    throw isDamaged ? unreadable(name, error.message) : error;
  }
}

/** Counts and hashes what passes. The sums speak once everything has passed. */
function summing(name: string) {
  const [ofFile, ofText] = [createHash('sha256'), createHash('sha256')];
  const counted = { count: 0, bytes: 0 };
  let result: ArchivedFile | undefined;
  return {
    async *ofLines(lines: AsyncIterable<string>) {
      for await (const line of lines) {
        counted.count++;
        ofText.update(`${line}\n`);
        yield `${line}\n`;
      }
    },
    async *readLines(text: Readable) {
      let rest = '';
      for await (const chunk of text.setEncoding('utf8')) {
        const lines = (rest + chunk).split('\n');
        rest = lines.pop() ?? '';
        if (rest.length > LONGEST) throw unreadable(name, TOO_LONG);
        for (const line of lines) {
          counted.count++;
          ofText.update(`${line}\n`);
          yield line;
        }
      }
      if (rest === '') return;
      counted.count++;
      ofText.update(rest);
      yield rest;
    },
    ofBytes: new Transform({
      transform(chunk: Buffer, _, done) {
        counted.bytes += chunk.length;
        ofFile.update(chunk);
        done(null, chunk);
      },
    }),
    sums(): ArchivedFile {
      result ??= { name, ...counted, sha256: ofFile.digest('hex'), lines_sha256: ofText.digest('hex') };
      return result;
    },
  };
}
