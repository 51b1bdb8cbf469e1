import { afterEach, describe, expect, it, vi } from 'vitest';
import { has, postgresPrograms } from './programs.ts';

afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

describe('a program that is not there', () => {
  const looks = {
    'by name': () => has('a-program-of-nobody'),
    "among PostgreSQL's own": () => {
      vi.stubEnv('PATH', '/nowhere');
      return postgresPrograms('/nowhere');
    },
  };

  it.each(Object.entries(looks))('leaves its tests out, and says so, where nobody counts on them: %s', (_, look) => {
    vi.stubEnv('CI', undefined);
    const warned = vi.spyOn(console, 'warn').mockReturnValue();
    expect(look() || null).toBeNull();
    expect(warned).toHaveBeenCalledWith(expect.stringContaining('tests do not run here'));
  });

  it('never leaves them out where CI runs', () => {
    vi.stubEnv('CI', 'true');
    expect(looks['by name']()).toBe(true);
    expect(looks["among PostgreSQL's own"]).toThrow('initdb, pg_ctl, pg_basebackup, pg_verifybackup of PostgreSQL are not installed');
  });
});
