import { afterAll, describe, expect, it } from 'vitest';
import { expectProblem, tally } from '#tests/support/api.ts';
import { DAY, MINUTE } from '#tests/support/clock.ts';
import { signedInPerson, signIn, tokensOf, verifiedPerson } from '#tests/support/people.ts';
import { startService } from '#tests/support/service.ts';

const service = await startService();
const { clock, sql, mail } = service;
const api = service.api();
afterAll(service.stop);

const refresh = (refreshToken: string, from = api) => from.post('/api/auth/refresh', { refresh_token: refreshToken });
const GRACE_SECONDS = 10;

describe('refreshing', () => {
  it('gives new tokens of the same session', async () => {
    const person = await signedInPerson(service);
    const answer = await refresh(person.refreshToken);
    const next = tokensOf(answer);
    expect(next.sessionId).toBe(person.sessionId);
    expect(next.refreshToken).not.toBe(person.refreshToken);
    expect(answer.body.user).toMatchObject({ id: person.id, email: person.email });
    expect(await api.get('/api/auth/me', next.accessToken)).toMatchObject({ status: 200 });
  });

  it('goes on for as long as someone refreshes, each token once', async () => {
    let { refreshToken } = await signedInPerson(service);
    for (let time = 0; time < 20; time++) {
      clock.advance(MINUTE);
      refreshToken = tokensOf(await refresh(refreshToken)).refreshToken;
    }
  });

  it('yields the same successor again within the grace: a lost answer signs nobody out', async () => {
    const { refreshToken } = await signedInPerson(service);
    const first = tokensOf(await refresh(refreshToken));
    clock.advance(GRACE_SECONDS - 1);
    const again = tokensOf(await refresh(refreshToken));
    expect(again.refreshToken).toBe(first.refreshToken);
    expect(tokensOf(await refresh(again.refreshToken)).refreshToken).not.toBe(again.refreshToken);
  });

  it('serves fifty at once with one token: all get the same successor, and it works', async () => {
    const { refreshToken } = await signedInPerson(service);
    const answers = await Promise.all(Array.from({ length: 50 }, () => refresh(refreshToken)));
    expect(tally(answers)).toEqual({ '200': 50 });
    const successors = new Set(answers.map(({ body }) => body.refresh_token));
    expect(successors.size).toBe(1);
    tokensOf(await refresh([...successors][0] ?? ''));
  });

  it('shows changes of the account in the next token', async () => {
    const person = await signedInPerson(service);
    await sql`update accounts set roles = '{user,staff}' where id = ${person.id}`;
    expect((await refresh(person.refreshToken)).body.user.roles).toEqual(['user', 'staff']);
  });

  it('is refused for a suspended account', async () => {
    const person = await signedInPerson(service);
    await sql`update accounts set status = 'suspended' where id = ${person.id}`;
    expectProblem(await refresh(person.refreshToken), 'account-suspended');
  });
});

describe('a refresh token that was stolen', () => {
  it('[V10.4.5] ends the session when it comes back after the grace: the answer, the audit at risk 90 and a mail tell of it', async () => {
    const person = await signedInPerson(service);
    const stolen = person.refreshToken;
    const { refreshToken, accessToken } = tokensOf(await refresh(stolen));
    clock.advance(GRACE_SECONDS);
    const thief = await refresh(stolen, service.api({ ip: '203.0.113.66' }));
    expectProblem(thief, 'refresh-token-reused');

    expectProblem(await refresh(refreshToken), 'invalid-refresh-token');
    expectProblem(await api.get('/api/auth/me', accessToken), 'unauthenticated');
    const [event] = await sql`select * from audit_events where request_id = ${thief.headers['x-request-id'] ?? ''}`;
    expect(event).toMatchObject({ type: 'REFRESH_TOKEN_REUSED', risk: 90, ip: '203.0.113.66', account_id: person.id });
    expect((await mail.to(person.email))[0]?.subject).toContain('session');
  });

  it('[V10.4.5] ends the session when it comes back after its successor was used, grace or not', async () => {
    const { refreshToken: first } = await signedInPerson(service);
    const { refreshToken: second } = tokensOf(await refresh(first));
    const { refreshToken: third } = tokensOf(await refresh(second));
    expectProblem(await refresh(first), 'refresh-token-reused');
    expectProblem(await refresh(third), 'invalid-refresh-token');
  });

  it('is told of once, however often it comes back', async () => {
    const person = await signedInPerson(service);
    tokensOf(await refresh(person.refreshToken));
    clock.advance(GRACE_SECONDS);
    const answers = await Promise.all(Array.from({ length: 10 }, () => refresh(person.refreshToken)));
    expect(tally(answers)).toEqual({ 'refresh-token-reused': 1, 'invalid-refresh-token': 9 });
    expect((await mail.to(person.email)).filter(({ subject }) => subject.includes('was ended'))).toHaveLength(1);
  });

  it('leaves the other sessions of the account alone', async () => {
    const person = await signedInPerson(service);
    const other = await signIn(api, person);
    tokensOf(await refresh(person.refreshToken));
    clock.advance(GRACE_SECONDS);
    expectProblem(await refresh(person.refreshToken), 'refresh-token-reused');
    tokensOf(await refresh(other.refreshToken));
  });

  it('has no grace where the operator wants none', async () => {
    const strict = await startService({ settings: { REFRESH_REUSE_GRACE_SECONDS: '0' } });
    try {
      const { refreshToken } = await signedInPerson(strict);
      tokensOf(await refresh(refreshToken, strict.api()));
      expectProblem(await refresh(refreshToken, strict.api()), 'refresh-token-reused');
    } finally {
      await strict.stop();
    }
  });
});

describe('the end of a session', () => {
  it('[V7.3.1] comes after seven days without a refresh', async () => {
    const [on, off] = [await signedInPerson(service), await signedInPerson(service)];
    clock.advance(7 * DAY - 1);
    tokensOf(await refresh(on.refreshToken));
    clock.advance(1);
    expectProblem(await refresh(off.refreshToken), 'invalid-refresh-token');
  });

  it('[V7.3.2] [V10.4.8] comes thirty days after the sign-in, refreshed or not, and no token outlives it', async () => {
    let { refreshToken, accessToken } = await signedInPerson(service);
    for (let day = 0; day < 29; day++) {
      clock.advance(DAY);
      refreshToken = tokensOf(await refresh(refreshToken)).refreshToken;
    }
    clock.advance(DAY - 5 * MINUTE);
    const last = await refresh(refreshToken);
    expect(last.body).toMatchObject({ expires_in: 5 * MINUTE, refresh_expires_in: 5 * MINUTE });
    ({ refreshToken, accessToken } = tokensOf(last));
    clock.advance(5 * MINUTE);
    expectProblem(await refresh(refreshToken), 'invalid-refresh-token');
    expectProblem(await api.get('/api/auth/me', accessToken), 'unauthenticated');
  });
});

describe('what is no refresh token', () => {
  it('is refused, whatever it is', async () => {
    const { refreshToken, accessToken } = await signedInPerson(service);
    const bytes = Buffer.from(refreshToken.slice('lk_rt_'.length), 'base64url');
    const flipped = [0, 1, 17, 20, 21, 60, bytes.length - 1].map((at) => {
      const copy = Buffer.from(bytes);
      copy[at] = (copy[at] ?? 0) ^ 1;
      return `lk_rt_${copy.toString('base64url')}`;
    });
    const garbage = [
      'x',
      'lk_rt_',
      accessToken.slice(0, 500),
      refreshToken.slice(6),
      `${refreshToken}A`,
      refreshToken.slice(0, -1),
      "' or 1=1 --",
    ];
    for (const token of [...flipped, ...garbage]) expectProblem(await refresh(token), 'invalid-refresh-token');
    tokensOf(await refresh(refreshToken));
  });

  it('[V9.2.2] is an access token where a refresh token belongs, and the other way round', async () => {
    const { refreshToken } = await signedInPerson(service);
    expectProblem(await api.get('/api/auth/me', refreshToken), 'unauthenticated');
  });

  it('is a token that another server signed', async () => {
    const other = await startService({
      settings: { SECRET_KEY: 'another-secret-key-of-another-server-0' },
      database: service.database,
      clock,
    });
    try {
      const { refreshToken } = await signIn(other.api(), await verifiedPerson(service));
      expectProblem(await refresh(refreshToken), 'invalid-refresh-token');
    } finally {
      await other.stop();
    }
  });
});
