import { decodeJwt } from 'jose';
import { afterAll, describe, expect, it } from 'vitest';
import { eventOf, holderOf } from '#tests/support/admins.ts';
import { expectProblem, tally } from '#tests/support/api.ts';
import { MINUTE } from '#tests/support/clock.ts';
import { signedInPerson } from '#tests/support/people.ts';
import { personWithTotp, preAuthOf } from '#tests/support/second-factors.ts';
import { startService } from '#tests/support/service.ts';
import { serviceClient } from '#tests/support/service-clients.ts';

const service = await startService();
const { sql, clock } = service;
const api = service.api();
const { id, secret, authorization } = await serviceClient(service, 'orders');
afterAll(service.stop);

const call = (path: string, sent: { body?: unknown; raw?: string; headers?: Record<string, string> }) =>
  api.request('POST', `/api/auth/${path}`, { ...sent, headers: { authorization, ...sent.headers } });
const introspect = (token: string) => call('introspect', { body: { token } });
const revoke = (token: string) => call('revoke', { body: { token } });
const FORM = { 'content-type': 'application/x-www-form-urlencoded' };

describe('introspection', () => {
  it('tells of a living access token what it says, as JSON and as a form', async () => {
    const { accessToken, id: sub, sessionId } = await holderOf(service, 'staff');
    const answer = await introspect(accessToken);
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({ ...decodeJwt(accessToken), active: true, token_type: 'Bearer' });
    expect(answer.body).toMatchObject({ sub, sid: sessionId });
    const form = await call('introspect', {
      raw: new URLSearchParams({ token: accessToken, token_type_hint: 'access_token' }).toString(),
      headers: FORM,
    });
    expect(form.body).toEqual(answer.body);
  });

  it('[V7.4.1] knows at once what ended: a logout, a suspension, time', async () => {
    const [one, two, three] = [await signedInPerson(service), await signedInPerson(service), await signedInPerson(service)];
    await api.post('/api/auth/logout', undefined, one.accessToken);
    await sql`update accounts set status = 'suspended' where id = ${two.id}`;
    for (const { accessToken } of [one, two]) expect((await introspect(accessToken)).text).toBe('{"active":false}');
    expect((await introspect(three.accessToken)).body).toMatchObject({ active: true });
    clock.advance(15 * MINUTE);
    expect((await introspect(three.accessToken)).text).toBe('{"active":false}');
  });

  it('[V9.2.2] says of everything else that it is not active, and nothing else', async () => {
    const person = await personWithTotp(service);
    const preAuth = await preAuthOf(api, person);
    const [head, body] = person.accessToken.split('.');
    for (const token of [person.refreshToken, preAuth, 'rubbish', `${head}.${body}.AAAA`, secret, id, 'x'.repeat(8192)]) {
      const answer = await introspect(token);
      expect(`${answer.status} ${answer.text}`).toBe('200 {"active":false}');
    }
  });

  it.each([
    ['nothing', { body: {} }],
    ['an unknown field', { body: { token: 'x', client: 'y' } }],
    ['a field twice', { raw: 'token=a&token=b', headers: FORM }],
    ['text that is none', { raw: 'token=%00', headers: FORM }],
    ['too long a token', { body: { token: 'x'.repeat(8193) } }],
  ])('refuses %s as a bad request', async (_, sent) => expectProblem(await call('introspect', sent), 'invalid-request'));

  it('takes a form here alone', async () => {
    const answer = await api.request('POST', '/api/auth/login', { raw: 'email=a%40example.com&password=x', headers: FORM });
    expectProblem(answer, 'unsupported-media-type');
  });
});

describe('revocation', () => {
  it.each(['accessToken', 'refreshToken'] as const)('[V7.4.1] by the %s ends the session, both tokens, and is audited', async (kind) => {
    const person = await signedInPerson(service);
    const answer = await revoke(person[kind]);
    expect(`${answer.status} ${answer.text}`).toBe('200 ');
    expectProblem(await api.get('/api/auth/me', person.accessToken), 'unauthenticated');
    expectProblem(await api.post('/api/auth/refresh', { refresh_token: person.refreshToken }), 'invalid-refresh-token');
    expect((await introspect(person.accessToken)).text).toBe('{"active":false}');
    expect(await eventOf(service, 'TOKEN_REVOKED', person.id)).toMatchObject({
      session_id: person.sessionId,
      details: { client_id: id, client_name: 'orders' },
    });
  });

  it('of a token that nobody knows, or again, is fine (RFC 7009 2.2)', async () => {
    const { accessToken } = await signedInPerson(service);
    for (const token of [accessToken, accessToken, 'rubbish']) expect((await revoke(token)).status).toBe(200);
    expect(
      await sql`select from audit_events where type = 'TOKEN_REVOKED' and session_id = ${decodeJwt(accessToken)['sid'] as string}`,
    ).toHaveLength(1);
  });
});

describe('the credentials of a service', () => {
  it('[V11.5.1] are 256 random bits, kept as a hash, and audited without it', async () => {
    const made = await serviceClient(service, 'billing');
    expect(Buffer.from(made.secret, 'base64url')).toHaveLength(32);
    const rows = await sql<
      { row: string }[]
    >`select to_jsonb(c)::text as row from service_clients c union all select to_jsonb(e)::text from audit_events e`;
    expect(rows.filter(({ row }) => row.includes(made.secret))).toEqual([]);
    const [event] = await sql`select details from audit_events where type = 'SERVICE_CLIENT_MADE' order by id desc limit 1`;
    expect(event?.['details']).toEqual({ before: null, after: { id: made.id, name: 'billing' } });
  });

  it('end with their revocation, at once', async () => {
    const { authorization: own, id: ownId } = await serviceClient(service);
    const { accessToken } = await signedInPerson(service);
    const ask = () => api.request('POST', '/api/auth/introspect', { body: { token: accessToken }, headers: { authorization: own } });
    expect((await ask()).status).toBe(200);
    await sql`update service_clients set revoked_at = now() where id = ${ownId}`;
    expectProblem(await ask(), 'unauthenticated');
  });

  it('[V6.3.1] cannot be guessed at will, while those who have them are not held up', async () => {
    const limited = await startService({
      settings: { RATE_LIMIT_PER_IP: '5/hour', DATABASE_POOL_SIZE: '3' },
      database: service.database,
      clock,
    });
    try {
      const ask = (given: string) =>
        limited.api().request('POST', '/api/auth/introspect', { body: { token: 'x' }, headers: { authorization: given } });
      for (let i = 0; i < 20; i++) expect((await ask(authorization)).status).toBe(200);
      const wrong = `Basic ${Buffer.from(`${id}:${'A'.repeat(43)}`).toString('base64')}`;
      const answers = [];
      for (let i = 0; i < 8; i++) answers.push(await ask(wrong));
      expect(tally(answers)).toEqual({ unauthenticated: 5, 'rate-limited': 3 });
      expect((await ask(authorization)).status).toBe(200);
    } finally {
      await limited.stop();
    }
  });
});
