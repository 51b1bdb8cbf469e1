import { afterAll, describe, expect, it } from 'vitest';
import { expectProblem, visible } from '#tests/support/api.ts';
import { HOUR } from '#tests/support/clock.ts';
import { newEmail, OTHER_PASSWORD, PASSWORD, registeredPerson, tryLogin, verifiedPerson } from '#tests/support/people.ts';
import { startService } from '#tests/support/service.ts';

const service = await startService();
const { clock, mail } = service;
const api = service.api();
afterAll(service.stop);

const resend = (email: string) => api.post('/api/auth/resend-verification', { email });

describe('asking for the verification mail again', () => {
  it('[V6.3.8] answers 202 with the same bytes for a waiting, a verified and an unknown address', async () => {
    const [waiting, verified] = [await registeredPerson(service), await verifiedPerson(service)];
    const answers = await Promise.all([waiting.email, verified.email, newEmail()].map(resend));
    for (const answer of answers) {
      expect(answer).toMatchObject({ status: 202, text: '' });
      expect(visible(answer)).toEqual(visible(answers[0] ?? answer));
    }
    expect(await mail.to(waiting.email)).toHaveLength(2);
    expect((await mail.to(verified.email)).filter(({ subject }) => subject.includes('Confirm'))).toHaveLength(1);
  });

  it('sends a link that works, after the first one has expired as well', async () => {
    const person = await registeredPerson(service);
    clock.advance(25 * HOUR);
    await resend(person.email);
    const token = await mail.token(person.email, 'verify-email');
    expect(await api.post('/api/auth/verify-email', { token })).toMatchObject({ status: 200 });
    expect(await tryLogin(api, person)).toMatchObject({ status: 200 });
  });

  it('of an address that several registered hands the account to none of them: its owner sets a password by mail', async () => {
    const email = newEmail();
    await api.post('/api/auth/register', { email, password: PASSWORD });
    clock.advance(1);
    await api.post('/api/auth/register', { email, password: OTHER_PASSWORD }); // by a stranger, who waits for the owner to resend
    await resend(email);
    expect(await api.post('/api/auth/verify-email', { token: await mail.token(email, 'verify-email') })).toMatchObject({ status: 200 });
    for (const password of [PASSWORD, OTHER_PASSWORD]) expectProblem(await tryLogin(api, { email, password }), 'invalid-credentials');
    await api.post('/api/auth/forgot-password', { email });
    const token = await mail.token(email, 'reset-password');
    expect(await api.post('/api/auth/reset-password', { token, new_password: PASSWORD })).toMatchObject({ status: 204 });
    expect(await tryLogin(api, { email, password: PASSWORD })).toMatchObject({ status: 200 });
  });

  it('by a stranger does not kill the link that its owner holds', async () => {
    const person = await registeredPerson(service);
    const token = await mail.token(person.email, 'verify-email');
    await resend(person.email);
    expect(await api.post('/api/auth/verify-email', { token })).toMatchObject({ status: 200 });
  });

  it('[V2.4.1] floods nobody: one address gets as many mails as the limit allows, the answer stays the same', async () => {
    const narrow = await startService({ settings: { RATE_LIMIT_PASSWORD_RESET: '3/hour' } });
    try {
      const { email } = await registeredPerson(narrow);
      for (const ip of ['198.51.100.1', '198.51.100.2', '198.51.100.3', '198.51.100.4', '198.51.100.5']) {
        expect(await narrow.api({ ip }).post('/api/auth/resend-verification', { email })).toMatchObject({ status: 202 });
      }
      expect(await narrow.mail.to(email)).toHaveLength(3);
    } finally {
      await narrow.stop();
    }
  });
});
