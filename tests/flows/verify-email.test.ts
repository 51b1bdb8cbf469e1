import { afterAll, describe, expect, it } from 'vitest';
import { expectProblem, tally } from '#tests/support/api.ts';
import { DAY, HOUR, MINUTE } from '#tests/support/clock.ts';
import { newEmail, newUsername, OTHER_PASSWORD, PASSWORD, registeredPerson, tryLogin } from '#tests/support/people.ts';
import { startService } from '#tests/support/service.ts';

const service = await startService();
const { clock, sql, mail } = service;
const api = service.api();
/** Where an address gets three mails an hour. */
const narrow = await startService({ settings: { RATE_LIMIT_PASSWORD_RESET: '3/hour', REDIS_URL: '' } });
afterAll(service.stop);
afterAll(narrow.stop);

const verify = (token: string) => api.post('/api/auth/verify-email', { token });

describe('verifying an address', () => {
  it('works once with the token of the link', async () => {
    const person = await registeredPerson(service);
    const token = await mail.token(person.email, 'verify-email');
    expect(await verify(token)).toMatchObject({ status: 200, text: '{"status":"verified"}' });
    expectProblem(await verify(token), 'invalid-token');
    expect(await tryLogin(api, person)).toMatchObject({ status: 200 });
  });

  it('[V7.6.2] opens no session', async () => {
    const person = await registeredPerson(service);
    const answer = await verify(await mail.token(person.email, 'verify-email'));
    expect(answer.headers).not.toHaveProperty('set-cookie');
    expect(await sql`select id from sessions where account_id = ${person.id}`).toEqual([]);
  });

  it('[V15.4.2] works for exactly one of fifty at once', async () => {
    const token = await mail.token((await registeredPerson(service)).email, 'verify-email');
    const answers = await Promise.all(Array.from({ length: 50 }, () => verify(token)));
    expect(tally(answers)).toEqual({ '200': 1, 'invalid-token': 49 });
  });

  it('works until 24 hours have passed and not any longer', async () => {
    const [late, tooLate] = [await registeredPerson(service), await registeredPerson(service)];
    const tokens = [await mail.token(late.email, 'verify-email'), await mail.token(tooLate.email, 'verify-email')] as const;
    clock.advance(24 * HOUR - 1);
    expect(await verify(tokens[0])).toMatchObject({ status: 200 });
    clock.advance(1);
    expectProblem(await verify(tokens[1]), 'invalid-token');
  });

  it('refuses tokens that nobody made', async () => {
    for (const token of ['x', 'A'.repeat(43), 'lk_rt_AAAA', '../../etc/passwd', "' or 1=1 --", '🦉']) {
      expectProblem(await verify(token), 'invalid-token');
    }
  });

  it('refuses the token of a reset link, and reset refuses this one', async () => {
    const person = await registeredPerson(service);
    const verifyToken = await mail.token(person.email, 'verify-email');
    await api.post('/api/auth/forgot-password', { email: person.email });
    const resetToken = await mail.token(person.email, 'reset-password');
    expectProblem(await verify(resetToken), 'invalid-token');
    expectProblem(await api.post('/api/auth/reset-password', { token: verifyToken, new_password: OTHER_PASSWORD }), 'invalid-token');
  });
});

describe('an address that several people registered before its owner verified it', () => {
  it('gets the password, the names and the account of whoever opened the link of their own registration', async () => {
    const email = newEmail();
    const [stranger, owner] = [newUsername(), newUsername()];
    await api.post('/api/auth/register', { email, username: stranger, display_name: 'Stranger', password: OTHER_PASSWORD });
    await api.post('/api/auth/register', { email, username: owner, display_name: 'Owner', password: PASSWORD });
    const token = await mail.token(email, 'verify-email');
    expect(await verify(token)).toMatchObject({ status: 200 });

    expectProblem(await tryLogin(api, { email, password: OTHER_PASSWORD }), 'invalid-credentials');
    const answer = await tryLogin(api, { email, password: PASSWORD });
    expect(answer.body.user).toMatchObject({ email, username: owner, display_name: 'Owner', email_verified: true });
  });

  it('leaves the links of the others without effect', async () => {
    const email = newEmail();
    await api.post('/api/auth/register', { email, password: OTHER_PASSWORD });
    const first = await mail.token(email, 'verify-email');
    await api.post('/api/auth/register', { email, password: PASSWORD });
    expect(await verify(await mail.token(email, 'verify-email'))).toMatchObject({ status: 200 });
    expectProblem(await verify(first), 'invalid-token');
    expect(await tryLogin(api, { email, password: PASSWORD })).toMatchObject({ status: 200 });
  });

  it('gets no password by a link that is sent again, though the others ended long ago', async () => {
    const email = newEmail();
    await api.post('/api/auth/register', { email, password: OTHER_PASSWORD });
    await api.post('/api/auth/register', { email, password: PASSWORD });
    clock.advance(3 * DAY);
    await api.post('/api/auth/resend-verification', { email });
    expect(await verify(await mail.token(email, 'verify-email'))).toMatchObject({ status: 200 });
    for (const password of [OTHER_PASSWORD, PASSWORD]) expectProblem(await tryLogin(api, { email, password }), 'invalid-credentials');
  });

  it('does not take a name over that somebody else has got meanwhile', async () => {
    const email = newEmail();
    const username = newUsername();
    await api.post('/api/auth/register', { email, password: OTHER_PASSWORD });
    await api.post('/api/auth/register', { email, username, password: PASSWORD });
    const token = await mail.token(email, 'verify-email');
    await sql`update accounts set username = ${username}, username_canonical = ${username} where id = ${(await registeredPerson(service)).id}`;
    expect(await verify(token)).toMatchObject({ status: 200 });
    expect((await tryLogin(api, { email, password: PASSWORD })).body.user).toMatchObject({ username: null });
  });

  describe('so often that the owner’s own mail was one too many', () => {
    const ofNarrow = narrow.api();

    async function crowdedAddress(): Promise<string> {
      const email = newEmail();
      for (let i = 0; i < 3; i++) await ofNarrow.post('/api/auth/register', { email, password: OTHER_PASSWORD });
      expect(await ofNarrow.post('/api/auth/register', { email, password: PASSWORD })).toMatchObject({ status: 201 });
      expect(await narrow.mail.to(email)).toHaveLength(3);
      return email;
    }

    it('gets no password by a link: the owner, who opens a stranger’s, chooses one by mail', async () => {
      const email = await crowdedAddress();
      const opened = await narrow.mail.token(email, 'verify-email');
      expect(await ofNarrow.post('/api/auth/verify-email', { token: opened })).toMatchObject({ status: 200 });
      for (const password of [OTHER_PASSWORD, PASSWORD]) {
        expectProblem(await tryLogin(ofNarrow, { email, password }), 'invalid-credentials');
      }
      await ofNarrow.post('/api/auth/forgot-password', { email });
      const token = await narrow.mail.token(email, 'reset-password');
      expect(await ofNarrow.post('/api/auth/reset-password', { token, new_password: PASSWORD })).toMatchObject({ status: 204 });
      expect(await tryLogin(ofNarrow, { email, password: PASSWORD })).toMatchObject({ status: 200 });
    });

    it('gets none by a stranger’s either, when that is the only one that its owner ever gets', async () => {
      const email = newEmail();
      for (let i = 0; i < 3; i++) await ofNarrow.post('/api/auth/resend-verification', { email }); // for nobody yet
      expect(await ofNarrow.post('/api/auth/register', { email, password: PASSWORD })).toMatchObject({ status: 201 });
      expect(await narrow.mail.to(email)).toHaveLength(0);
      narrow.clock.advance(30 * MINUTE);
      await ofNarrow.post('/api/auth/register', { email, password: OTHER_PASSWORD });
      const token = await narrow.mail.token(email, 'verify-email');
      expect(await ofNarrow.post('/api/auth/verify-email', { token })).toMatchObject({ status: 200 });
      for (const password of [OTHER_PASSWORD, PASSWORD]) {
        expectProblem(await tryLogin(ofNarrow, { email, password }), 'invalid-credentials');
      }
    });

    it('gets none by the links that follow either, as long as one of those is open', async () => {
      const email = await crowdedAddress();
      narrow.clock.advance(30 * MINUTE);
      await ofNarrow.post('/api/auth/register', { email, password: OTHER_PASSWORD });
      expect(await narrow.mail.to(email)).toHaveLength(4);
      const token = await narrow.mail.token(email, 'verify-email');
      expect(await ofNarrow.post('/api/auth/verify-email', { token })).toMatchObject({ status: 200 });
      expectProblem(await tryLogin(ofNarrow, { email, password: OTHER_PASSWORD }), 'invalid-credentials');
    });
  });
});
