import { afterAll, describe, expect, it } from 'vitest';
import { type Answer, expectProblem, tally, visible } from '#tests/support/api.ts';
import { HOUR, MINUTE } from '#tests/support/clock.ts';
import { askedForEmail, movedPerson } from '#tests/support/email-changes.ts';
import { heldUp } from '#tests/support/held-up.ts';
import {
  newEmail,
  OTHER_PASSWORD,
  PASSWORD,
  registeredPerson,
  type SignedIn,
  signedInPerson,
  signIn,
  tryLogin,
  verifiedPerson,
} from '#tests/support/people.ts';
import { personWithTotp, preAuthOf, verifyMfa } from '#tests/support/second-factors.ts';
import { startService } from '#tests/support/service.ts';
import { totpCode } from '#tests/support/totp.ts';
import { until } from '#tests/support/until.ts';

const service = await startService();
const { clock, sql, mail } = service;
const api = service.api();
afterAll(service.stop);

const ask = ({ accessToken }: Pick<SignedIn, 'accessToken'>, newAddress: string) =>
  api.post('/api/auth/change-email', { new_email: newAddress }, accessToken);
const confirm = (token: string) => api.post('/api/auth/change-email/confirm', { token });
const linkTo = (address: string) => mail.token(address, 'change-email');
const holders = async (address: string) =>
  (await sql`select id from accounts where email_canonical = ${address.toLowerCase()}`).map((row) => String(row['id']));

describe('asking for another e-mail address', () => {
  it('changes nothing until the link is opened, and tells the old address what to do, with no link that changes anything', async () => {
    const person = await askedForEmail(service, await signedInPerson(service));
    expect((await api.get('/api/auth/me', person.accessToken)).body.email).toBe(person.email);
    expect(await tryLogin(api, person)).toMatchObject({ status: 200 });
    expectProblem(await tryLogin(api, { email: person.newAddress, password: PASSWORD }), 'invalid-credentials');
    const [notice] = await mail.to(person.email);
    expect(notice?.subject).toContain('was asked for');
    expect(notice?.links).toEqual(['https://app.example.com/forgot-password']);
    expect(`${notice?.text}${notice?.html}`).not.toContain(person.newAddress);
    const [link] = await mail.to(person.newAddress);
    expect(link?.links).toEqual([expect.stringMatching(/^https:\/\/app\.example\.com\/change-email#token=[\w-]{43}$/)]);
  });

  it('[V6.3.8] answers alike and writes as much whether or not somebody has the address; its owner is told', async () => {
    const [person, owner] = [await signedInPerson(service), await verifiedPerson(service)];
    const free = await ask(person, newEmail());
    const rows = async (answer: Answer) =>
      await sql`select (select count(*)::int from tickets where account_id = ${person.id} and purpose = 'change-email') as tickets,
        (select count(*)::int from outbox where account_id = ${person.id}) as messages,
        (select count(*)::int from audit_events where request_id = ${answer.headers['x-request-id'] ?? ''}) as events`;
    const [before] = await rows(free);
    const taken = await ask(person, owner.email);
    expect(visible(taken)).toEqual(visible(free));
    expect(await rows(taken)).toEqual([{ tickets: (before?.['tickets'] ?? 0) + 1, messages: (before?.['messages'] ?? 0) + 2, events: 1 }]);
    const received = await mail.to(owner.email);
    expect(received[0]?.subject).toContain('already have an account');
    expect(received.flatMap(({ links }) => links).filter((link) => link.includes('/change-email'))).toEqual([]);
  });

  it('tells it where REGISTRATION_CONFLICTS=reveal', async () => {
    const open = await startService({ settings: { REGISTRATION_CONFLICTS: 'reveal' } });
    try {
      const [person, owner] = [await signedInPerson(open), await verifiedPerson(open)];
      const answer = await open.api().post('/api/auth/change-email', { new_email: owner.email }, person.accessToken);
      expectProblem(answer, 'conflict');
    } finally {
      await open.stop();
    }
  });

  it('is refused for what is no address, and for the one that it has', async () => {
    const person = await signedInPerson(service);
    expectProblem(await ask(person, 'nobody'), 'invalid-request');
    expectProblem(await ask(person, person.email.toUpperCase()), 'conflict');
  });

  it('[V7.5.1] asks for a recent sign-in, and for both factors of an account that holds two', async () => {
    const old = await signedInPerson(service);
    const strong = await personWithTotp(service);
    clock.advance(11 * MINUTE);
    expectProblem(await ask(old, newEmail()), 'insufficient-user-authentication');
    expectProblem(await ask(strong, newEmail()), 'insufficient-user-authentication');
    await api.post('/api/auth/reauthenticate', { password: PASSWORD }, old.accessToken);
    expect(await ask(old, newEmail())).toMatchObject({ status: 202 });
  });

  it('leads nowhere when its session ends while it is under way', async () => {
    const [person, address] = [await signedInPerson(service), newEmail()];
    const [answer] = await heldUp(service, person.id, [() => ask(person, address)], async (tx) => {
      await tx`update sessions set revoked_at = now() where account_id = ${person.id}`;
    });
    expectProblem(answer, 'unauthenticated');
    expect(await mail.to(address)).toEqual([]);
  });

  it('[V2.4.1] floods no mailbox with links', async () => {
    const narrow = await startService({ settings: { RATE_LIMIT_PASSWORD_RESET: '3/hour' } });
    try {
      const [person, address] = [await signedInPerson(narrow), newEmail()];
      for (const ip of ['198.51.100.2', '198.51.100.3', '198.51.100.4', '198.51.100.5', '198.51.100.6']) {
        const answer = await narrow.api({ ip }).post('/api/auth/change-email', { new_email: address }, person.accessToken);
        expect(answer).toMatchObject({ status: 202 });
      }
      expect(await narrow.mail.to(address)).toHaveLength(3);
    } finally {
      await narrow.stop();
    }
  });
});

describe('confirming the new address', () => {
  it('moves the account: the new address signs in, the old one does not and is free', async () => {
    const person = await movedPerson(service, await signedInPerson(service));
    const { body } = await api.get('/api/auth/me', person.accessToken);
    expect(body).toMatchObject({ id: person.id, email: person.newAddress, email_verified: true });
    expectProblem(await tryLogin(api, person), 'invalid-credentials');
    await signIn(api, { ...person, email: person.newAddress });
    expect(await api.post('/api/auth/register', { email: person.email, password: PASSWORD })).toMatchObject({ status: 201 });
    expect(await holders(person.email)).toHaveLength(1);
  });

  it('[V7.4.3] ends the other sessions; the one that asked goes on, its refresh token too', async () => {
    const person = await signedInPerson(service);
    const other = await signIn(api, person);
    await movedPerson(service, person);
    expectProblem(await api.get('/api/auth/me', other.accessToken), 'unauthenticated');
    expectProblem(await api.post('/api/auth/refresh', { refresh_token: other.refreshToken }), 'invalid-refresh-token');
    expect(await api.get('/api/auth/me', person.accessToken)).toMatchObject({ status: 200 });
    expect(await api.post('/api/auth/refresh', { refresh_token: person.refreshToken })).toMatchObject({ status: 200 });
  });

  it('[V6.3.7] is audited, and told to the old address with a way back', async () => {
    const person = await movedPerson(service, await signedInPerson(service));
    const events =
      await sql`select type, details from audit_events where account_id = ${person.id} and type like 'EMAIL_CHANGE%' order by type`;
    expect(events).toMatchObject([{ type: 'EMAIL_CHANGED', details: { ended: 0 } }, { type: 'EMAIL_CHANGE_REQUESTED' }]);
    const [notice] = await mail.to(person.email);
    expect(notice?.subject).toContain('was changed');
    expect(notice?.links).toEqual([expect.stringMatching(/^https:\/\/app\.example\.com\/revert-email#token=[\w-]{43}$/)]);
    const [stored] = await sql`select details::text as text from audit_events where account_id = ${person.id} and type = 'EMAIL_CHANGED'`;
    expect(stored?.['text']).not.toContain('@');
  });

  it('kills the reset and confirmation links of the old address, whether they were asked for before or meanwhile', async () => {
    const person = await askedForEmail(service, await signedInPerson(service));
    await api.post('/api/auth/forgot-password', { email: person.email });
    const reset = await mail.token(person.email, 'reset-password');
    const link = await linkTo(person.newAddress);
    const [answer] = await heldUp(service, person.id, [
      () => confirm(link),
      () => api.post('/api/auth/forgot-password', { email: person.email }),
    ]);
    expect(answer).toMatchObject({ status: 200 });
    const sent = (await mail.to(person.email)).flatMap(({ links }) => links).filter((one) => one.includes('/reset-password#'));
    for (const token of [reset, ...sent.map((one) => one.split('token=')[1] ?? '')]) {
      expectProblem(await api.post('/api/auth/reset-password', { token, new_password: OTHER_PASSWORD }), 'invalid-token');
    }
    await signIn(api, { ...person, email: person.newAddress });
  });

  it('ends a sign-in that waits for its second factor', async () => {
    const person = await personWithTotp(service);
    const preAuth = await preAuthOf(api, person);
    clock.advance(MINUTE);
    await movedPerson(service, person);
    expectProblem(await verifyMfa(api, preAuth, 'totp', totpCode(person.secret, clock.now())), 'invalid-token');
  });

  it('[V2.3.4] works for exactly one of fifty at once', async () => {
    const { newAddress, id } = await askedForEmail(service, await signedInPerson(service));
    const token = await linkTo(newAddress);
    expect(tally(await Promise.all(Array.from({ length: 50 }, () => confirm(token))))).toEqual({ '200': 1, 'invalid-token': 49 });
    expect(await holders(newAddress)).toEqual([id]);
    expect(await sql`select 1 from audit_events where account_id = ${id} and type = 'EMAIL_CHANGED'`).toHaveLength(1);
  });

  it('works for an hour, with the newest link only, and with no other ticket', async () => {
    const person = await askedForEmail(service, await signedInPerson(service));
    const first = await linkTo(person.newAddress);
    await askedForEmail(service, person, person.newAddress);
    const second = await linkTo(person.newAddress);
    expectProblem(await confirm(first), 'invalid-token');
    clock.advance(HOUR);
    expectProblem(await confirm(second), 'invalid-token');
    expectProblem(await confirm(await mail.token(person.email, 'verify-email')), 'invalid-token');
    expectProblem(await api.post(`/api/auth/change-email/confirm?token=${second}`, {}), 'invalid-request');
  });

  it.each([
    ['a new password', (person: SignedIn) => changePassword(person)],
    ['a reset', (person: SignedIn) => resetPassword(person)],
  ])('is off with %s: whoever gets the notice can stop it', async (_what, stop) => {
    const person = await askedForEmail(service, await signedInPerson(service));
    const token = await linkTo(person.newAddress);
    expect((await stop(person)).status).toBeLessThan(300);
    expectProblem(await confirm(token), 'invalid-token');
    expect(await holders(person.newAddress)).toEqual([]);
  });

  it('is off when the account was suspended', async () => {
    const person = await askedForEmail(service, await signedInPerson(service));
    await sql`update accounts set status = 'suspended' where id = ${person.id}`;
    expectProblem(await confirm(await linkTo(person.newAddress)), 'invalid-token');
    expect(await holders(person.newAddress)).toEqual([]);
  });
});

describe('an address that several want', () => {
  it('goes to the one of two accounts that confirms first, at whatever moment', async () => {
    const address = newEmail();
    const links: string[] = [];
    const people = await Promise.all(Array.from({ length: 12 }, () => signedInPerson(service)));
    for (const person of people) {
      await askedForEmail(service, person, address);
      links.push(await linkTo(address));
    }
    expect(tally(await Promise.all(links.map(confirm)))).toEqual({ '200': 1, conflict: 11 });
    expect(await holders(address)).toHaveLength(1);
    expect(people.map(({ id }) => id)).toContain((await holders(address))[0]);
  });

  it('is lost to a registration that was confirmed in between', async () => {
    const { newAddress, email } = await askedForEmail(service, await signedInPerson(service));
    const link = await linkTo(newAddress);
    await api.post('/api/auth/register', { email: newAddress, password: PASSWORD });
    await api.post('/api/auth/verify-email', { token: await mail.token(newAddress, 'verify-email') });
    expectProblem(await confirm(link), 'conflict');
    expect(await holders(email)).toHaveLength(1);
    expect(await tryLogin(api, { email, password: PASSWORD })).toMatchObject({ status: 200 });
  });

  it('is not lost to a registration that nobody has confirmed: that one gives way', async () => {
    const squatter = await registeredPerson(service);
    const person = await askedForEmail(service, await signedInPerson(service), squatter.email);
    const squattersLink = await mail.token(squatter.email, 'verify-email');
    expect(await confirm(await linkTo(squatter.email))).toMatchObject({ status: 200 });
    expect(await holders(squatter.email)).toEqual([person.id]);
    expectProblem(await api.post('/api/auth/verify-email', { token: squattersLink }), 'invalid-token');
    expect(await sql`select details from audit_events where account_id = ${squatter.id} and type = 'ACCOUNT_ERASED'`).toMatchObject([
      { details: { reason: 'address-confirmed-by-another' } },
    ]);
  });

  it('[V2.3.4] has one account, and nobody a 500, when fifty registrations meet the confirmation', async () => {
    const person = await askedForEmail(service, await signedInPerson(service));
    const link = await linkTo(person.newAddress);
    const register = () => api.post('/api/auth/register', { email: person.newAddress, password: PASSWORD });
    const [confirmed, ...registered] = await Promise.all([confirm(link), ...Array.from({ length: 50 }, register)]);
    const { '201': answered = 0, unavailable = 0, ...others } = tally(registered); // a busy machine may shed some
    expect([answered + unavailable, others]).toEqual([50, {}]);
    expect(['200', 'conflict']).toContain(Object.keys(tally([confirmed as Answer]))[0]);
    expect(await holders(person.newAddress)).toHaveLength(1);
  });

  it('is lost to a registration that the confirmation meets in the act of being stored, without a 500', async () => {
    const person = await askedForEmail(service, await signedInPerson(service));
    const link = await linkTo(person.newAddress);
    let answer: Promise<Answer> | undefined;
    await sql.begin(async (tx) => {
      await tx`insert into accounts (id, email, email_canonical, created_at, updated_at)
        values (gen_random_uuid(), ${person.newAddress}, ${person.newAddress}, now(), now())`;
      answer = confirm(link);
      await waits();
    });
    if (answer) expectProblem(await answer, 'conflict');
    expect((await api.get('/api/auth/me', person.accessToken)).body.email).toBe(person.email);
  });
});

async function waits(): Promise<void> {
  await until('the confirmation waits', async () => {
    const rows = await sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
    return rows.length > 0;
  });
}

function changePassword({ accessToken }: SignedIn): Promise<Answer> {
  return api.post('/api/auth/change-password', { current_password: PASSWORD, new_password: OTHER_PASSWORD }, accessToken);
}

async function resetPassword({ email }: SignedIn): Promise<Answer> {
  await api.post('/api/auth/forgot-password', { email });
  return api.post('/api/auth/reset-password', { token: await mail.token(email, 'reset-password'), new_password: OTHER_PASSWORD });
}
