import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import { PASSWORD } from '#tests/support/people.ts';
import { walkThrough } from '#tests/support/runbook-walk.ts';
import { until } from '#tests/support/until.ts';

/** The runbooks of what the service leans on, and of what is done by the calendar. */

walkThrough('upkeep', ({ stage, post, account, signInAdmin }) => {
  /** An operator at redis-cli. @returns what it says */
  const redis = async (words: string) => {
    const { code, said } = await stage().run(`redis-cli -e -h "$REDIS_HOST" -p "$REDIS_PORT" ${words}`);
    expect(code, said).toBe(0);
    return said;
  };
  /** What happens to it, until the service has seen it. */
  const redisFails = async (...all: string[]) => {
    for (const words of all) await redis(words);
    await until('the service has seen it', async () => (await fetch(`${stage().origin}/health/ready`)).status === 503, 30);
  };

  let manifest = '';
  const manifestPath = () => path.join(stage().folder, 'secrets/keys/manifest.json');
  /** As one step: the service reads it at any time. */
  const replaceManifest = (text: string) => {
    writeFileSync(`${manifestPath()}.new`, text, { mode: 0o600 });
    renameSync(`${manifestPath()}.new`, manifestPath());
  };

  return [
    {
      page: 'mail-stuck',
      async before() {
        await until(
          'what came before is delivered',
          () => stage().latchkey(['outbox', 'list', '--state', 'waiting', '--json']).trim() === '[]',
        );
        await stage().stopMail();
        await post('forgot-password', { email: account().email });
      },
      says: [/reset-password/, /the mail server does not answer/],
      async after() {
        expect(stage().mail().received).toHaveLength(1);
      },
    },
    {
      page: 'redis-down',
      when: 'Redis is dead',
      sections: ['1. Look', '2. It is gone'],
      before: () => stage().stopRedis(),
      says: [/Redis does not answer/, /tokens are verified/],
    },
    {
      page: 'redis-down',
      when: 'it is full',
      sections: ['1. Look', '3. It is full'],
      before: () =>
        // An empty one fits in less than a megabyte and a half.
        redisFails(
          `eval "return redis.call('set', 'ballast:of-others', string.rep('x', 4194304))" 0`,
          'config set maxmemory-policy noeviction',
          'config set maxmemory 1mb',
        ),
      says: [/"redis": "down"/, /^OOM command not allowed/m, /tokens are verified/, /^maxmemory_human:1\.00M/m, /^ +1 ballast$/m],
      async after() {
        expect((await redis('exists ballast:of-others')).trim()).toBe('1');
      },
    },
    {
      page: 'redis-down',
      when: 'it is the replica of a dead one',
      sections: ['1. Look', '4. It is a replica'],
      before: () => redisFails('replicaof 127.0.0.1 1'),
      says: [/"redis": "down"/, /^READONLY/m, /tokens are verified/, /^role:slave$/m, /^master_link_status:down$/m],
    },
    {
      page: 'redis-down',
      when: 'it cannot save',
      sections: ['1. Look', '5. It cannot save'],
      async before() {
        rmSync(path.join(stage().folder, 'redis'), { recursive: true });
        await redis('config set save "3600 1000000"');
        await redis('bgsave');
        await redisFails();
      },
      says: [/"redis": "down"/, /^MISCONF/m, /tokens are verified/, /^rdb_last_bgsave_status:err$/m],
    },
    {
      page: 'redis-down',
      when: 'another one became the primary',
      sections: ['1. Look', '6. Another Redis'],
      async before() {
        await stage().startOtherRedis();
        await redisFails(`replicaof $(tr : ' ' <<< "$OTHER_REDIS")`);
      },
      says: [/"redis": "down"/, /^READONLY/m, /^OK$/m],
      async after() {
        await stage().stopRedis();
        expect((await post('login', { email: account().email, password: PASSWORD })).status).toBe(200);
        await stage().run('start_redis');
      },
    },
    {
      page: 'hardening',
      async before() {
        await signInAdmin();
        await stage().run('pg_dump -Fc -f "$BACKUPS/nightly.dump"');
      },
      says: [/^0 open$/m],
    },
    {
      page: 'hardening',
      when: 'a key has signed for too long, in a folder that was copied since',
      sections: ['# Hardening checklist', 'Secrets'],
      async before() {
        manifest = readFileSync(manifestPath(), 'utf8');
        const { current, ...rest } = JSON.parse(manifest);
        const signs_since = new Date(Date.now() - 91 * 86_400_000).toISOString();
        replaceManifest(JSON.stringify({ ...rest, current: { ...current, signs_since } }));
      },
      says: [/^OPEN {2}the signing key signs for less than 90 days$/m, /^ok {4}a next signing key is published$/m],
      after: async () => replaceManifest(manifest),
    },
    { page: 'rotate-signing-keys', says: [/is published as next/, /ES256/] },
    {
      page: 'rotate-encryption-keys',
      says: [/^2 of 2 secrets encrypted anew$/m, /^0 of 2 /m, /unbroken/],
    },
  ];
});
