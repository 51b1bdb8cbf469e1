import { existsSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { PAGES, THEMES, textOf } from '#tests/support/runbook-walk.ts';

describe('the folder of runbooks', () => {
  const pages = readdirSync(PAGES)
    .filter((file) => file.endsWith('.md') && file !== 'README.md')
    .map((file) => file.replace('.md', ''));

  it('has no page that nobody walks through', () => {
    expect(Object.values(THEMES).flat().toSorted()).toEqual(pages.toSorted());
    const walks = Object.keys(THEMES).map((theme) => `runbooks-${theme}.test.ts`);
    expect(walks.filter((file) => !existsSync(new URL(file, import.meta.url)))).toEqual([]);
  });

  it('has an index that names every page', () => {
    expect(pages.filter((page) => !textOf('README').includes(`(${page}.md)`))).toEqual([]);
  });
});
