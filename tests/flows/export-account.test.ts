import { afterAll, describe, expect, it } from 'vitest';
import type { z } from 'zod';
import type { AccountExportView } from '#http/account-export.ts';
import { holderOf } from '#tests/support/admins.ts';
import { expectProblem } from '#tests/support/api.ts';
import { MINUTE } from '#tests/support/clock.ts';
import { askedForEmail, movedPerson } from '#tests/support/email-changes.ts';
import { newEmail, PASSWORD, type SignedIn, signedInPerson, signIn, tryLogin, verifiedPerson } from '#tests/support/people.ts';
import { enrolPasskey, enrolPhone, enrolTotp, PHONE_E164, personWithTotp } from '#tests/support/second-factors.ts';
import { startService } from '#tests/support/service.ts';

const service = await startService();
const { clock, sql, mail } = service;
const api = service.api();
afterAll(service.stop);

const get = ({ accessToken }: Pick<SignedIn, 'accessToken'>) => api.get('/api/auth/me/export', accessToken);
const exported = async (person: SignedIn) => {
  const answer = await get(person);
  expect(answer.status, answer.text.slice(0, 500)).toBe(200);
  return { ...answer, body: answer.body as unknown as z.output<typeof AccountExportView> };
};

describe('the export of an account', () => {
  it('holds everything: names, authenticators, sessions, links, messages and events', async () => {
    const person = await enrolPasskey(service, await enrolTotp(service, await enrolPhone(service, await signedInPerson(service))));
    await api.request('PATCH', '/api/auth/me', { body: { display_name: 'Ada' }, token: person.accessToken });
    const { newAddress } = await movedPerson(service, person);
    await mail.to(newAddress);
    const { body } = await exported(person);
    expect(body).toMatchObject({
      format: 'latchkey-account-export',
      version: 1,
      exported_at: clock.now().toISOString(),
      account: { id: person.id, email: newAddress, username: person.username, display_name: 'Ada', has_password: true, status: 'active' },
      authenticators: {
        totp: { created_at: expect.any(String) },
        phone: { number: PHONE_E164 },
        passkeys: [{ id: person.passkeyId }],
        recovery_codes: { remaining: 10 },
      },
    });
    expect(body.sessions.map(({ id }) => id)).toEqual([person.sessionId]);
    expect(body.tickets.map(({ purpose }) => purpose)).toEqual(expect.arrayContaining(['verify-email', 'change-email', 'revert-email']));
    expect(body.tickets.find(({ purpose }) => purpose === 'change-email')?.email).toBe(newAddress);
    expect(new Set(body.messages.map(({ recipient }) => recipient))).toEqual(new Set([person.email, newAddress, PHONE_E164]));
    expect(body.events.at(0)?.type).toBe('ACCOUNT_EXPORTED');
    expect(body.events.at(-1)?.type).toBe('ACCOUNT_REGISTERED');
    const [{ n = 0 } = {}] = await sql<{ n: number }[]>`select count(*)::int as n from audit_events where account_id = ${person.id}`;
    expect(body.events).toHaveLength(n);
  });

  it('names how sessions ended', async () => {
    const person = await signedInPerson(service);
    const other = await signIn(api, person);
    await api.delete(`/api/auth/sessions/${other.sessionId}`, person.accessToken);
    const { sessions } = (await exported(person)).body;
    expect(sessions.map(({ id, end_reason }) => [id, end_reason])).toEqual([
      [person.sessionId, null],
      [other.sessionId, 'ended-by-user'],
    ]);
  });

  it('[V14.2.6] has nothing in it that signs in: no hash, secret, token or code, in whatever form', async () => {
    const person = await enrolPasskey(service, await personWithTotp(service));
    await api.post('/api/auth/forgot-password', { email: person.email });
    const token = await mail.token(person.email, 'reset-password');
    const { text } = await exported(person);
    const [stored] = await sql<{ hash: string; secret: string; key: string; refresh: string }[]>`
      select a.password_hash as hash, t.secret, encode(k.public_key, 'hex') as key, encode(s.refresh_secret_hash, 'hex') as refresh
      from accounts a join totp_authenticators t on t.account_id = a.id join passkeys k on k.account_id = a.id
        join sessions s on s.account_id = a.id where a.id = ${person.id}`;
    const tickets = await sql<{ hash: string }[]>`select encode(secret_hash, 'hex') as hash from tickets where account_id = ${person.id}`;
    const secrets = [PASSWORD, token, person.secret, person.accessToken, person.refreshToken, ...person.recoveryCodes];
    for (const secret of [...secrets, ...Object.values(stored ?? {}), ...tickets.map(({ hash }) => hash)]) {
      for (const form of [secret, Buffer.from(secret, 'hex').toString('base64')]) {
        if (form.length > 8) expect(text.includes(form), form).toBe(false);
      }
    }
    expect(text).not.toMatch(/argon2|sealed|secret_hash|public_key/);
  });

  it('[V14.3.2] is a file for its owner that no cache keeps', async () => {
    const { headers } = await exported(await signedInPerson(service));
    expect(headers).toMatchObject({
      'cache-control': 'no-store',
      'content-disposition': 'attachment; filename="account-export.json"',
      'content-type': 'application/json; charset=utf-8',
      'x-content-type-options': 'nosniff',
    });
  });

  it('[V7.5.3] asks for a recent sign-in, and for both factors where there are two', async () => {
    const [plain, strong] = [await signedInPerson(service), await personWithTotp(service)];
    clock.advance(11 * MINUTE);
    for (const person of [plain, strong]) expectProblem(await get(person), 'insufficient-user-authentication');
    expect(await sql`select 1 from audit_events where type = 'ACCOUNT_EXPORTED' and account_id = ${plain.id}`).toEqual([]);
    await api.post('/api/auth/reauthenticate', { password: PASSWORD }, plain.accessToken);
    expect(await get(plain)).toMatchObject({ status: 200 });
  });

  it('[V8.2.2] has nothing of anybody else', async () => {
    const [person, other] = [await signedInPerson(service), await signedInPerson(service)];
    await tryLogin(api, { ...other, password: 'wrong horse battery' });
    const { text } = await exported(person);
    for (const foreign of [other.id, other.email, other.username, other.sessionId]) expect(text).not.toContain(foreign);
  });

  it('[V6.3.8] is the same whether an address that was asked for is free, has an account, or one that is being deleted', async () => {
    const [owner, leaver] = [await verifiedPerson(service), await signedInPerson(service)];
    await api.delete('/api/auth/me', leaver.accessToken);
    const traces: string[] = [];
    for (const address of [newEmail(), owner.email, leaver.email]) {
      const asker = await askedForEmail(service, await signedInPerson(service), address);
      const [received] = await mail.to(address);
      expect(received?.links.some((link) => link.includes('/change-email'))).toBe(traces.length === 0);
      const { text } = await exported(asker);
      const own = text.replaceAll(address, 'asked').replaceAll(asker.email, 'own').replaceAll(asker.username, 'name');
      const trace: { messages: { template: string }[] } = JSON.parse(own.replaceAll(/[\da-f]{8}-[\da-f-]{27}/g, 'id'));
      trace.messages.sort((one, other) => one.template.localeCompare(other.template)); // those of one instant come in no order
      traces.push(JSON.stringify(trace));
    }
    expect(traces[0]).toContain('EMAIL_CHANGE_REQUESTED');
    expect(traces).toEqual(Array.from({ length: 3 }, () => traces[0]));
  });

  it('[V14.2.6] does not say who of those that administer did something, or where they are', async () => {
    const person = await signedInPerson(service);
    const admin = await holderOf(service, 'admin');
    const office = service.api({ ip: '192.0.2.200', userAgent: 'office-browser/1.0' });
    const patched = await office.request('PATCH', `/api/admin/users/${person.id}`, {
      body: { display_name: 'Ada' },
      token: admin.accessToken,
    });
    expect(patched.status, patched.text).toBe(200);
    const { body, text } = await exported(person);
    const event = body.events.find(({ type }) => type === 'USER_CHANGED');
    expect(event).toMatchObject({ ip: null, user_agent: null, session_id: null, details: { username: false, display_name: true } });
    for (const foreign of [admin.id, admin.sessionId, '192.0.2.200', 'office-browser']) expect(text).not.toContain(foreign);
  });

  it('[V15.2.2] is complete however much there is, though it is read a page at a time', async () => {
    const person = await signedInPerson(service);
    await sql`insert into audit_events (id, occurred_at, type, account_id, ip, request_id, risk, details)
      select gen_random_uuid(), ${clock.now()}, 'TOKEN_REFRESHED', ${person.id}, '192.0.2.1', 'r', 0, '{}' from generate_series(1, 1999)`;
    await sql`insert into outbox (id, kind, account_id, recipient, template, created_at, next_attempt_at, expires_at, sent_at)
      select gen_random_uuid(), 'email', ${person.id}, 'x@example.com', 'x', now(), now(), now(), now() from generate_series(1, 1000)`;
    const expected = await sql<{ events: number; messages: number }[]>`
      select (select count(*)::int from audit_events where account_id = ${person.id}) as events,
        (select count(*)::int from outbox where account_id = ${person.id}) as messages`;
    const { body } = await exported(person);
    expect(new Set(body.events.map(({ id }) => id)).size).toBe((expected[0]?.events ?? 0) + 1);
    expect(new Set(body.messages.map(({ id }) => id)).size).toBe(expected[0]?.messages);
    expect(body.messages).toHaveLength(expected[0]?.messages ?? 0);
  });
});
