import { execFileSync, spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { openedForTests } from '#tests/adapters/postgres/opened.ts';
import { settingsFor } from '#tests/support/database.ts';

const here = openedForTests();
const COMMAND = ['src/cli/latchkey.ts', 'migrate'];
const production = () => ({ PATH: process.env['PATH'], NODE_ENV: 'production' });

describe('latchkey migrate, as the job of a release', () => {
  it('asks for nothing but the database, in production too', () => {
    const env = { ...production(), ...settingsFor(here.address) };
    expect(execFileSync(process.execPath, COMMAND, { env, encoding: 'utf8' })).toBe('The schema is up to date\n');
  });

  it('makes no database of its own in production', () => {
    const { status, stderr } = spawnSync(process.execPath, COMMAND, { env: production(), encoding: 'utf8' });
    expect({ status, stderr }).toEqual({ status: 1, stderr: 'DATABASE_URL: production needs it\n' });
  });
});
