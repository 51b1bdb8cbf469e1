import { type ChildProcess, spawn } from 'node:child_process';
import type { DatabaseAddress } from '#infrastructure/postgres/connect.ts';
import { settingsFor } from './database.ts';

export type Ran = { code: number | null; out: string; err: string; peakBytes: number };

/** The operator's tool as a process of its own, with the flags of `npm run latchkey`, on the database of a test. */
export function latchkeyProcess(
  address: DatabaseAddress,
  args: string[],
  settings: Record<string, string> = {},
): { child: ChildProcess; ended: Promise<Ran> } {
  const env = {
    PATH: process.env['PATH'],
    SECRET_KEY: 'the-secret-key-of-the-tests-and-of-nothing-else',
    FERNET_KEY: 'cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=',
    ...settingsFor(address),
    ...settings,
  };
  const child = spawn(
    process.execPath,
    ['--max-semi-space-size=4', '--import', './tests/support/peak-memory.mjs', 'src/cli/latchkey.ts', ...args],
    {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  const said = { out: '', err: '' };
  child.stdout.on('data', (chunk: Buffer) => {
    said.out += chunk;
  });
  child.stderr.on('data', (chunk: Buffer) => {
    said.err += chunk;
  });
  const ended = new Promise<Ran>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      const [, peak = '0'] = /\npeak=(\d+)\n$/.exec(said.err) ?? [];
      resolve({ code, out: said.out, err: said.err.replace(/\npeak=\d+\n$/, ''), peakBytes: Number(peak) * 1024 });
    });
  });
  return { child, ended };
}
