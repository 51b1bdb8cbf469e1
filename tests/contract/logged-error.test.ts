import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { loggedError, printedError } from '#src/logged-error.ts';

const REFUSED = Object.assign(new Error('new row for relation "accounts" violates check constraint'), {
  code: '23514',
  constraint_name: 'accounts_erase_at',
  detail: 'Failing row contains (ada@example.com, $argon2id$canary)',
  command: { name: 'auth', args: ['canary'] },
});

it('[V16.2.5] an error in the log says which it is and where it came from, and nothing that it holds', () => {
  const logged = loggedError(new Error('it failed', { cause: REFUSED }));
  expect(logged).toMatchObject({ type: 'Error', message: expect.stringContaining('it failed') });
  expect(loggedError(REFUSED)).toMatchObject({ code: '23514', constraint_name: 'accounts_erase_at' });
  for (const shown of [JSON.stringify([logged, loggedError(REFUSED)]), printedError(REFUSED)]) {
    expect(shown).toContain('violates check constraint');
    expect(shown).not.toMatch(/canary|ada@example\.com/);
  }
});

it('of several errors in one each is shown', () => {
  const refused = (address: string) => Object.assign(new Error(`connect ECONNREFUSED ${address}`), { code: 'ECONNREFUSED', address });
  const error = new AggregateError([refused('::1'), refused('127.0.0.1')]);
  expect(loggedError(error)).toMatchObject({ errors: [{ address: '::1' }, { address: '127.0.0.1', code: 'ECONNREFUSED' }] });
});

it('a process whose end waits for nothing that could come ends with 1 all the same', () => {
  const module = pathToFileURL(path.join(import.meta.dirname, '../../src/ending.ts')).href;
  const code = `import(${JSON.stringify(module)}).then(({ ending }) =>
    ending({ stop: () => new Promise(() => {}), longestMs: () => 100, onError: ({ message }) => console.log(message), exit: process.exit })(0))`;
  const { status, stdout } = spawnSync(process.execPath, ['-e', code], { encoding: 'utf8' });
  expect({ status, stdout }).toEqual({ status: 1, stdout: 'what runs does not stop in time\n' });
});
