import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newFernetKey } from '#infrastructure/crypto/fernet.ts';
import { settingsFor, type TestDatabase, testDatabase } from '#tests/support/database.ts';
import { newEmail } from '#tests/support/people.ts';
import { has } from '#tests/support/programs.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'latchkey-progress-'));
const at = (name: string) => path.join(folder, name);
const secrets = { SECRET_KEY: 'x'.repeat(32), FERNET_KEY: newFernetKey() };
let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase();
  const user = { email: newEmail(), email_verified: true, password_hash: '$2b$04$eIAq8PRfJzOmJkyY3Rp.buvxZjF.CfzcVJ/tF0zVJjAhQBHJKfRZC' };
  writeFileSync(at('users.ndjson'), `${JSON.stringify(user)}\n`);
});
afterAll(async () => {
  await database.drop();
  rmSync(folder, { recursive: true });
});

/** What a person sees who runs it on a terminal: util-linux's `script` makes one. */
async function seenOf(args: readonly string[]): Promise<string> {
  const words = [process.execPath, 'src/cli/latchkey.ts', ...args].map((word) => `'${word}'`).join(' ');
  const env = { PATH: process.env['PATH'], ...secrets, ...settingsFor(database.address) };
  return (await promisify(execFile)('script', ['-qec', words, '/dev/null'], { env })).stdout;
}

describe.runIf(has('script', 'script --version | grep -q util-linux'))('on a terminal', () => {
  // In this order: who is not imported is neither exported nor forced.
  it.each([
    ['import', [at('users.ndjson')], /\[#{30}\] 100 % {2}1 users, 0 rejected/],
    ['export', ['--out', at('all.ndjson')], /\[#{30}\] 100 % {2}1 users/],
    ['force-reset', ['--all'], /\[#{30}\] 100 % {2}1 of 1 accounts, 1 forced/],
  ])('users %s draws how far it is', async (verb, options, bar) => {
    expect(await seenOf(['users', verb, ...options])).toMatch(bar);
  });
});
