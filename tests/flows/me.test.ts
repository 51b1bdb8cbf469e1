import { afterAll, describe, expect, it } from 'vitest';
import { expectProblem } from '#tests/support/api.ts';
import { signedInPerson } from '#tests/support/people.ts';
import { startService } from '#tests/support/service.ts';

const service = await startService();
const { sql } = service;
const api = service.api();
afterAll(service.stop);

describe('who am I', () => {
  it('[V15.3.1] answers the profile, and nothing of what else is stored', async () => {
    const person = await signedInPerson(service);
    const answer = await api.get('/api/auth/me', person.accessToken);
    expect(answer.body).toEqual({
      id: person.id,
      email: person.email,
      email_verified: true,
      username: person.username,
      display_name: null,
      roles: ['user'],
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
    });
  });

  it('asks for a token and says how (RFC 6750)', async () => {
    const answer = await api.get('/api/auth/me');
    expectProblem(answer, 'unauthenticated');
    expect(answer.headers['www-authenticate']).toBe('Bearer');
    const wrong = await api.get('/api/auth/me', 'not.a.token');
    expect(wrong.headers['www-authenticate']).toContain('error="invalid_token"');
  });

  it('[V9.1.1] refuses a token with one changed bit anywhere', async () => {
    const { accessToken } = await signedInPerson(service);
    const [head = '', body = '', tail = ''] = accessToken.split('.');
    const flip = (part: string) => {
      const bytes = Buffer.from(part, 'base64url');
      bytes[Math.floor(bytes.length / 2)] = (bytes[Math.floor(bytes.length / 2)] ?? 0) ^ 1;
      return bytes.toString('base64url');
    };
    for (const token of [
      `${flip(head)}.${body}.${tail}`,
      `${head}.${flip(body)}.${tail}`,
      `${head}.${body}.${flip(tail)}`,
      `${head}.${body}.`,
    ]) {
      expectProblem(await api.get('/api/auth/me', token), 'unauthenticated');
    }
  });

  it('[V7.4.2] refuses a suspended account at once', async () => {
    const person = await signedInPerson(service);
    await sql`update accounts set status = 'suspended' where id = ${person.id}`;
    expectProblem(await api.get('/api/auth/me', person.accessToken), 'account-suspended');
  });

  it('refuses the token of an account that is gone', async () => {
    const person = await signedInPerson(service);
    await sql`delete from accounts where id = ${person.id}`;
    expectProblem(await api.get('/api/auth/me', person.accessToken), 'unauthenticated');
  });
});
