import { lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Output } from '#cli/command.ts';
import { progressBar } from '#cli/progress.ts';
import { openRejects } from '#cli/rejects.ts';
import { openSeenBefore } from '#cli/seen-before.ts';
import type { Entry } from '#cli/user-file.ts';

describe('what finds two lines that say the same', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'latchkey-seen-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  it('knows the first line of each saying, however many there are, and leaves no file behind', () => {
    const seen = openSeenBefore(path.join(folder, 'users.ndjson'));
    for (let line = 1; line <= 60_000; line++) expect(seen.lineOf(`user${line}@example.com`, line)).toBeNull(); // its table grows once
    for (let line = 1; line <= 60_000; line++) expect(seen.lineOf(`user${line}@example.com`, 99_999)).toBe(line);
    expect(seen.lineOf('', 100_000)).toBeNull();
    expect(seen.lineOf('', 4_294_967_295)).toBe(100_000);
    expect(readdirSync(folder)).toEqual([]);
    seen.close();
  });
});

describe('the file of rejected lines', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'latchkey-rejects-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  it('is always a new one: it follows no link, and who held an older one open reads nothing of it', async () => {
    const [elsewhere, file] = [path.join(folder, 'elsewhere'), path.join(folder, 'users.ndjson.rejects.ndjson')];
    writeFileSync(elsewhere, 'as it was', { mode: 0o644 });
    symlinkSync(elsewhere, file);
    const rejects = await openRejects(file, { print() {}, complain() {} } as unknown as Output);
    await rejects.add({ line: 7, text: 'a line with a hash' } as Entry, 'no e-mail');
    expect(await rejects.close()).toBe(file);
    expect(readFileSync(elsewhere, 'utf8')).toBe('as it was');
    expect(lstatSync(file).isFile()).toBe(true);
    expect(lstatSync(file).mode & 0o777).toBe(0o600);
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({ line: 7, reason: 'no e-mail', input: 'a line with a hash' });
  });
});

describe('the progress bar', () => {
  const shown = (isTTY: boolean) => {
    const written: string[] = [];
    const bar = progressBar({ isTTY, write: (text: string) => written.push(text) } as unknown as NodeJS.WriteStream);
    bar.show(0.5, 'half');
    bar.show(0.6, 'too soon after');
    bar.show(1, 'all');
    bar.end();
    return written.map((text) => text.replace('\r\x1b[K', ''));
  };

  it('is drawn on a terminal, not too often, and cleared at the end', () => {
    expect(shown(true)).toEqual([`[${'#'.repeat(15)}${'.'.repeat(15)}] 50 %  half`, `[${'#'.repeat(30)}] 100 %  all`, '']);
  });

  it('leaves logs alone', () => {
    expect(shown(false)).toEqual([]);
  });
});
