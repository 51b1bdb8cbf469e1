import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { eventOf, holderOf, withoutAdmins } from '#tests/support/admins.ts';
import { expectProblem, tally } from '#tests/support/api.ts';
import { newUsername, registeredPerson, tryLogin } from '#tests/support/people.ts';
import { personWithTotp } from '#tests/support/second-factors.ts';
import { startService } from '#tests/support/service.ts';
import { until } from '#tests/support/until.ts';

/** Accounts that their owners deleted, in the hands of who administers; and administrators who delete their own. */

const service = await startService();
const { sql, mail } = service;
const api = service.api();
afterAll(service.stop);
beforeEach(() => withoutAdmins(service));

const of = ({ id }: { id: string }) => `/api/admin/users/${id}`;
const rowOf = async ({ id }: { id: string }) => (await sql`select status, erase_at from accounts where id = ${id}`)[0];

async function deletedPerson() {
  const person = await personWithTotp(service);
  expect((await api.delete('/api/auth/me', person.accessToken)).status).toBe(204);
  return person;
}

describe('an account that its owner deleted', () => {
  it.each(['suspended', 'active'])(
    'is not made %s: it goes when its owner was told, and only the link in the mail keeps it',
    async (status) => {
      const admin = await holderOf(service, 'admin');
      const person = await deletedPerson();
      const before = await rowOf(person);
      expect(before).toMatchObject({ status: 'deleted', erase_at: expect.any(Date) });
      expectProblem(await api.patch(of(person), { status }, admin.accessToken), 'conflict');
      expect(await rowOf(person)).toEqual(before);
      expect(await eventOf(service, 'USER_RESTORED', person.id)).toBeUndefined();
      const token = await mail.token(person.email, 'keep-account');
      expect((await api.post('/api/auth/keep-account', { token })).status).toBe(200);
      expect(await rowOf(person)).toMatchObject({ status: 'active', erase_at: null });
    },
  );

  it('is made by nobody else: a status of "deleted" is refused, on any account', async () => {
    const admin = await holderOf(service, 'admin');
    for (const person of [await registeredPerson(service), await deletedPerson()]) {
      const before = await rowOf(person);
      expectProblem(await api.patch(of(person), { status: 'deleted' }, admin.accessToken), 'invalid-request');
      expectProblem(await api.patch(of(person), { status: 'deleted', display_name: 'x' }, admin.accessToken), 'invalid-request');
      expect(await rowOf(person)).toEqual(before);
    }
  });

  it('is found by its status, and is none of the suspended', async () => {
    const admin = await holderOf(service, 'admin');
    const deleted = await deletedPerson();
    const suspended = await registeredPerson(service);
    expect((await api.patch(of(suspended), { status: 'suspended' }, admin.accessToken)).status).toBe(200);
    const found = async (status: string) => {
      const { body } = await api.get(`/api/admin/users?status=${status}&limit=100`, admin.accessToken);
      return body.users.map(({ id }: { id: string }) => id);
    };
    expect(await found('deleted')).toContain(deleted.id);
    expect(await found('deleted')).not.toContain(suspended.id);
    expect(await found('suspended')).toEqual([suspended.id]);
    expect(await found('active')).not.toContain(deleted.id);
  });
});

describe('administrators who delete their own accounts', () => {
  it('are refused when they are the last', async () => {
    const admin = await holderOf(service, 'admin');
    expectProblem(await api.delete('/api/auth/me', admin.accessToken), 'conflict');
    expect(await rowOf(admin)).toMatchObject({ status: 'active' });
    const other = await holderOf(service, 'admin');
    expect((await api.delete('/api/auth/me', admin.accessToken)).status).toBe(204);
    expect(await rowOf(other)).toMatchObject({ status: 'active' });
  });

  it('[V15.4.2] leave one of them, when the last two do it at once', async () => {
    const both = [await holderOf(service, 'admin'), await holderOf(service, 'admin')];
    const ids = both.map(({ id }) => id);
    let answers: ReturnType<typeof send> | undefined;
    const send = () => Promise.all(both.map(({ accessToken }) => api.delete('/api/auth/me', accessToken)));
    await sql.begin(async (tx) => {
      await tx`select from accounts where id = any (${`{${ids.join(',')}}`}::text::uuid[]) for update`;
      answers = send();
      await until('both wait', async () => {
        const waiting = await sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
        return waiting.length >= 2;
      });
    });
    expect((await answers)?.map(({ status }) => status).sort()).toEqual([204, 409]);
    expect(await sql`select from accounts where 'admin' = any (roles) and status = 'active'`).toHaveLength(1);
  });
});

describe('a user name that an administrator and its owner give at once', () => {
  it('[V15.4.2] goes to one of them or both, and neither waits for the other in a ring', async () => {
    const admin = await holderOf(service, 'admin');
    const person = await personWithTotp(service);
    for (let round = 0; round < 20; round++) {
      const username = newUsername();
      const answers = await Promise.all([
        api.patch(of(person), { username }, admin.accessToken),
        api.patch('/api/auth/me', { username }, person.accessToken),
      ]);
      expect(tally(answers)).toEqual({ 200: 2 });
    }
    expect((await tryLogin(api, person)).status).toBe(200);
  });
});
