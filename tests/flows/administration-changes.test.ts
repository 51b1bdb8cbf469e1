import { afterAll, expect, it } from 'vitest';
import { holderOf } from '#tests/support/admins.ts';
import { type Answer, expectProblem } from '#tests/support/api.ts';
import { OTHER_PASSWORD, PASSWORD, signedInPerson, tokensOf, tryLogin } from '#tests/support/people.ts';
import { nextCode, type WithTotp } from '#tests/support/second-factors.ts';
import { startService } from '#tests/support/service.ts';

/** What holds for each changing route of administration: a new one that is not here fails the first test. */
const service = await startService();
const { sql, clock } = service;
const api = service.api({ ip: '198.51.100.1' });
afterAll(service.stop);

type Change = { of: () => Promise<string>; path: (id: string) => string; body?: object; events: string[] };

/** Somebody with a session and a failure. */
const person = async () => {
  const somebody = await signedInPerson(service);
  await tryLogin(api, { ...somebody, password: 'not this one' });
  return somebody.id;
};
let octet = 0;
const block = async () => {
  octet += 1;
  const admin = await holderOf(service, 'admin');
  const body = { network: `203.0.113.${octet}`, reason: 'a test' };
  return (await api.post('/api/admin/ip-blocks', body, admin.accessToken)).body.id;
};
const users = (rest: string) => (id: string) => `/api/admin/users/${id}${rest}`;
const CHANGES: Record<string, Change> = {
  'PATCH /api/admin/users/{id}': { of: person, path: users(''), body: { status: 'suspended' }, events: ['USER_SUSPENDED'] },
  'DELETE /api/admin/users/{id}': { of: person, path: users(''), events: ['USER_DELETED'] },
  'PUT /api/admin/users/{id}/roles': { of: person, path: users('/roles'), body: { roles: ['staff'] }, events: ['USER_ROLES_CHANGED'] },
  'POST /api/admin/users/{id}/unlock': { of: person, path: users('/unlock'), events: ['USER_UNLOCKED'] },
  'DELETE /api/admin/users/{id}/sessions': { of: person, path: users('/sessions'), events: ['USER_SESSIONS_ENDED'] },
  'POST /api/admin/ip-blocks': {
    of: async () => '203.0.113.200',
    path: () => '/api/admin/ip-blocks',
    body: { network: '203.0.113.200', reason: 'a test' },
    events: ['IP_BLOCKED'],
  },
  'DELETE /api/admin/ip-blocks/{id}': { of: block, path: (id) => `/api/admin/ip-blocks/${id}`, events: ['IP_UNBLOCKED'] },
};

async function make(name: string, { path, body }: Change, id: string, token: string): Promise<Answer> {
  return await api.request(name.split(' ')[0] ?? '', path(id), { token, ...(body ? { body } : {}) });
}
const trail = async () => await sql`select type, details from audit_events where type like 'USER\_%' or type like 'IP\_%' order by id`;

it('every changing route of administration is looked at below', () => {
  const changing = service.routes.filter(({ method, path }) => path.startsWith('/api/admin/') && method !== 'GET');
  expect(changing.map(({ method, path }) => `${method} ${path}`).sort()).toEqual(Object.keys(CHANGES).sort());
});

it.each(Object.entries(CHANGES))('[V16.2.1] %s leaves one event with before, after and who did it', async (name, change) => {
  const admin = await holderOf(service, 'admin');
  const id = await change.of();
  const before = (await trail()).length;
  const answer = await make(name, change, id, admin.accessToken);
  expect(answer.status, answer.text).toBeLessThan(300);
  const events = (await trail()).slice(before);
  expect(events.map(({ type }) => type)).toEqual(change.events);
  for (const { details } of events) {
    expect(Object.keys(details)).toEqual(expect.arrayContaining(['actor_id', 'before', 'after']));
    expect(details['actor_id']).toBe(admin.id);
    expect(details['before']).not.toEqual(details['after']);
  }
});

it.each(Object.entries(CHANGES))('[V7.5.3] %s asks for step-up, and changes and records nothing without', async (name, change) => {
  const admin: WithTotp = await holderOf(service, 'admin');
  const id = await change.of();
  clock.advance(601);
  const before = (await trail()).length;
  expectProblem(await make(name, change, id, admin.accessToken), 'insufficient-user-authentication');
  expect((await trail()).length).toBe(before);
});

it.each(Object.entries(CHANGES))('[V7.4.1] %s is closed to the tokens from before a new password, fifty at once', async (name, change) => {
  const admin = await holderOf(service, 'admin');
  const id = await change.of();
  const body = { method: 'totp', code: nextCode(service, admin) };
  await api.post('/api/auth/reauthenticate', body, admin.accessToken);
  const fresh = { current_password: PASSWORD, new_password: OTHER_PASSWORD };
  const stolen = tokensOf(
    await api.post('/api/auth/verify-mfa', {
      pre_auth_token: (await api.post('/api/auth/login', { email: admin.email, password: PASSWORD })).body.pre_auth_token,
      ...{ method: 'totp', code: nextCode(service, admin) },
    }),
  );
  tokensOf(await api.post('/api/auth/change-password', fresh, admin.accessToken));
  const before = (await trail()).length;
  for (const answer of await Promise.all(Array.from({ length: 50 }, () => make(name, change, id, stolen.accessToken))))
    expectProblem(answer, 'unauthenticated');
  expect((await trail()).length).toBe(before);
});
