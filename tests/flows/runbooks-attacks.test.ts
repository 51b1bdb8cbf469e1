import { expect } from 'vitest';
import { newEmail, PASSWORD } from '#tests/support/people.ts';
import { walkThrough } from '#tests/support/runbook-walk.ts';
import { until } from '#tests/support/until.ts';

/** The runbooks of days on which somebody is where they should not be. */

const THIEF = '198.51.100.7';
const ATTACKER = '203.0.113.9';

walkThrough('attacks', ({ stage, post, account, signInAdmin }) => {
  const signIn = (email: string, from?: string) => post('login', { email, password: PASSWORD }, from === undefined ? {} : { from });
  let stolen = { email: '' };
  let reached = { email: '' };
  return [
    {
      page: 'token-theft',
      async before() {
        await signInAdmin();
        stolen = account();
        const { body } = await signIn(stolen.email);
        const next = await post('refresh', { refresh_token: body['refresh_token'] }, { from: THIEF });
        await post('refresh', { refresh_token: next.body['refresh_token'] }, { from: THIEF });
        expect((await post('refresh', { refresh_token: body['refresh_token'] }, { from: THIEF })).status).toBe(401);
      },
      says: [/REFRESH_TOKEN_REUSED/, /\b1 forced, 0 were already/, /192\.0\.2\.0\/24/],
      async after() {
        expect((await signIn(stolen.email)).status).toBe(401);
      },
    },
    {
      page: 'under-attack',
      async before() {
        await signInAdmin();
        reached = account();
        expect((await signIn(reached.email, ATTACKER)).status).toBe(200);
        for (let i = 0; i < 24; i++) await post('login', { email: newEmail(), password: 'from another leak' }, { from: ATTACKER });
      },
      says: [/\b1 forced/, /203\.0\.113\.0\/24/, /honest sign-ins work/],
      async after() {
        expect((await signIn(reached.email)).status).toBe(401);
        await until('the service has heard of the block', async () => (await signIn(reached.email, ATTACKER)).status === 403);
      },
    },
    { page: 'key-leak', says: [/\d+ forced/] },
    {
      page: 'mass-password-reset',
      says: [/would be forced/, /\b1 forced, 0 were already/],
      async after() {
        expect(stage().sql("select count(*) from accounts where password_hash is not null and status = 'active'")).toBe('0');
      },
    },
  ];
});
