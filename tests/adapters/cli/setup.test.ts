import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

/** `latchkey setup` as somebody begins with it, in a folder of its own; tests/contract/secret-files.test.ts has `setup --secrets`. */

let folder: string;
beforeEach(() => {
  folder = realpathSync(mkdtempSync(path.join(tmpdir(), 'latchkey-setup-')));
});
afterEach(() => {
  chmodSync(folder, 0o700);
  rmSync(folder, { recursive: true, force: true });
});

const at = (name: string) => path.join(folder, name);

/** A program of ours, which knows of no setting but those in the folder. @param as what it is started by */
function run(program: string, words: string[], as: string[] = []): { status: number | null; stdout: string; stderr: string } {
  const [command = '', ...args] = [...as, process.execPath, path.resolve(program), ...words];
  return spawnSync(command, args, { cwd: folder, env: { PATH: process.env['PATH'] }, encoding: 'utf8', timeout: 20_000 });
}
const latchkey = (...words: string[]) => run('src/cli/latchkey.ts', words);

/** Every file, by its name from the folder. */
function files(): Record<string, string> {
  const found = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const names = found.map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name))).sort();
  return Object.fromEntries(names.map((name) => [name, readFileSync(at(name), 'utf8')]));
}

/** The KIDs that a manifest names, in the order of `keys list`. */
function kidsIn(dir: string): string[] {
  const { current, next } = JSON.parse(readFileSync(at(`${dir}/manifest.json`), 'utf8'));
  return [current.kid, next.kid];
}

describe('latchkey setup', { timeout: 120_000 }, () => {
  it('makes settings to edit, signing keys and secrets, for nobody else to read, and leaves them alone when it runs again', () => {
    expect(latchkey('setup')).toMatchObject({ status: 0, stderr: '' });
    const made = files();
    const keys = kidsIn('keys').map((kid) => `keys/${kid}.pem`);
    expect(Object.keys(made)).toEqual(['.data/fernet-key', '.data/secret-key', '.env', 'keys/manifest.json', ...keys].sort());
    expect(made['.env']).toBe(readFileSync('.env.example', 'utf8'));
    for (const name of ['.env', '.data/secret-key', '.data/fernet-key', ...keys]) expect(statSync(at(name)).mode & 0o077, name).toBe(0);

    writeFileSync(at('.env'), '# mine');
    expect(latchkey('setup')).toMatchObject({ status: 0, stdout: expect.stringContaining('.env is there'), stderr: '' });
    expect(files()).toEqual({ ...made, '.env': '# mine' });
  });

  it('goes by what .env says, as every command and the service do', () => {
    latchkey('setup');
    writeFileSync(at('.env'), 'KEYS_DIR=other-keys\n');
    expect(latchkey('setup')).toMatchObject({ status: 0, stderr: '' });
    const listed: { kid: string }[] = JSON.parse(latchkey('keys', 'list', '--json').stdout);
    expect(listed.map(({ kid }) => kid)).toEqual(kidsIn('other-keys'));
    expect(kidsIn('other-keys')).not.toEqual(kidsIn('keys'));

    writeFileSync(at('.env'), 'PORT=70000\n');
    const started = run('src/main.ts', []);
    expect(started).toMatchObject({ status: 1, stdout: '' });
    expect(started.stderr).toContain('  - PORT: give a whole number from 0 to 65535');
  });

  it('says in one sentence where to make the secrets, when it can write nothing, as in the image', () => {
    chmodSync(folder, 0o500);
    const asNobodySpecial = process.getuid?.() === 0 ? ['setpriv', '--bounding-set=-all'] : []; // or root would write all the same
    const ran = run('src/cli/latchkey.ts', ['setup'], asNobodySpecial);
    const sentence = `${at('.env')} cannot be written: make what production needs elsewhere, with latchkey setup --secrets DIR\n`;
    expect(ran).toMatchObject({ status: 1, stdout: '', stderr: sentence });
  });
});
