import { decodeJwt } from 'jose';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { eventOf, holderOf, rolesOf, withoutAdmins } from '#tests/support/admins.ts';
import { expectProblem } from '#tests/support/api.ts';
import { signedInPerson, tokensOf } from '#tests/support/people.ts';
import { personWithTotp, preAuthOf, signInWithTotp } from '#tests/support/second-factors.ts';
import { startService } from '#tests/support/service.ts';

const service = await startService();
const { sql, mail } = service;
const api = service.api();
afterAll(service.stop);
beforeEach(() => withoutAdmins(service));

const change = (actor: { accessToken: string }, { id }: { id: string }, roles: string[]) =>
  api.put(`/api/admin/users/${id}/roles`, { roles }, actor.accessToken);

describe('roles', () => {
  it('that are given hold at once; the session stays, and its next token says so', async () => {
    const admin = await holderOf(service, 'admin');
    const person = await personWithTotp(service);
    expectProblem(await api.get('/api/admin/users', person.accessToken), 'forbidden');
    const { status, body } = await change(admin, person, ['user', 'moderator']);
    expect({ status, roles: body.roles }).toEqual({ status: 200, roles: ['moderator', 'user'] });
    expect((await api.get('/api/admin/users', person.accessToken)).status).toBe(200);
    const { accessToken } = tokensOf(await api.post('/api/auth/refresh', { refresh_token: person.refreshToken }));
    expect(decodeJwt(accessToken)).toMatchObject({ roles: ['moderator', 'user'], scope: 'users:read users:lock' });
    expect((await mail.to(person.email))[0]?.text).toMatch(/Your roles are now: moderator, user/);
  });

  it('[V8.3.2] that are taken end every session: no token with them is accepted any more', async () => {
    const admin = await holderOf(service, 'admin');
    const staff = await holderOf(service, 'staff');
    const preAuth = await preAuthOf(api, staff);
    expect((await change(admin, staff, ['user'])).status).toBe(200);
    expectProblem(await api.get('/api/auth/me', staff.accessToken), 'unauthenticated');
    expectProblem(await api.post('/api/auth/refresh', { refresh_token: staff.refreshToken }), 'invalid-refresh-token');
    expectProblem(await api.post('/api/auth/verify-mfa', { pre_auth_token: preAuth, method: 'totp', code: '000000' }), 'invalid-token');
    const again = await signInWithTotp(service, staff);
    expect(decodeJwt(again.accessToken)).toMatchObject({ roles: ['user'], scope: '' });
    expectProblem(await api.get('/api/admin/users', again.accessToken), 'forbidden');
  });

  it('are audited with what they were and who changed them; the same again changes nothing', async () => {
    const admin = await holderOf(service, 'admin');
    const person = await signedInPerson(service);
    for (let i = 0; i < 2; i++) expect((await change(admin, person, ['staff', 'user', 'staff'])).status).toBe(200);
    const event = await eventOf(service, 'USER_ROLES_CHANGED', person.id);
    expect(event).toMatchObject({
      risk: 60,
      details: {
        actor_id: admin.id,
        actor_session_id: admin.sessionId,
        before: { roles: ['user'] },
        after: { roles: ['staff', 'user'], sessions_ended: 0 },
      },
    });
    expect(await sql`select from audit_events where type = 'USER_ROLES_CHANGED' and account_id = ${person.id}`).toHaveLength(1);
    expect((await api.get('/api/auth/me', person.accessToken)).status).toBe(200);
  });

  it.each([['staff'], ['moderator'], ['user']] as const)('[V8.2.1] are not for %s to give, to themselves least of all', async (role) => {
    const actor = await holderOf(service, role);
    const person = await signedInPerson(service);
    for (const target of [actor, person]) expectProblem(await change(actor, target, ['admin']), 'forbidden');
    expect(await rolesOf(service, person.id)).toEqual(['user']);
  });

  it.each([['root'], ['users:read'], ['ADMIN'], [''], ['user,admin'], ['user', '{admin}']])(
    'are those of the catalogue, not %j',
    async (...roles) => {
      const admin = await holderOf(service, 'admin');
      expectProblem(await change(admin, admin, roles), 'invalid-request');
    },
  );

  it('of somebody who is not there are not found', async () => {
    const admin = await holderOf(service, 'admin');
    expectProblem(await change(admin, { id: '00000000-0000-7000-8000-000000000000' }, ['user']), 'not-found');
  });
});

describe('the last active admin', () => {
  it('cannot give the role away, until there is another', async () => {
    const admin = await holderOf(service, 'admin');
    const other = await holderOf(service, 'staff');
    expectProblem(await change(admin, admin, ['staff']), 'conflict');
    expect((await change(admin, other, ['admin'])).status).toBe(200);
    expect((await change(admin, admin, ['staff'])).status).toBe(200);
    expect(await rolesOf(service, admin.id)).toEqual(['staff']);
    expectProblem(await api.get('/api/auth/me', admin.accessToken), 'unauthenticated');
  });

  it('[V15.4.2] is still there when two demote each other, fifty times at once', async () => {
    const [one, two] = [await holderOf(service, 'admin'), await holderOf(service, 'admin')];
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) => (i % 2 === 0 ? change(one, two, ['user']) : change(two, one, ['user']))),
    );
    expect(answers.filter(({ status }) => status >= 500)).toEqual([]);
    expect(await sql`select from accounts where 'admin' = any (roles)`).toHaveLength(1);
  });

  it('[V15.4.2] is still there when each of two gives the role away at once', async () => {
    const [one, two] = [await holderOf(service, 'admin'), await holderOf(service, 'admin')];
    const answers = await Promise.all([one, two].map((admin) => change(admin, admin, ['user'])));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409]);
    expect(await sql`select from accounts where 'admin' = any (roles)`).toHaveLength(1);
  });
});
