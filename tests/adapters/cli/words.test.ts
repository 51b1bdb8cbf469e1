import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, inject, it } from 'vitest';
import { type Command, optionsOf, usageOf, verbsOf } from '#cli/command.ts';
import { COMMANDS } from '#cli/commands.ts';
import { latchkey } from '#cli/latchkey.ts';
import { nearest } from '#cli/nearest.ts';
import { counting } from '#cli/progress.ts';
import { startEmbeddedPostgres } from '#infrastructure/embedded/embedded-postgres.ts';
import { migrate } from '#infrastructure/postgres/migrate.ts';
import { versionOfPackage } from '#src/version.ts';
import { openedForTests } from '#tests/adapters/postgres/opened.ts';
import { runLatchkey } from '#tests/support/cli.ts';
import { latchkeyProcess } from '#tests/support/command.ts';
import { createDatabase, dropDatabase, inDatabase } from '#tests/support/database.ts';

const here = openedForTests();
const all = await Promise.all(Object.entries(COMMANDS).map(async ([name, load]): Promise<[string, Command]> => [name, await load()]));

async function say(...words: string[]): Promise<{ code: number; out: string; err: string }> {
  const [out, err]: string[][] = [[], []];
  const code = await latchkey(words, { print: (line) => void out?.push(line), complain: (line) => void err?.push(line) });
  return { code, out: out?.join('\n') ?? '', err: err?.join('\n') ?? '' };
}

describe('the commands', () => {
  /** "Command line" of the contract, and `audit restore` of the auditors. */
  const PROMISED: Record<string, string[]> = {
    setup: [],
    migrate: [],
    keys: ['list', 'generate', 'rotate', 'retire'],
    users: ['create', 'list', 'import', 'export'],
    clients: ['create', 'list', 'revoke'],
    audit: ['archive', 'verify', 'tail', 'restore'],
    doctor: [],
    docs: [],
  };
  it.each(Object.entries(PROMISED))('has what was promised of %s', async (name, verbs) => {
    expect(verbsOf(name, (await COMMANDS[name]?.()) ?? { help: '' })).toEqual(expect.arrayContaining(verbs));
  });

  it.each(all)('explains %s: how it is used, and by examples that fit its own words', async (name, command) => {
    for (const words of [
      [name, '--help'],
      [name, '-h'],
      ['help', name],
      [name, 'anything', '--help'],
    ])
      expect(await say(...words)).toEqual({ code: 0, out: command.help, err: '' });
    expect(command.help).toMatch(/^Usage: latchkey /);
    expect(command.help.split('\n').filter((line) => line.length > 150)).toEqual([]);
    const [, examples = ''] = command.help.split('\nExamples:\n');
    expect(examples.trim().split('\n').length).toBeGreaterThan(1);
    for (const [, example = ''] of examples.matchAll(new RegExp(`latchkey ${name}((?: (?![|&>])\\S+)*)`, 'g'))) {
      const words = example.trim().split(' ');
      const verbs = verbsOf(name, command);
      if (verbs.length > 0) expect(verbs, example).toContain(words[0]);
      const options = words.filter((word) => word.startsWith('--')).map((word) => word.replace(/=.*/, ''));
      expect(optionsOf({ help: `${usageOf(command)}\n${command.help.split('\nExamples:\n')[0]}` }), example).toEqual(
        expect.arrayContaining(options),
      );
    }
  });

  it.each(all)('offers --json wherever %s lists', (name, command) => {
    for (const use of usageOf(command).split('\n'))
      if (/ (list|verify|archive|doctor)\b/.test(use)) expect(use, name).toContain('[--json]');
  });

  it('takes no secret on the command line: a file or standard input has it', () => {
    const options = all.flatMap(([, command]) => optionsOf(command));
    const secret = options.filter((option) => /pass|secret|token|key/.test(option));
    expect(new Set(secret)).toEqual(new Set(['--password-stdin', '--fernet-key-file', '--key-file', '--secrets']));
  });

  it('names all of them, and the exit codes, in its own help', async () => {
    for (const words of [['--help'], ['-h'], ['help']]) {
      const { code, out } = await say(...words);
      expect(code).toBe(0);
      for (const [name, { summary }] of all) expect(out).toContain(`${name.padEnd(8)} ${summary}`);
      expect(out).toMatch(/ends with 0 .*with 1 .*\n.*with 2 /);
    }
    expect((await say()).code).toBe(2);
  });

  it.each([['--version'], ['-V'], ['version']])('names its version: %s', async (word) => {
    expect(await say(word)).toEqual({ code: 0, out: `latchkey ${versionOfPackage()}`, err: '' });
  });
});

describe('npm run --silent latchkey', { timeout: 120_000 }, () => {
  it('prints what the command does, and no line of its own, so that scripts can read it', () => {
    const [words, env] = [['run', '--silent', 'latchkey', '--'], { PATH: process.env['PATH'] }];
    const run = (...more: string[]) => spawnSync('npm', [...words, ...more], { env, encoding: 'utf8' });
    expect(run('--version')).toMatchObject({ status: 0, stdout: `latchkey ${versionOfPackage()}\n` });
    expect(run('bake-bread')).toMatchObject({ status: 2, stdout: '' });
  });
});

describe('words that are off', () => {
  it.each([
    [['kyes'], 'There is no command "kyes"; did you mean "keys"?'],
    [['Doctor'], 'There is no command "Doctor"; did you mean "doctor"?'],
    [['constructor'], 'There is no command "constructor".'],
    [['bake-bread'], 'There is no command "bake-bread".'],
    [['keys', 'lst'], 'latchkey keys has no "lst"; did you mean "list"?'],
    [['clients', 'delete-all'], 'latchkey clients has no "delete-all", but create, list, revoke.'],
    [['audit'], 'Say what to do: verify, archive, restore, tail.'],
    [['users', 'list', '--rol', 'admin'], 'There is no option --rol; did you mean --role?'],
    [['users', 'create', '--json'], '--json is an option of another verb.'],
    [['users', 'create', '--password=hunter2'], 'There is no option --password; did you mean --password-stdin?'],
    [['outbox', 'list', '--everything'], 'There is no option --everything.'],
    [['outbox', 'list', '--limit'], "Option '--limit <value>' argument missing"],
  ])('%j: %s', async (words, message) => {
    const { code, out, err } = await say(...words);
    expect({ code, out, first: err.split('\n')[0] }).toEqual({ code: 2, out: '', first: message });
    expect(err).toContain('\n\nUsage: latchkey ');
    expect(err).not.toContain('hunter2');
  });

  it('guesses what is near, and nothing else', () => {
    const known = ['list', 'generate', 'rotate', 'retire'];
    expect(['lsit', 'lis', 'gen', 'rotaet', 'retyre'].map((word) => nearest(word, known))).toEqual([
      'list',
      'list',
      'generate',
      'rotate',
      'retire',
    ]);
    expect(['x', 'destroy', ''].map((word) => nearest(word, ['list', 'generate']))).toEqual([null, null, null]);
  });
});

describe('when the database is down', () => {
  const COMMANDS_WITH_DATABASE = [
    ['migrate'],
    ['users', 'list'],
    ['users', 'export', '--out', path.join(tmpdir(), 'latchkey-never-written.ndjson')],
    ['clients', 'list'],
    ['outbox', 'list'],
    ['secrets', 'reencrypt'],
    ['audit', 'verify'],
  ];
  it.each(COMMANDS_WITH_DATABASE.map((words) => [words]))('says where nobody answers, in one line: %j', async (words) => {
    const ran = await runLatchkey(words, { url: 'postgres://latchkey:hunter2@127.0.0.1:9/latchkey' }, { SECRET_KEY: 'x'.repeat(32) });
    const message = 'PostgreSQL does not answer at 127.0.0.1:9: is it running, and is DATABASE_URL right?';
    expect(ran).toEqual({ code: 1, printed: [], complained: [message] });
  });

  it('says what to do where there is no schema yet', async () => {
    const name = await createDatabase(inject('postgres'));
    try {
      const address = inDatabase(inject('postgres'), name);
      for (const words of [
        ['users', 'list'],
        ['outbox', 'list'],
      ])
        expect(await runLatchkey(words, address, { SECRET_KEY: 'x'.repeat(32) }), words.join(' ')).toMatchObject({
          code: 1,
          complained: [expect.stringContaining('run "latchkey migrate" first.')],
        });
    } finally {
      await dropDatabase(inject('postgres'), name);
    }
  });

  it('does not wait for one that accepts and keeps silent', async () => {
    const sockets: net.Socket[] = [];
    const silent = net.createServer((socket) => sockets.push(socket.on('error', () => {})));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = silent.address() as AddressInfo;
      const ran = await runLatchkey(['outbox', 'list'], { url: `postgres://a:b@127.0.0.1:${port}/x` });
      expect(ran).toMatchObject({ code: 1, complained: [expect.stringContaining(`PostgreSQL does not answer at 127.0.0.1:${port}`)] });
    } finally {
      for (const socket of sockets) socket.destroy();
      silent.close();
    }
  });

  it('ends a process with 1, one line and no stack', async () => {
    const ran = await latchkeyProcess({ url: 'postgres://a:b@127.0.0.1:9/x' }, ['users', 'list']).ended;
    expect(ran).toMatchObject({ code: 1, out: '', err: expect.stringMatching(/^PostgreSQL does not answer at 127.0.0.1:9: .*\n$/) });
  });
});

describe('beside other programs', () => {
  it('works on the embedded database that a running service keeps', async () => {
    const dataDir = mkdtempSync(path.join(tmpdir(), 'latchkey-words-'));
    const embedded = await startEmbeddedPostgres(dataDir, () => {});
    try {
      await migrate(embedded.address, new Date());
      const settings = { DATABASE_URL: undefined, DATA_DIR: dataDir };
      const made = await runLatchkey(['users', 'create', '--email', 'ada@example.com', '--role', 'admin'], here.address, settings);
      expect(made).toMatchObject({ code: 0, complained: [] });
      const { printed } = await runLatchkey(['users', 'list', '--json'], here.address, settings);
      expect(JSON.parse(printed.join(''))).toMatchObject([{ id: made.printed[0], email: 'ada@example.com', roles: ['admin'] }]);
    } finally {
      await embedded.stop();
      rmSync(dataDir, { recursive: true, force: true });
    }
  });

  it('is content when its reader has enough', async () => {
    const child = spawn(process.execPath, ['src/cli/latchkey.ts', '--help'], { stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.destroy();
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => {
      said += chunk;
    });
    const code = await new Promise((resolve) => child.once('close', resolve));
    expect({ code, said }).toEqual({ code: 0, said: '' });
  });

  it.runIf(existsSync('/dev/full'))('says so when what it prints is lost', () => {
    const command = '"$0" src/cli/latchkey.ts --help >/dev/full';
    const { status, stderr } = spawnSync('sh', ['-c', command, process.execPath], { encoding: 'utf8' });
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: expect.stringMatching(/^What was done stays; what it has to say about it cannot be written: .*ENOSPC.*\n$/),
    });
  });

  it('keeps compiled code beside its own, and nowhere that others can write to', async () => {
    const shared = mkdtempSync(path.join(tmpdir(), 'latchkey-tmp-'));
    const [given, others] = [path.join(shared, 'given'), path.join(shared, 'others')];
    mkdirSync(others);
    const run = (env: Record<string, string>) =>
      execFileSync(process.execPath, ['src/cli/latchkey.ts', '--help'], { env: { PATH: process.env['PATH'], TMPDIR: others, ...env } });
    run({});
    expect(readdirSync(others)).toEqual([]);
    run({ NODE_COMPILE_CACHE: given });
    expect(readdirSync(given)).toHaveLength(1); // it does keep it
    rmSync(shared, { recursive: true });
  });

  it('strips no TypeScript at the first start of a service that `npm ci` compiled', () => {
    const given = mkdtempSync(path.join(tmpdir(), 'latchkey-tmp-'));
    const env = { PATH: process.env['PATH'], NODE_COMPILE_CACHE: given };
    execFileSync(process.execPath, ['tools/runtime/compile.mjs'], { env });
    // It has loaded all that it starts with when it finds the mistake in its settings.
    const started = { ...env, PORT: 'none', DATA_DIR: given, NODE_DEBUG_NATIVE: 'COMPILE_CACHE' };
    const { stderr } = spawnSync(process.execPath, ['src/main.ts'], { env: started, encoding: 'utf8' });
    const asked = stderr.split('\n').filter((line) => line.includes('reading cache from') && line.includes('for StrippedTypeScript'));
    expect(asked.filter((line) => line.includes('/src/start.ts'))).toHaveLength(1);
    expect(asked.filter((line) => !line.includes('success'))).toEqual([]);
    rmSync(given, { recursive: true });
  });

  it('counts on a terminal, and writes nothing into a log', async () => {
    const written: string[] = [];
    const stream = (isTTY: boolean) => ({ isTTY, write: (text: string) => written.push(text) }) as unknown as NodeJS.WriteStream;
    const work = async (tell: (count: number) => void) => {
      tell(7);
      return 'done';
    };
    expect(await counting('events proved', work, stream(false))).toBe('done');
    expect(written).toEqual([]);
    expect(await counting('events proved', work, stream(true))).toBe('done');
    expect(written).toEqual(['\r\x1b[K… 7 events proved', '\r\x1b[K']);
  });
});
