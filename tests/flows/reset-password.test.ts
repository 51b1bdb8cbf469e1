import { connect } from 'node:net';
import { afterAll, describe, expect, it } from 'vitest';
import { expectProblem, tally, visible } from '#tests/support/api.ts';
import { MINUTE } from '#tests/support/clock.ts';
import { movedPerson } from '#tests/support/email-changes.ts';
import {
  newEmail,
  OTHER_PASSWORD,
  PASSWORD,
  registeredPerson,
  signedInPerson,
  signIn,
  tryLogin,
  verifiedPerson,
} from '#tests/support/people.ts';
import { startService } from '#tests/support/service.ts';

const service = await startService();
const { clock, sql, mail } = service;
const api = service.api();
afterAll(service.stop);

const forgot = (email: string) => api.post('/api/auth/forgot-password', { email });
const reset = (token: string, password = OTHER_PASSWORD) => api.post('/api/auth/reset-password', { token, new_password: password });

async function resetToken(email: string): Promise<string> {
  expect(await forgot(email)).toMatchObject({ status: 202 });
  return await mail.token(email, 'reset-password');
}

describe('asking for a reset link', () => {
  it('[V6.3.8] answers 202 with the same bytes whoever is asked for', async () => {
    const [verified, waiting, suspended] = [await verifiedPerson(service), await registeredPerson(service), await verifiedPerson(service)];
    await sql`update accounts set status = 'suspended' where id = ${suspended.id}`;
    const answers = await Promise.all(
      [verified.email, waiting.email, suspended.email, newEmail(), verified.email.toUpperCase()].map(forgot),
    );
    for (const answer of answers) {
      expect(answer).toMatchObject({ status: 202, text: '' });
      expect(visible(answer)).toEqual(visible(answers[0] ?? answer));
    }
    expect((await mail.to(suspended.email)).filter(({ subject }) => subject.includes('Set a new password'))).toEqual([]);
  });

  it('mails a link to FRONTEND_URL with the token in the fragment, whatever Host and X-Forwarded-Host say', async () => {
    const { email } = await verifiedPerson(service);
    const headers = {
      'x-forwarded-host': 'evil.example',
      'x-forwarded-proto': 'https',
      forwarded: 'host=evil.example',
      origin: 'https://evil.example',
    };
    await api.request('POST', '/api/auth/forgot-password', { body: { email }, headers });
    const [message] = await mail.to(email);
    expect(message?.links).toEqual([expect.stringMatching(/^https:\/\/app\.example\.com\/reset-password#token=[\w-]{43}$/)]);
    expect(`${message?.text}${message?.html}`).not.toContain('evil.example');
  });

  it('refuses a Host that is not served, so that it is mailed nothing', async () => {
    const { email } = await verifiedPerson(service);
    const before = await mail.to(email);
    const answer = await api.request('POST', '/api/auth/forgot-password', { body: { email }, headers: { host: 'evil.example' } });
    expectProblem(answer, 'misdirected-request');
    expect(await mail.to(email)).toEqual(before);
  });

  it('[V4.1.3] is not fooled by two Hosts, an absolute URI, or headers that name another one: no mail names it', async () => {
    const { email } = await verifiedPerson(service);
    const own = new URL(service.origin).host;
    const path = '/api/auth/forgot-password';
    const tries = [
      [`POST ${path} HTTP/1.1`, `Host: ${own}`, 'Host: evil.example'],
      [`POST ${path} HTTP/1.1`, 'Host: evil.example', `Host: ${own}`],
      [`POST http://evil.example${path} HTTP/1.1`, `Host: ${own}`],
      [`POST http://${own}${path} HTTP/1.1`, 'Host: evil.example'],
      [`POST ${path} HTTP/1.1`, `Host: ${own}@evil.example`],
      [
        `POST ${path} HTTP/1.1`,
        `Host: ${own}`,
        'X-Original-URL: http://evil.example/',
        'X-Host: evil.example',
        'X-Forwarded-Server: evil.example',
      ],
    ];
    const statuses: string[] = [];
    for (const lines of tries) statuses.push(await raw(lines, JSON.stringify({ email })));
    expect(statuses).toEqual(['421', '421', '421', '421', '421', '202']);
    const mails = await mail.to(email);
    expect(mails.filter(({ subject }) => subject.startsWith('Set a new password'))).toHaveLength(1);
    for (const { text, html } of mails) expect(`${text}${html}`).not.toContain('evil.example');
  });

  it('is audited with whether somebody has the address', async () => {
    const requests = [await forgot((await verifiedPerson(service)).email), await forgot(newEmail())];
    const ids = requests.map(({ headers }) => headers['x-request-id'] ?? '');
    const events =
      await sql`select request_id, details from audit_events where type = 'PASSWORD_RESET_REQUESTED' and request_id in ${sql(ids)}`;
    const known = new Map(events.map((event) => [event['request_id'], event['details'].known]));
    expect(ids.map((id) => known.get(id))).toEqual([true, false]);
  });

  it('[V2.4.1] is limited per address of the caller and per account', async () => {
    const narrow = await startService({ settings: { RATE_LIMIT_PASSWORD_RESET: '3/hour' } });
    try {
      const { email } = await verifiedPerson(narrow);
      const asks = [1, 2, 3, 4].map(() => narrow.api({ ip: '198.51.100.1' }).post('/api/auth/forgot-password', { email: newEmail() }));
      expect(tally(await Promise.all(asks))).toEqual({ '202': 3, 'rate-limited': 1 });
      for (const ip of ['198.51.100.2', '198.51.100.3', '198.51.100.4', '198.51.100.5']) {
        expect(await narrow.api({ ip }).post('/api/auth/forgot-password', { email })).toMatchObject({ status: 202 });
      }
      const links = await narrow.sql`select from outbox where recipient = ${email} and template = 'reset-password'`;
      expect(links).toHaveLength(3);
    } finally {
      await narrow.stop();
    }
  });
});

describe('setting a new password with the link', () => {
  it('works once, ends every session, opens none, and a mail tells of it', async () => {
    const person = await signedInPerson(service);
    const other = await signIn(api, person);
    const token = await resetToken(person.email);
    const answer = await reset(token);
    expect(answer).toMatchObject({ status: 204, text: '' });
    expect(answer.headers).not.toHaveProperty('set-cookie');

    for (const { accessToken, refreshToken } of [person, other]) {
      expectProblem(await api.get('/api/auth/me', accessToken), 'unauthenticated');
      expectProblem(await api.post('/api/auth/refresh', { refresh_token: refreshToken }), 'invalid-refresh-token');
    }
    expectProblem(await tryLogin(api, person), 'invalid-credentials');
    await signIn(api, { ...person, password: OTHER_PASSWORD });
    expectProblem(await reset(token), 'invalid-token');
    expect((await mail.to(person.email))[0]?.subject).toContain('new password was set');
    const events = await sql`select risk, details from audit_events where type = 'PASSWORD_RESET' and account_id = ${person.id}`;
    expect(events).toMatchObject([{ risk: 30, details: { ended: 2 } }]);
  });

  it('[V2.3.4] works for exactly one of fifty at once', async () => {
    const token = await resetToken((await verifiedPerson(service)).email);
    const answers = await Promise.all(Array.from({ length: 50 }, () => reset(token)));
    expect(tally(answers)).toEqual({ '204': 1, 'invalid-token': 49 });
  });

  it('works for 30 minutes and not any longer', async () => {
    const [late, tooLate] = [
      await resetToken((await verifiedPerson(service)).email),
      await resetToken((await verifiedPerson(service)).email),
    ];
    clock.advance(30 * MINUTE - 1);
    expect(await reset(late)).toMatchObject({ status: 204 });
    clock.advance(1);
    expectProblem(await reset(tooLate), 'invalid-token');
  });

  it('works with the newest link only', async () => {
    const { email } = await verifiedPerson(service);
    const first = await resetToken(email);
    const second = await resetToken(email);
    expectProblem(await reset(first), 'invalid-token');
    expect(await reset(second)).toMatchObject({ status: 204 });
  });

  it('does not work any more once the account has another address', async () => {
    const person = await signedInPerson(service);
    const token = await resetToken(person.email);
    const { newAddress } = await movedPerson(service, person);
    expectProblem(await reset(token), 'invalid-token');
    await signIn(api, { ...person, email: newAddress });
  });

  it('[V14.2.1] is taken from the body alone: a token in the query string sets nothing and stays good', async () => {
    const person = await verifiedPerson(service);
    const token = await resetToken(person.email);
    const path = `/api/auth/reset-password?token=${token}`;
    expectProblem(await api.post(path, { new_password: OTHER_PASSWORD }), 'invalid-request');
    expectProblem(await api.post(`${path}&new_password=${encodeURIComponent(OTHER_PASSWORD)}`, {}), 'invalid-request');
    expectProblem(await api.get(path), 'method-not-allowed');
    await signIn(api, person);
    expect(await reset(token)).toMatchObject({ status: 204 });
  });

  it('tells why a password is refused, and does not use the token up', async () => {
    const { email } = await verifiedPerson(service);
    const token = await resetToken(email);
    const weak = await reset(token, 'password1');
    expectProblem(weak, 'password-policy');
    expect(weak.body.errors).toEqual([{ pointer: '/new_password', detail: expect.stringContaining('attackers') }]);
    expectProblem(await reset(token, email.split('@')[0]), 'password-policy');
    expect(await reset(token)).toMatchObject({ status: 204 });
  });

  it('tells nothing of the password rules to who has no token', async () => {
    expectProblem(await reset('A'.repeat(43), 'short'), 'invalid-token');
  });

  it('lifts the lockout', async () => {
    const person = await verifiedPerson(service);
    for (let time = 0; time < 5; time++) await tryLogin(api, { ...person, password: 'wrong horse battery' });
    await api.post('/api/auth/login', { username: person.username, password: 'wrong horse battery' });
    expectProblem(await tryLogin(api, person), 'account-locked');
    await reset(await resetToken(person.email));
    await signIn(api, { ...person, password: OTHER_PASSWORD });
  });

  it('verifies the address: who holds the link reads its mail', async () => {
    const person = await registeredPerson(service);
    expect(await reset(await resetToken(person.email))).toMatchObject({ status: 204 });
    const { body } = await tryLogin(api, { ...person, password: OTHER_PASSWORD });
    expect(body.user.email_verified).toBe(true);
  });

  it('kills the links of registrations that wait: none of them can change the password afterwards', async () => {
    const email = newEmail();
    await api.post('/api/auth/register', { email, password: PASSWORD });
    await api.post('/api/auth/register', { email, password: 'a stranger chose this one' });
    const strangers = await mail.token(email, 'verify-email');
    await reset(await resetToken(email));
    expectProblem(await api.post('/api/auth/verify-email', { token: strangers }), 'invalid-token');
    expect(await tryLogin(api, { email, password: OTHER_PASSWORD })).toMatchObject({ status: 200 });
  });
});

/** Sends a request as it stands, byte for byte. @returns the status of the answer */
function raw(lines: readonly string[], body: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(service.origin);
    const socket = connect(Number(port), hostname, () => {
      const head = [...lines, 'Content-Type: application/json', `Content-Length: ${Buffer.byteLength(body)}`, 'Connection: close'];
      socket.write(`${head.join('\r\n')}\r\n\r\n${body}`);
    });
    let text = '';
    socket.on('error', reject).on('close', () => resolve(text.split(' ')[1] ?? ''));
    socket.setEncoding('utf8').on('data', (chunk) => {
      text += chunk;
    });
  });
}
