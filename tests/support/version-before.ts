import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const git = (...words: string[]) => execFileSync('git', words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();

/** The commit on this branch before the newest migration came; null without history. Where CI runs there must be one. */
export function commitBeforeNewestMigration(): string | null {
  try {
    const newest = git('log', '-1', '--first-parent', '-m', '--format=%H', '--', 'drizzle/meta/_journal.json');
    return git('rev-parse', '--verify', `${newest}^1`);
  } catch (error) {
    if (process.env['CI'])
      throw new Error('The history that the version before is taken from is not here: fetch all of it', { cause: error });
    console.warn('There is no git history: the version before is not tried here');
    return null;
  }
}

/** Its code in a folder of its own, on the packages of today. */
export function checkedOut(commit: string): { folder: string; migrations: string[]; remove(): void } {
  const folder = mkdtempSync(path.join(tmpdir(), 'latchkey-before-'));
  const archive = execFileSync('git', ['archive', commit, 'src', 'drizzle', 'tools', 'package.json'], { maxBuffer: 64 * 1024 * 1024 });
  execFileSync('tar', ['-x', '-C', folder], { input: archive });
  symlinkSync(path.resolve('node_modules'), path.join(folder, 'node_modules'));
  const journal = JSON.parse(git('show', `${commit}:drizzle/meta/_journal.json`)) as { entries: { tag: string }[] };
  return { folder, migrations: journal.entries.map(({ tag }) => tag), remove: () => rmSync(folder, { recursive: true, force: true }) };
}
