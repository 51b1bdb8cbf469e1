import { mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** The code of a page of docs/, by the file name that stands beside its language: ```js verify.mjs */
export function codeOf(page: string): Record<string, string> {
  const text = readFileSync(path.join('docs', page), 'utf8');
  return Object.fromEntries([...text.matchAll(/^```\w+ (\S+)\n([\s\S]*?)^```$/gm)].map(([, name = '', code = '']) => [name, code]));
}

/** A folder with the files of these pages as they stand there, and our packages beside them. */
export function copied(...pages: string[]): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'latchkey-page-'));
  for (const page of pages) for (const [name, code] of Object.entries(codeOf(page))) writeFileSync(path.join(folder, name), code);
  symlinkSync(path.resolve('node_modules'), path.join(folder, 'node_modules'));
  return folder;
}
