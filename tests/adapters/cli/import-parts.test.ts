import { describe, expect, it } from 'vitest';
import { progressBar } from '#cli/progress.ts';
import { seenBefore } from '#cli/seen-before.ts';

describe('what finds two lines that say the same', () => {
  it('knows the first line of each saying, however many there are', () => {
    const seen = seenBefore();
    for (let line = 1; line <= 50_000; line++) expect(seen(`user${line}@example.com`, line)).toBeNull();
    for (let line = 1; line <= 50_000; line += 7) expect(seen(`user${line}@example.com`, 99_999)).toBe(line);
    expect(seen('', 100_000)).toBeNull();
    expect(seen('', 100_001)).toBe(100_000);
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
