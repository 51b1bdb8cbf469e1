import { afterAll, describe, expect, it } from 'vitest';
import { expectProblem, tally } from '#tests/support/api.ts';
import { heldUp } from '#tests/support/held-up.ts';
import { newEmail, newUsername, PASSWORD, type SignedIn, signedInPerson, verifiedPerson } from '#tests/support/people.ts';
import { startService } from '#tests/support/service.ts';

const service = await startService();
const { sql, mail } = service;
const api = service.api();
afterAll(service.stop);

const change = ({ accessToken }: Pick<SignedIn, 'accessToken'>, body: object) =>
  api.request('PATCH', '/api/auth/me', { body, token: accessToken });
const signInAs = (username: string) => api.post('/api/auth/login', { username, password: PASSWORD });

describe('the names of an account', () => {
  it('can be changed, each alone: the new user name signs in, the old one does not', async () => {
    const person = await signedInPerson(service);
    const username = `New.${newUsername()}`;
    expect((await change(person, { display_name: 'Ada <b>Lovelace</b>' })).body).toMatchObject({
      display_name: 'Ada <b>Lovelace</b>',
      username: person.username,
    });
    const answer = await change(person, { username });
    expect(answer).toMatchObject({ status: 200, body: { username, display_name: 'Ada <b>Lovelace</b>', email: person.email } });
    expect((await api.get('/api/auth/me', person.accessToken)).body).toEqual(answer.body);
    expect(await signInAs(username.toLowerCase())).toMatchObject({ status: 200 });
    expectProblem(await signInAs(person.username), 'invalid-credentials');
  });

  it('can be taken away, and are free for others then', async () => {
    const [person, other] = [await signedInPerson(service), await signedInPerson(service)];
    await change(person, { display_name: 'Ada' });
    expect((await change(person, { username: null, display_name: null })).body).toMatchObject({ username: null, display_name: null });
    expectProblem(await signInAs(person.username), 'invalid-credentials');
    expect(await change(other, { username: person.username })).toMatchObject({ status: 200 });
  });

  it('can be written otherwise by their owner', async () => {
    const person = await signedInPerson(service);
    const username = person.username.toUpperCase();
    expect((await change(person, { username })).body.username).toBe(username);
  });

  it('change nothing when nothing is given, and neither mail nor event tells of a name that stays', async () => {
    const person = await signedInPerson(service);
    expect(await change(person, {})).toMatchObject({ status: 200, body: { username: person.username } });
    expect(await change(person, { username: person.username, display_name: null })).toMatchObject({ status: 200 });
    expect(await sql`select 1 from audit_events where type = 'PROFILE_CHANGED' and account_id = ${person.id}`).toEqual([]);
    expect((await mail.to(person.email)).filter(({ subject }) => subject.includes('user name'))).toEqual([]);
  });

  it('[V6.3.7] are audited without being written down, and a changed user name is told by mail', async () => {
    const person = await signedInPerson(service);
    await change(person, { username: newUsername(), display_name: 'Ada' });
    const events = await sql`select session_id, details from audit_events where type = 'PROFILE_CHANGED' and account_id = ${person.id}`;
    expect(events).toMatchObject([{ session_id: person.sessionId, details: { username: true, display_name: true } }]);
    expect((await mail.to(person.email))[0]?.subject).toContain('user name');
  });

  it.each([
    { username: 'a' },
    { username: 'ada@example.com' },
    { username: 'аda' },
    { display_name: '' },
    { display_name: 'two\nlines' },
    { display_name: 'x'.repeat(101) },
  ])('are refused when they are none: %j', async (body) => {
    expectProblem(await change(await signedInPerson(service), body), 'invalid-request');
  });

  it.each(['email', 'email_verified', 'roles', 'id', 'status', 'password', 'created_at'])(
    '[V15.3.3] are all that can be changed here: %s is refused',
    async (field) => {
      const person = await signedInPerson(service);
      expectProblem(await change(person, { display_name: 'Ada', [field]: ['admin'] }), 'invalid-request');
      expect((await api.get('/api/auth/me', person.accessToken)).body).toMatchObject({ display_name: null, roles: ['user'] });
    },
  );
});

describe('a user name', () => {
  it('that somebody has is taken, in whatever case, and nothing else changes either', async () => {
    const [person, other] = [await signedInPerson(service), await verifiedPerson(service)];
    expectProblem(await change(person, { username: other.username.toUpperCase(), display_name: 'Ada' }), 'username-taken');
    expect((await api.get('/api/auth/me', person.accessToken)).body).toMatchObject({ username: person.username, display_name: null });
  });

  it('[V6.3.8] that a registration of an existing address asked for is taken as well', async () => {
    const [person, other] = [await signedInPerson(service), await verifiedPerson(service)];
    const username = newUsername();
    await api.post('/api/auth/register', { email: other.email, username, password: PASSWORD });
    expectProblem(await change(person, { username }), 'username-taken');
  });

  it('[V2.3.4] goes to one of fifty who ask at once, registrations among them', async () => {
    const username = newUsername();
    const people = await Promise.all(Array.from({ length: 25 }, () => signedInPerson(service)));
    const answers = await Promise.all([
      ...people.map((person) => change(person, { username })),
      ...people.map(() => api.post('/api/auth/register', { email: newEmail(), username, password: PASSWORD })),
    ]);
    const { 'username-taken': refused, ...won } = tally(answers);
    expect(refused).toBe(49);
    expect(Object.values(won)).toEqual([1]);
    expect(await sql`select 1 from accounts where username_canonical = ${username}`).toHaveLength(1);
  });

  it('of an account that was suspended meanwhile stays', async () => {
    const person = await signedInPerson(service);
    const [answer] = await heldUp(service, person.id, [() => change(person, { username: newUsername() })], async (tx) => {
      await tx`update accounts set status = 'suspended' where id = ${person.id}`;
    });
    expectProblem(answer, 'unauthenticated');
    expect(await sql`select username from accounts where id = ${person.id}`).toEqual([{ username: person.username }]);
  });
});
