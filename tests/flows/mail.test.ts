import { afterAll, describe, expect, inject, it } from 'vitest';
import { tally, visible } from '#tests/support/api.ts';
import { newEmail, OTHER_PASSWORD, PASSWORD, registeredPerson, verifiedPerson } from '#tests/support/people.ts';
import { startService } from '#tests/support/service.ts';

/** Counted in process: that Redis counts as well is proved with the limiter, and answers late when fifty hash passwords at once. */
const settings = { RATE_LIMIT_PASSWORD_RESET: '3/hour', FRONTEND_URL: 'http://localhost:3000', REDIS_URL: '' };
const service = await startService({ settings });
const { mail } = service;
afterAll(service.stop);

const from = (index: number) => service.api({ ip: `198.51.${100 + (index % 100)}.7` });
const at50 = <T>(call: (index: number) => Promise<T>) => Promise.all(Array.from({ length: 50 }, (_, index) => call(index)));

/** How many mails there were to an address: those whose link resets its password, and others. */
async function mailedTo(email: string): Promise<{ resets: number; others: number }> {
  const rows = await service.sql<{ template: string }[]>`select template from outbox where lower(recipient) = ${email}`;
  const resets = rows.filter(({ template }) => template === 'reset-password').length;
  return { resets, others: rows.length - resets };
}

describe('a stranger with many addresses', () => {
  it.each([
    ['register', 201, (email: string) => ({ email, password: OTHER_PASSWORD })],
    ['resend-verification', 202, (email: string) => ({ email })],
    ['forgot-password', 202, (email: string) => ({ email })],
  ] as const)(
    '[V2.4.1] cannot flood a mailbox by %s, though fifty come at once: three links to reset and three other mails an hour, the same answer to all',
    async (route, status, body) => {
      for (const { email } of [await verifiedPerson(service), await registeredPerson(service), { email: newEmail() }]) {
        const answers = await at50((index) => from(index).post(`/api/auth/${route}`, body(email)));
        expect(tally(answers)).toEqual({ [status]: 50 });
        for (const answer of answers) expect(visible(answer)).toEqual(visible(answers[0] ?? answer));
        const { resets, others } = await mailedTo(email);
        expect(Math.max(resets, others)).toBeLessThanOrEqual(3);
      }
    },
  );

  it('[V2.4.1] cannot either by all of them together, however the address is written', async () => {
    const { email } = await verifiedPerson(service); // the first of three that are no reset
    await at50((index) => {
      const written = index % 2 === 0 ? email : email.toUpperCase();
      if (index % 3 === 0) return from(index).post('/api/auth/register', { email: written, password: OTHER_PASSWORD });
      return from(index).post(index % 3 === 1 ? '/api/auth/forgot-password' : '/api/auth/resend-verification', { email: written });
    });
    const [first] = await mail.to(email);
    expect(first).toBeDefined();
    const { resets, others } = await mailedTo(email);
    expect(Math.max(resets, others)).toBeLessThanOrEqual(3);
  });

  it('keeps nobody from a link that resets their password by registering their address again and again', async () => {
    const { email } = await verifiedPerson(service);
    await at50((index) => from(index).post('/api/auth/register', { email, password: OTHER_PASSWORD }));
    for (let time = 0; time < 3; time++) await from(51 + time).post('/api/auth/forgot-password', { email });
    expect(await mailedTo(email)).toEqual({ resets: 3, others: 3 });
  });

  it('takes nothing from another mailbox', async () => {
    const [flooded, other] = [newEmail(), await verifiedPerson(service)];
    await at50((index) => from(index).post('/api/auth/forgot-password', { email: flooded }));
    await service.api().post('/api/auth/forgot-password', { email: other.email });
    expect(await mail.token(other.email, 'reset-password')).toHaveLength(43);
  });
});

it('[V13.4.2] mail is kept nowhere and shown to nobody in production', async () => {
  const production = await startService({
    settings: {
      NODE_ENV: 'production',
      ISSUER: 'https://auth.example.com',
      ALLOWED_HOSTS: '127.0.0.1',
      DATABASE_URL: 'postgres://elsewhere/x',
      REDIS_URL: inject('redisUrl') ?? 'redis://elsewhere',
      EMAIL_PROVIDER: 'smtp',
      SMTP_HOST: 'localhost',
      SMTP_PORT: '1',
      EMAILS_FROM_EMAIL: 'no-reply@acme.example',
      SMS_MFA: 'false',
    },
  });
  try {
    await registeredPerson(production);
    expect((await fetch(`${production.origin}/dev/mailbox`)).status).toBe(404);
    expect(await (await fetch(production.origin)).text()).not.toContain('mailbox');
  } finally {
    await production.stop();
  }
});

describe('a mail scanner that opens every link before its reader does', () => {
  it('[V3.5.3] changes nothing, with the token where it is, in the query, or on the API', async () => {
    const { email } = await registeredPerson(service);
    const scan = async () => {
      const messages = await mail.to(email);
      const links = messages.flatMap(({ html }) => [...html.matchAll(/href="([^"]+)"/g)].map(([, href = '']) => new URL(href)));
      expect(links.length).toBeGreaterThan(0);
      for (const { pathname, hash } of links) {
        const token = new URLSearchParams(hash.slice(1)).get('token');
        for (const path of [pathname, `${pathname}?token=${token}`, `/api/auth${pathname}?token=${token}`]) {
          for (const method of ['GET', 'HEAD', 'OPTIONS']) await fetch(service.origin + path, { method, redirect: 'follow' });
        }
      }
    };
    await scan();
    const token = await mail.token(email, 'verify-email');
    expect(await service.api().post('/api/auth/verify-email', { token })).toMatchObject({ status: 200 });

    await service.api().post('/api/auth/forgot-password', { email });
    await scan();
    const reset = { token: await mail.token(email, 'reset-password'), new_password: OTHER_PASSWORD };
    expect(await service.api().post('/api/auth/login', { email, password: PASSWORD })).toMatchObject({ status: 200 });
    expect(await service.api().post('/api/auth/reset-password', reset)).toMatchObject({ status: 204 });
  });

  it('[V14.2.1] finds no token in the part of a link that servers log', async () => {
    const { email } = await registeredPerson(service);
    await service.api().post('/api/auth/forgot-password', { email });
    for (const { links } of await mail.to(email)) {
      for (const link of links.map((text) => new URL(text))) {
        expect(`${link.search}${link.pathname}`).not.toMatch(/[\w-]{43}/);
        expect(link.origin).toBe('http://localhost:3000');
      }
    }
  });
});
