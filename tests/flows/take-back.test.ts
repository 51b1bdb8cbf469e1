import { afterAll, describe, expect, it } from 'vitest';
import { type Answer, expectProblem } from '#tests/support/api.ts';
import { DAY, MINUTE } from '#tests/support/clock.ts';
import { askedForEmail, movedPerson } from '#tests/support/email-changes.ts';
import { OTHER_PASSWORD, PASSWORD, type Person, type SignedIn, signedInPerson, signIn, tryLogin } from '#tests/support/people.ts';
import { type Authenticator, assertionOf, enrolPasskey, enrolTotp } from '#tests/support/second-factors.ts';
import { startService } from '#tests/support/service.ts';

/** Both ways back, against a thief who knows the password and does what they can to stay. */

const service = await startService();
const { clock, sql, mail } = service;
const api = service.api();
const elsewhere = service.api({
  ip: '198.51.100.20',
  userAgent: 'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36',
});
afterAll(service.stop);

/** An account, a week old, that a thief has just signed in to on a device of theirs. */
async function stolen(): Promise<{ owner: SignedIn; thief: SignedIn; link: string }> {
  const owner = await signedInPerson(service);
  clock.advance(8 * DAY);
  const thief = await signIn(elsewhere, owner);
  clock.advance(MINUTE);
  return { owner, thief, link: await mail.token(owner.email, 'report-sign-in') };
}

const report = (token: string) => api.post('/api/auth/report-sign-in', { token });
const revert = (token: string) => api.post('/api/auth/change-email/revert', { token });
const confirm = (token: string) => api.post('/api/auth/change-email/confirm', { token });
const resetWith = (token: string) => api.post('/api/auth/reset-password', { token, new_password: OTHER_PASSWORD });
const heldBy = async ({ id }: Person) => (await sql`select email, status, erase_at from accounts where id = ${id}`)[0];
const told = async ({ email }: Person) => (await mail.to(email)).filter(({ subject }) => subject.includes('new device'));

async function signInWith(authenticator: Authenticator): Promise<Answer> {
  const credential = await assertionOf(service, authenticator);
  return await elsewhere.post('/api/auth/webauthn/authenticate/verify', { credential });
}

/** The owner, with the newest link that came to their address, has the account for themselves. */
async function expectOwned(owner: Person): Promise<void> {
  expect(await heldBy(owner)).toMatchObject({ email: owner.email, status: 'active', erase_at: null });
  expect(await resetWith(await mail.token(owner.email, 'reset-password'))).toMatchObject({ status: 204 });
  await signIn(api, { ...owner, password: OTHER_PASSWORD });
}

describe('"this was not me"', () => {
  it('[V7.4.3] stops the change of address that the thief has asked for', async () => {
    const { owner, thief, link } = await stolen();
    const { newAddress } = await askedForEmail(service, thief);
    expect(await report(link)).toMatchObject({ status: 200 });
    expectProblem(await confirm(await mail.token(newAddress, 'change-email')), 'invalid-token');
    await expectOwned(owner);
  });

  it('takes the account back to the address that it was mailed to, when the thief has moved it since', async () => {
    const { owner, thief, link } = await stolen();
    const { newAddress } = await movedPerson(service, thief);
    clock.advance(MINUTE);
    const { newAddress: third } = await movedPerson(service, thief);
    expect(await report(link)).toMatchObject({ status: 200 });
    for (const address of [newAddress, third]) {
      expect((await mail.to(address)).flatMap(({ links }) => links).filter((one) => one.includes('/reset-password#'))).toEqual([]);
      expectProblem(await tryLogin(api, { email: address, password: PASSWORD }), 'invalid-credentials');
    }
    expect((await mail.to(third))[0]?.subject).toContain('taken off');
    expectProblem(await revert(await mail.token(newAddress, 'revert-email')), 'invalid-token');
    await expectOwned(owner);
  });

  it('removes what the thief enrolled to sign in with, and recovery codes that stand in for nothing', async () => {
    const { owner, thief, link } = await stolen();
    const { authenticator } = await enrolPasskey(service, thief);
    await enrolTotp(service, thief);
    expect(await report(link)).toMatchObject({ status: 200 });
    expectProblem(await signInWith(authenticator), 'invalid-code');
    expect(await sql`select 1 from recovery_codes where account_id = ${owner.id}`).toEqual([]);
    await expectOwned(owner);
  });

  it('can be said of an earlier sign-in too, when a later one was reported first', async () => {
    const { owner, thief, link } = await stolen();
    const { authenticator } = await enrolPasskey(service, thief);
    clock.advance(MINUTE);
    const credential = await assertionOf(service, authenticator);
    const again = service.api({ ip: '192.0.2.33', userAgent: 'curl/8.0' });
    expect(await again.post('/api/auth/webauthn/authenticate/verify', { credential })).toMatchObject({ status: 200 });
    const later = await mail.token(owner.email, 'report-sign-in');
    expect(later).not.toBe(link);
    expect(await report(later)).toMatchObject({ status: 200 });
    expect(await report(link)).toMatchObject({ status: 200 });
    expectProblem(await signInWith(authenticator), 'invalid-code');
    await expectOwned(owner);
  });

  it('brings back what the thief has deleted', async () => {
    const { owner, thief, link } = await stolen();
    await api.delete('/api/auth/me', thief.accessToken);
    expect(await report(link)).toMatchObject({ status: 200 });
    await expectOwned(owner);
  });

  it('leaves the link good, and the account as it is, when another account has the address by then', async () => {
    const { owner, thief, link } = await stolen();
    const { newAddress } = await movedPerson(service, thief);
    await api.delete('/api/auth/me', thief.accessToken);
    const other = await confirmedAt(owner.email);
    expectProblem(await report(link), 'conflict');
    expect(await heldBy(owner)).toMatchObject({ email: newAddress, status: 'deleted' });
    await sql`delete from accounts where id = ${other}`;
    expect(await report(link)).toMatchObject({ status: 200 });
    await expectOwned(owner);
  });

  it('is nothing that a thief can say: what was mailed to their address is dead once the account is back', async () => {
    const { owner, thief, link } = await stolen();
    const { newAddress } = await movedPerson(service, thief);
    clock.advance(MINUTE);
    await signIn(service.api({ ip: '192.0.2.44', userAgent: 'curl/8.0' }), { ...owner, email: newAddress });
    const thiefsLink = await mail.token(newAddress, 'report-sign-in');
    expect(await revert(await mail.token(owner.email, 'revert-email'))).toMatchObject({ status: 200 });
    expectProblem(await report(thiefsLink), 'invalid-token');
    expect(await report(link)).toMatchObject({ status: 200 });
    await expectOwned(owner);
  });
});

describe('taking an account back from its old address', () => {
  it('removes what the thief enrolled before they asked for the change', async () => {
    const { owner, thief } = await stolen();
    const { authenticator } = await enrolPasskey(service, thief);
    clock.advance(5 * MINUTE);
    await movedPerson(service, thief);
    expect(await revert(await mail.token(owner.email, 'revert-email'))).toMatchObject({ status: 200 });
    expectProblem(await signInWith(authenticator), 'invalid-code');
    await expectOwned(owner);
  });

  it('removes it too when the thief signed in again on the same device in between', async () => {
    const { owner, thief } = await stolen();
    await enrolTotp(service, thief);
    const { authenticator } = await enrolPasskey(service, thief);
    clock.advance(5 * MINUTE);
    const credential = await assertionOf(service, authenticator);
    const again = await elsewhere.post('/api/auth/webauthn/authenticate/verify', { credential });
    expect(await told(owner)).toHaveLength(1);
    await movedPerson(service, { ...thief, accessToken: again.body.access_token });
    expect(await revert(await mail.token(owner.email, 'revert-email'))).toMatchObject({ status: 200 });
    expectProblem(await signInWith(authenticator), 'invalid-code');
    await expectOwned(owner);
  });

  it('[V6.3.5] has the next sign-in told as one on a new device: the account was signed in to before', async () => {
    const { owner, thief } = await stolen();
    await movedPerson(service, thief);
    await revert(await mail.token(owner.email, 'revert-email'));
    await resetWith(await mail.token(owner.email, 'reset-password'));
    const before = await told(owner);
    await signIn(elsewhere, { ...owner, password: OTHER_PASSWORD });
    expect(await told(owner)).toHaveLength(before.length + 1);
  });

  it('leaves the link good, and a deleted account deleted, when another account has the address by then', async () => {
    const { owner, thief } = await stolen();
    const { newAddress } = await movedPerson(service, thief);
    await api.delete('/api/auth/me', thief.accessToken);
    const other = await confirmedAt(owner.email);
    const link = await mail.token(owner.email, 'revert-email');
    expectProblem(await revert(link), 'conflict');
    expect(await heldBy(owner)).toMatchObject({ email: newAddress, status: 'deleted' });
    await sql`delete from accounts where id = ${other}`;
    expect(await revert(link)).toMatchObject({ status: 200 });
    await expectOwned(owner);
  });
});

describe('a change of address', () => {
  it.each([
    ['ends the others', (owner: SignedIn) => api.delete('/api/auth/sessions', owner.accessToken)],
    ['ends that one', (owner: SignedIn, thief: SignedIn) => api.delete(`/api/auth/sessions/${thief.sessionId}`, owner.accessToken)],
    ['signs out', (_: SignedIn, thief: SignedIn) => api.post('/api/auth/logout', undefined, thief.accessToken)],
  ])('[V7.4.1] is off with the session that asked, when somebody %s', async (_how, end) => {
    const thief = await signedInPerson(service);
    const owner = await signIn(api, thief);
    const { newAddress } = await askedForEmail(service, thief);
    expect(await end(owner, thief)).toMatchObject({ status: 204 });
    expectProblem(await confirm(await mail.token(newAddress, 'change-email')), 'invalid-token');
    expect(await heldBy(owner)).toMatchObject({ email: owner.email });
  });
});

/** Somebody registers an address that is free, and confirms it. @returns the id of their account */
async function confirmedAt(email: string): Promise<string> {
  await api.post('/api/auth/register', { email, password: PASSWORD });
  await api.post('/api/auth/verify-email', { token: await mail.token(email, 'verify-email') });
  const [row] = await sql<{ id: string }[]>`select id from accounts where email_canonical = ${email}`;
  return row?.id ?? '';
}
