import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { eventOf, holderOf, withoutAdmins } from '#tests/support/admins.ts';
import { expectProblem, tally } from '#tests/support/api.ts';
import { heldUp } from '#tests/support/held-up.ts';
import {
  newEmail,
  newUsername,
  OTHER_PASSWORD,
  registeredPerson,
  signedInPerson,
  signIn,
  tryLogin,
  verifiedPerson,
} from '#tests/support/people.ts';
import { enrolTotp, nextCode, personWithTotp, preAuthOf, signInWithTotp, verifyMfa, wrongCode } from '#tests/support/second-factors.ts';
import { startService } from '#tests/support/service.ts';

const service = await startService();
const { sql, clock, mail } = service;
const api = service.api();
afterAll(service.stop);
beforeEach(() => withoutAdmins(service));

const USERS = '/api/admin/users';
const of = ({ id }: { id: string }, rest = '') => `${USERS}/${id}${rest}`;
const listed = async (token: string, query: string) => {
  const answer = await api.get(`${USERS}?${query}`, token);
  expect(answer.status, answer.text).toBe(200);
  return answer.body;
};

describe('the list of users', () => {
  it('is read page by page, the newest first, each user once', async () => {
    const admin = await holderOf(service, 'admin');
    for (let i = 0; i < 5; i++) await registeredPerson(service);
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const page: { users: { id: string }[]; next_cursor: string | null } = await listed(
        admin.accessToken,
        `limit=2${cursor === null ? '' : `&cursor=${cursor}`}`,
      );
      expect(page.users.length).toBeLessThanOrEqual(2);
      seen.push(...page.users.map(({ id }) => id));
      cursor = page.next_cursor;
    } while (cursor !== null);
    const all = await sql<{ id: string }[]>`select id from accounts order by id desc`;
    expect(seen).toEqual(all.map(({ id }) => id));
  });

  it('is read page by page by what begins with a prefix too, address or name, each user once', async () => {
    const admin = await holderOf(service, 'admin');
    const prefix = newUsername();
    for (let i = 0; i < 6; i++) {
      const person = await registeredPerson(service);
      // Some by both, some by one of the two.
      if (i < 4)
        await sql`update accounts set email = ${`${prefix}${i}@x.org`}, email_canonical = ${`${prefix}${i}@x.org`} where id = ${person.id}`;
      if (i > 1)
        await sql`update accounts set username = ${`${prefix}${i}`}, username_canonical = ${`${prefix}${i}`} where id = ${person.id}`;
    }
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const page: { users: { id: string }[]; next_cursor: string | null } = await listed(
        admin.accessToken,
        `query=${prefix}&limit=1${cursor === null ? '' : `&cursor=${cursor}`}`,
      );
      seen.push(...page.users.map(({ id }) => id));
      cursor = page.next_cursor;
    } while (cursor !== null);
    expect(seen).toHaveLength(6);
    expect(new Set(seen).size).toBe(6);
  });

  it('is narrowed by what an address or a name begins with, by role and by status', async () => {
    const admin = await holderOf(service, 'admin');
    const staff = await holderOf(service, 'staff');
    const person = await registeredPerson(service);
    await sql`update accounts set status = 'suspended' where id = ${person.id}`;
    const found = async (query: string) => (await listed(admin.accessToken, query)).users.map(({ id }) => id);
    expect(await found(`query=${person.email.slice(0, 9).toUpperCase()}`)).toEqual([person.id]);
    expect(await found(`query=${person.username.slice(0, 9)}`)).toEqual([person.id]);
    expect(await found(`query=${encodeURIComponent(person.email)}`)).toEqual([person.id]);
    expect(await found('role=staff')).toEqual([staff.id]);
    expect(await found('role=admin')).toEqual([admin.id]);
    expect(await found('role=moderator')).toEqual([]);
    expect(await found('status=suspended')).toEqual([person.id]);
    expect(await found(`query=${person.username.slice(0, 9)}&role=user&status=suspended`)).toEqual([person.id]);
    expect(await found(`query=${person.username.slice(0, 9)}&status=active`)).toEqual([]);
    expect(await found('role=user&limit=100')).toContain(admin.id);
  });

  it('and one of them is found and changed by an id in capitals too', async () => {
    const admin = await holderOf(service, 'admin');
    const person = await registeredPerson(service);
    const path = of({ id: person.id.toUpperCase() });
    expect((await api.get(path, admin.accessToken)).body).toMatchObject({ id: person.id });
    expect((await api.patch(path, { display_name: 'Found' }, admin.accessToken)).status).toBe(200);
    expect((await api.delete(path, admin.accessToken)).status).toBe(204);
  });

  it.each(['%', '_', 'p%', "' or 1=1 --", '\\', '\u{10ffff}', 'ö'])('takes %j for what it is: the beginning of nobody', async (query) => {
    const { accessToken } = await holderOf(service, 'admin');
    expect((await listed(accessToken, `query=${encodeURIComponent(query)}`)).users).toEqual([]);
  });

  it.each([
    'limit=0',
    'limit=101',
    'limit=x',
    'cursor=x',
    `cursor=${Buffer.from('[2,"x"]').toString('base64url')}`,
    'cursor=W10',
    'cursor=WzEsMV0',
    'role=root',
    'status=gone',
    'query=',
    'query=%00',
    'query=a%7F',
    `query=a&cursor=${Buffer.from('[1,"\\u0000"]').toString('base64url')}`,
    'roles=admin',
  ])('refuses %s as a bad request', async (query) => {
    const { accessToken } = await holderOf(service, 'admin');
    expectProblem(await api.get(`${USERS}?${query}`, accessToken), 'invalid-request');
  });

  it('[V14.2.6] shows what support needs, and no secret', async () => {
    const { accessToken } = await holderOf(service, 'moderator');
    const person = await personWithTotp(service);
    const { body } = await api.get(of(person), accessToken);
    expect(body).toMatchObject({
      id: person.id,
      email: person.email,
      status: 'active',
      roles: ['user'],
      methods: expect.arrayContaining(['totp']),
      live_sessions: 1,
    });
    expect(Object.keys(body).sort()).toEqual([
      'created_at',
      'display_name',
      'email',
      'email_verified',
      'id',
      'live_sessions',
      'methods',
      'roles',
      'status',
      'username',
    ]);
    expectProblem(await api.get(`${USERS}/00000000-0000-7000-8000-000000000000`, accessToken), 'not-found');
  });
});

describe('administration', () => {
  it('[V8.2.1] [V16.3.2] is closed to those without the permission, which is audited', async () => {
    const person = await personWithTotp(service);
    expectProblem(await api.get(USERS, person.accessToken), 'forbidden');
    const event = await eventOf(service, 'ACCESS_DENIED', person.id);
    expect(event).toMatchObject({ session_id: person.sessionId, details: { permission: 'users:read', reason: 'no-permission' } });
  });

  it('[V8.4.2] asks for two factors, whatever the roles', async () => {
    const admin = await holderOf(service, 'admin');
    const person = await signedInPerson(service);
    await sql`update accounts set roles = '{user,admin}' where id = ${person.id}`;
    const answer = await api.get(USERS, person.accessToken);
    expectProblem(answer, 'insufficient-user-authentication');
    expect(answer.headers['www-authenticate']).toContain('acr_values="aal2"');
    await enrolTotp(service, person);
    expect((await api.get(USERS, person.accessToken)).status).toBe(200);
    expect((await api.get(USERS, admin.accessToken)).status).toBe(200);
  });

  it('[V7.5.3] asks for step-up before it changes anything', async () => {
    const admin = await holderOf(service, 'admin');
    const person = await registeredPerson(service);
    clock.advance(601);
    expect((await api.get(USERS, admin.accessToken)).status).toBe(200);
    for (const answer of [
      await api.patch(of(person), { status: 'suspended' }, admin.accessToken),
      await api.put(of(person, '/roles'), { roles: ['admin'] }, admin.accessToken),
      await api.post(of(person, '/unlock'), undefined, admin.accessToken),
      await api.delete(of(person, '/sessions'), admin.accessToken),
      await api.delete(of(person), admin.accessToken),
    ]) {
      expectProblem(answer, 'insufficient-user-authentication');
      expect(answer.headers['www-authenticate']).toContain('max_age="600"');
    }
    await api.post('/api/auth/reauthenticate', { method: 'totp', code: nextCode(service, admin) }, admin.accessToken);
    expect((await api.patch(of(person), { status: 'suspended' }, admin.accessToken)).status).toBe(200);
  });

  it('[V8.3.2] is over for a request that waited while its session ended, or lost what it was worth', async () => {
    const admin = await holderOf(service, 'admin');
    const person = await signedInPerson(service);
    const suspend = () => api.patch(of(person), { status: 'suspended' }, admin.accessToken);
    const meanwhile = [
      ['insufficient-user-authentication', sql`update sessions set acr = 'aal1' where id = ${admin.sessionId}`],
      ['unauthenticated', sql`update sessions set revoked_at = now() where id = ${admin.sessionId}`],
    ] as const;
    for (const [code, happens] of meanwhile) {
      const [answer] = await heldUp(service, person.id, [suspend], () => happens);
      expectProblem(answer, code);
      await sql`update sessions set acr = 'aal2' where id = ${admin.sessionId}`;
    }
    expect((await api.get('/api/auth/me', person.accessToken)).status).toBe(200);
  });

  it('[V8.2.1] reaches nobody who may do more', async () => {
    const [admin, staff, moderator] = [
      await holderOf(service, 'admin'),
      await holderOf(service, 'staff'),
      await holderOf(service, 'moderator'),
    ];
    for (const [actor, target] of [
      [moderator, staff],
      [moderator, admin],
      [staff, admin],
    ] as const) {
      const answers = [
        await api.patch(of(target), { status: 'suspended' }, actor.accessToken),
        await api.post(of(target, '/unlock'), undefined, actor.accessToken),
        await api.delete(of(target, '/sessions'), actor.accessToken),
        await api.delete(of(target), actor.accessToken),
      ];
      expect(tally(answers)).toEqual({ forbidden: 4 });
      expect(await eventOf(service, 'ACCESS_DENIED', actor.id)).toBeDefined();
    }
    const denied = await sql`select details from audit_events where type = 'ACCESS_DENIED' and account_id = ${staff.id} order by id`;
    expect(denied[0]?.['details']).toEqual({ reason: 'target-outranks', permission: 'users:lock', target_id: admin.id });
    expect((await api.get('/api/auth/me', admin.accessToken)).status).toBe(200);
  });
});

describe('a suspension', () => {
  it('[V7.4.2] ends every session and every way to one, at once', async () => {
    const admin = await holderOf(service, 'admin');
    const person = await personWithTotp(service);
    const other = await signInWithTotp(service, person);
    const preAuth = await preAuthOf(api, person);
    await api.post('/api/auth/forgot-password', { email: person.email });
    const link = await mail.token(person.email, 'reset-password');

    const { status, body } = await api.patch(of(person), { status: 'suspended' }, admin.accessToken);
    expect({ status, body }).toMatchObject({ status: 200, body: { id: person.id, status: 'suspended' } });

    for (const { accessToken, refreshToken } of [person, other]) {
      expectProblem(await api.get('/api/auth/me', accessToken), 'unauthenticated');
      expectProblem(await api.post('/api/auth/refresh', { refresh_token: refreshToken }), 'invalid-refresh-token');
    }
    expectProblem(await tryLogin(api, person), 'account-suspended');
    expectProblem(await verifyMfa(api, preAuth, 'totp', nextCode(service, person)), 'invalid-token');
    expectProblem(await api.post('/api/auth/reset-password', { token: link, new_password: OTHER_PASSWORD }), 'invalid-token');
    const mails = (await mail.to(person.email)).length;
    await api.post('/api/auth/forgot-password', { email: person.email });
    expect(await mail.to(person.email)).toHaveLength(mails);
  });

  it('is told to its owner, audited with who did it, and can be undone', async () => {
    const moderator = await holderOf(service, 'moderator');
    const person = await signedInPerson(service);
    await api.patch(of(person), { status: 'suspended' }, moderator.accessToken);
    expect((await mail.to(person.email))[0]?.subject).toMatch(/was suspended/);
    expect(await eventOf(service, 'USER_SUSPENDED', person.id)).toMatchObject({
      risk: 50,
      details: {
        actor_id: moderator.id,
        actor_session_id: moderator.sessionId,
        before: { status: 'active' },
        after: { status: 'suspended', sessions_ended: 1 },
      },
    });
    await api.patch(of(person), { status: 'active' }, moderator.accessToken);
    expect((await mail.to(person.email))[0]?.subject).toMatch(/works again/);
    expect(await eventOf(service, 'USER_RESTORED', person.id)).toBeDefined();
    await signIn(api, person);
  });

  it('of somebody suspended changes nothing', async () => {
    const moderator = await holderOf(service, 'moderator');
    const person = await registeredPerson(service);
    for (let i = 0; i < 2; i++) expect((await api.patch(of(person), { status: 'suspended' }, moderator.accessToken)).status).toBe(200);
    expect(await sql`select from audit_events where type = 'USER_SUSPENDED' and account_id = ${person.id}`).toHaveLength(1);
  });
});

describe('the profile of a user', () => {
  it('is changed by staff, with which of the names in the trail, never the names', async () => {
    const staff = await holderOf(service, 'staff');
    const person = await registeredPerson(service);
    const name = newUsername().toUpperCase();
    const { body } = await api.patch(of(person), { display_name: 'Ada', username: name }, staff.accessToken);
    expect(body).toMatchObject({ display_name: 'Ada', username: name });
    expect((await eventOf(service, 'USER_CHANGED', person.id))?.['details']).toEqual({
      actor_id: staff.id,
      actor_session_id: staff.sessionId,
      username: true,
      display_name: true,
    });
    expect((await api.patch(of(person), { display_name: null, username: null }, staff.accessToken)).body).toMatchObject({
      display_name: null,
      username: null,
    });
  });

  it('is not for moderators, who may suspend', async () => {
    const moderator = await holderOf(service, 'moderator');
    const person = await registeredPerson(service);
    expectProblem(await api.patch(of(person), { status: 'suspended', display_name: 'Ada' }, moderator.accessToken), 'forbidden');
    expect((await api.get(of(person), moderator.accessToken)).body).toMatchObject({ status: 'active', display_name: null });
  });

  it('takes no name that somebody has, or has asked for, in whatever letters', async () => {
    const staff = await holderOf(service, 'staff');
    const [person, other] = [await registeredPerson(service), await verifiedPerson(service)];
    const reserved = newUsername();
    await api.post('/api/auth/register', { email: other.email, username: reserved, password: OTHER_PASSWORD });
    for (const name of [other.username.toUpperCase(), reserved]) {
      expectProblem(await api.patch(of(person), { username: name }, staff.accessToken), 'username-taken');
    }
    const name = newUsername();
    const people = await Promise.all(Array.from({ length: 8 }, () => registeredPerson(service)));
    const answers = await Promise.all([
      ...people.map((one) => api.patch(of(one), { username: name }, staff.accessToken)),
      ...people.map(() => api.post('/api/auth/register', { email: newEmail(), username: name, password: OTHER_PASSWORD })),
    ]);
    expect(tally(answers)['username-taken']).toBe(15);
  });

  it.each([{}, { email: 'x@example.com' }, { email_verified: true }, { roles: ['admin'] }, { status: 'gone' }, { password: 'x' }])(
    'refuses %j as a bad request',
    async (body) => {
      const staff = await holderOf(service, 'staff');
      expectProblem(await api.patch(of(staff), body, staff.accessToken), 'invalid-request');
    },
  );
});

describe('other help', () => {
  it('lets a user try again who gave too many wrong passwords', async () => {
    const moderator = await holderOf(service, 'moderator');
    const person = await verifiedPerson(service);
    for (let i = 0; i < 5; i++) await tryLogin(api, { ...person, password: 'not this one' });
    expectProblem(await tryLogin(api, person), 'account-locked');
    expect((await api.post(of(person, '/unlock'), undefined, moderator.accessToken)).status).toBe(204);
    await signIn(api, person);
    expect((await eventOf(service, 'USER_UNLOCKED', person.id))?.['details']).toMatchObject({
      before: { lanes_with_failures: 3 },
      after: { lanes_with_failures: 0 },
    });
  });

  it('lets a user try again who gave too many wrong codes', async () => {
    const moderator = await holderOf(service, 'moderator');
    const person = await personWithTotp(service);
    const wrong = wrongCode(service, person.secret);
    for (let i = 0; i < 10; i++) await verifyMfa(api, await preAuthOf(api, person), 'totp', wrong);
    expectProblem(await verifyMfa(api, await preAuthOf(api, person), 'totp', nextCode(service, person)), 'account-locked');
    await api.post(of(person, '/unlock'), undefined, moderator.accessToken);
    await signInWithTotp(service, person);
  });

  it('[V7.4.5] ends the sessions of a user', async () => {
    const staff = await holderOf(service, 'staff');
    const person = await signedInPerson(service);
    const other = await signIn(api, person);
    expect((await api.delete(of(person, '/sessions'), staff.accessToken)).status).toBe(204);
    for (const { accessToken } of [person, other]) expectProblem(await api.get('/api/auth/me', accessToken), 'unauthenticated');
    expect((await eventOf(service, 'USER_SESSIONS_ENDED', person.id))?.['details']).toMatchObject({
      actor_id: staff.id,
      before: { sessions: 2 },
      after: { sessions: 0 },
    });
    await signIn(api, person);
  });

  it('deletes a user with all that was theirs; what happened stays in the trail', async () => {
    const staff = await holderOf(service, 'staff');
    const person = await personWithTotp(service);
    expect((await api.delete(of(person), staff.accessToken)).status).toBe(204);
    expectProblem(await api.get('/api/auth/me', person.accessToken), 'unauthenticated');
    expectProblem(await tryLogin(api, person), 'invalid-credentials');
    expectProblem(await api.get(of(person), staff.accessToken), 'not-found');
    expectProblem(await api.delete(of(person), staff.accessToken), 'not-found');
    for (const table of ['sessions', 'tickets', 'totp_authenticators', 'recovery_codes', 'outbox']) {
      expect(await sql`select from ${sql(table)} where account_id = ${person.id}`, table).toHaveLength(0);
    }
    expect(await eventOf(service, 'LOGIN_SUCCEEDED', person.id)).toBeDefined();
    expect((await eventOf(service, 'USER_DELETED', person.id))?.['details']).toMatchObject({
      actor_id: staff.id,
      before: { status: 'active', roles: ['user'] },
      after: null,
    });
  });
});

describe('the last active admin', () => {
  it('can be neither suspended nor deleted; a suspended one does not count', async () => {
    const admin = await holderOf(service, 'admin');
    const other = await holderOf(service, 'admin');
    expect((await api.patch(of(other), { status: 'suspended' }, admin.accessToken)).status).toBe(200);
    expectProblem(await api.patch(of(admin), { status: 'suspended' }, admin.accessToken), 'conflict');
    expectProblem(await api.delete(of(admin), admin.accessToken), 'conflict');
    expect((await api.delete(of(other), admin.accessToken)).status).toBe(204);
  });

  it('[V15.4.2] is still there when two act on each other, fifty times at once', async () => {
    const [one, two] = [await holderOf(service, 'admin'), await holderOf(service, 'admin')];
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) => {
        const [actor, target] = i % 2 === 0 ? [one, two] : [two, one];
        return i % 4 < 2 ? api.patch(of(target), { status: 'suspended' }, actor.accessToken) : api.delete(of(target), actor.accessToken);
      }),
    );
    expect(answers.filter(({ status }) => status >= 500)).toEqual([]);
    const left = await sql`select from accounts where 'admin' = any (roles) and status = 'active'`;
    expect(left).toHaveLength(1);
  });
});
