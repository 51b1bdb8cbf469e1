import { expect } from 'vitest';
import { walkThrough } from '#tests/support/runbook-walk.ts';
import { until } from '#tests/support/until.ts';

/** The runbooks of what the service leans on, and of what is done by the calendar. */

walkThrough('upkeep', ({ stage, post, account, signInAdmin }) => [
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
  { page: 'redis-down', before: () => stage().stopRedis(), says: [/Redis does not answer/, /tokens are verified/] },
  {
    page: 'hardening',
    async before() {
      await signInAdmin();
      await stage().run('pg_dump -Fc -f "$BACKUPS/nightly.dump"');
    },
    says: [/^0 open$/m],
  },
  { page: 'rotate-signing-keys', says: [/is published as next/, /ES256/] },
  {
    page: 'rotate-encryption-keys',
    says: [/^2 of 2 secrets encrypted anew$/m, /^0 of 2 /m, /unbroken/],
  },
]);
