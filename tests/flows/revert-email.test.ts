import { afterAll, describe, expect, it } from 'vitest';
import { expectProblem, tally } from '#tests/support/api.ts';
import { DAY, MINUTE } from '#tests/support/clock.ts';
import { askedForEmail, movedPerson } from '#tests/support/email-changes.ts';
import { OTHER_PASSWORD, PASSWORD, type Person, signedInPerson, signIn, tokensOf, tryLogin } from '#tests/support/people.ts';
import {
  assertionOf,
  authenticatorOf,
  enrolPasskey,
  enrolPhone,
  enrolTotp,
  personWithTotp,
  preAuthOf,
  signInWithTotp,
  smsCode,
  verifyMfa,
} from '#tests/support/second-factors.ts';
import { startService } from '#tests/support/service.ts';

/** The way back for whoever finds their account moved: proved with a thief who has the password and a fresh session. */

const service = await startService();
const { clock, sql, mail } = service;
const api = service.api();
afterAll(service.stop);

const revert = (token: string) => api.post('/api/auth/change-email/revert', { token });
const linkTo = (address: string) => mail.token(address, 'revert-email');
const addressOf = async ({ id }: Person) => (await sql`select email from accounts where id = ${id}`)[0]?.['email'];
const resetWith = (token: string) => api.post('/api/auth/reset-password', { token, new_password: OTHER_PASSWORD });

describe('taking an account back', () => {
  it('restores the address, ends every session and the password, and mails a link for a new one to the old address', async () => {
    const person = await movedPerson(service, await signedInPerson(service));
    expect((await revert(await linkTo(person.email))).body).toEqual({ status: 'reverted' });
    expect(await addressOf(person)).toBe(person.email);
    expectProblem(await api.get('/api/auth/me', person.accessToken), 'unauthenticated');
    expectProblem(await api.post('/api/auth/refresh', { refresh_token: person.refreshToken }), 'invalid-refresh-token');
    for (const email of [person.email, person.newAddress])
      expectProblem(await tryLogin(api, { email, password: PASSWORD }), 'invalid-credentials');
    expectProblem(await api.post('/api/auth/login', { username: person.username, password: PASSWORD }), 'invalid-credentials');

    expect(await resetWith(await mail.token(person.email, 'reset-password'))).toMatchObject({ status: 204 });
    await signIn(api, { ...person, password: OTHER_PASSWORD });
    expect((await mail.to(person.newAddress))[0]?.subject).toContain('taken off');
    const [event] = await sql`select risk, details from audit_events where account_id = ${person.id} and type = 'EMAIL_CHANGE_REVERTED'`;
    expect(event).toMatchObject({ risk: 80, details: { ended: 1 } });
  });

  it('removes what the thief enrolled meanwhile, and leaves what the owner had', async () => {
    const owner = await enrolPhone(service, await signedInPerson(service), '+1 415 555 2690');
    clock.advance(8 * DAY);
    const preAuth = await preAuthOf(api, owner);
    await api.post('/api/sms-mfa/send-code', { pre_auth_token: preAuth });
    const person = { ...owner, ...tokensOf(await verifyMfa(api, preAuth, 'sms', await smsCode(service, '+14155552690'))) };
    await askedForEmail(service, person);
    clock.advance(MINUTE);
    const { authenticator } = await enrolPasskey(service, person, authenticatorOf(service));
    await enrolTotp(service, person);
    const moved = await movedPerson(service, person);
    await revert(await linkTo(person.email));
    const credential = await assertionOf(service, authenticator);
    expectProblem(await api.post('/api/auth/webauthn/authenticate/verify', { credential }), 'invalid-code');
    await resetWith(await mail.token(person.email, 'reset-password'));
    const answer = await tryLogin(api, { email: person.email, password: OTHER_PASSWORD });
    expect(answer.body).toMatchObject({ status: 'mfa_required', methods: ['sms'] });
    expect(await addressOf(moved)).toBe(person.email);
  });

  it('leaves no recovery codes behind that stand in for nothing', async () => {
    const person = await askedForEmail(service, await signedInPerson(service));
    clock.advance(1);
    await enrolTotp(service, person);
    await movedPerson(service, person);
    await revert(await linkTo(person.email));
    expect(await sql`select 1 from recovery_codes where account_id = ${person.id}`).toEqual([]);
  });

  it('[V6.4.3] keeps the second factor of an account that held one: the old mailbox alone opens nothing', async () => {
    const enrolled = await personWithTotp(service);
    clock.advance(8 * DAY);
    const person = await signInWithTotp(service, enrolled);
    await movedPerson(service, person);
    await revert(await linkTo(person.email));
    await resetWith(await mail.token(person.email, 'reset-password'));
    await signInWithTotp(service, { ...person, password: OTHER_PASSWORD });
  });

  it('kills what the thief has asked for: a reset link, another move', async () => {
    const person = await movedPerson(service, await signedInPerson(service));
    await api.post('/api/auth/forgot-password', { email: person.newAddress });
    const thiefsReset = await mail.token(person.newAddress, 'reset-password');
    const { newAddress: third } = await askedForEmail(service, person);
    await revert(await linkTo(person.email));
    expectProblem(await resetWith(thiefsReset), 'invalid-token');
    expectProblem(await api.post('/api/auth/change-email/confirm', { token: await mail.token(third, 'change-email') }), 'invalid-token');
  });

  it('cannot be shaken off by moving on: the first owner wins, and the links of later moves are dead', async () => {
    const person = await movedPerson(service, await signedInPerson(service));
    const second = person.newAddress;
    clock.advance(MINUTE);
    const { newAddress: third } = await movedPerson(service, person);
    expect(await addressOf(person)).toBe(third);
    const thiefsLink = await linkTo(second);
    expect(await revert(await linkTo(person.email))).toMatchObject({ status: 200 });
    expect(await addressOf(person)).toBe(person.email);
    expectProblem(await revert(thiefsLink), 'invalid-token');
  });

  it('cannot be shaken off by going back one move either', async () => {
    const person = await movedPerson(service, await signedInPerson(service));
    const second = person.newAddress;
    clock.advance(MINUTE);
    await movedPerson(service, person);
    expect(await revert(await linkTo(second))).toMatchObject({ status: 200 });
    expect(await addressOf(person)).toBe(second);
    expect(await revert(await linkTo(person.email))).toMatchObject({ status: 200 });
    expect(await addressOf(person)).toBe(person.email);
  });

  it('cannot be kept out by registering the old address: who never confirmed it gives way', async () => {
    const person = await movedPerson(service, await signedInPerson(service));
    await api.post('/api/auth/register', { email: person.email, password: 'a thief chose this one' });
    expect(await revert(await linkTo(person.email))).toMatchObject({ status: 200 });
    expect(await addressOf(person)).toBe(person.email);
    expect(await sql`select 1 from accounts where email_canonical = ${person.email}`).toHaveLength(1);
  });

  it('is refused when the old address has a confirmed account of its own by then', async () => {
    const person = await movedPerson(service, await signedInPerson(service));
    const link = await linkTo(person.email);
    await api.post('/api/auth/register', { email: person.email, password: PASSWORD });
    await api.post('/api/auth/verify-email', { token: await mail.token(person.email, 'verify-email') });
    expectProblem(await revert(link), 'conflict');
    expect(await addressOf(person)).toBe(person.newAddress);
    expect(await api.get('/api/auth/me', person.accessToken)).toMatchObject({ status: 200 });
  });

  it('[V2.3.4] works for exactly one of fifty at once, for seven days, and with no other ticket', async () => {
    const person = await movedPerson(service, await signedInPerson(service));
    const late = await movedPerson(service, await signedInPerson(service));
    const token = await linkTo(person.email);
    expect(tally(await Promise.all(Array.from({ length: 50 }, () => revert(token))))).toEqual({ '200': 1, 'invalid-token': 49 });
    expectProblem(await revert(await mail.token(person.newAddress, 'change-email')), 'invalid-token');
    const lateLink = await linkTo(late.email);
    clock.advance(7 * DAY);
    expectProblem(await revert(lateLink), 'invalid-token');
    expect(await addressOf(late)).toBe(late.newAddress);
  });

  it('leaves the link of a move that was honest alone: a reset or a new password does not kill the way back', async () => {
    const person = await movedPerson(service, await signedInPerson(service));
    const changed = await api.post(
      '/api/auth/change-password',
      { current_password: PASSWORD, new_password: OTHER_PASSWORD },
      person.accessToken,
    );
    tokensOf(changed);
    await api.post('/api/auth/forgot-password', { email: person.newAddress });
    await resetWith(await mail.token(person.newAddress, 'reset-password'));
    expect(await revert(await linkTo(person.email))).toMatchObject({ status: 200 });
    expectProblem(await tryLogin(api, { email: person.email, password: OTHER_PASSWORD }), 'invalid-credentials');
  });
});
