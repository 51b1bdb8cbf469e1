import { afterEach, beforeEach, expect, it } from 'vitest';
import { SECOND_FACTOR_TRIES } from '#domain/lockout.ts';
import { expectProblem } from '#tests/support/api.ts';
import { OTHER_PASSWORD, PASSWORD, type SignedIn, signedInPerson, signIn, tokensOf, tryLogin } from '#tests/support/people.ts';
import { nextCode, personWithTotp, preAuthOf, signInWithTotp, verifyMfa, wrongCode } from '#tests/support/second-factors.ts';
import { startService, type TestService } from '#tests/support/service.ts';

/** A PostgreSQL that answers, and cannot write: here it says that its disk is full (53100). */

let service: TestService;
let person: SignedIn;
beforeEach(async () => {
  service = await startService({ settings: { LOG_LEVEL: 'silent' } });
  person = await signedInPerson(service);
});
afterEach(() => service.stop());

/** From now on there is no room for a new row of this table, or for a new version of one. */
async function fill(table: 'sessions' | 'accounts'): Promise<void> {
  await service.sql`
    create function no_room() returns trigger language plpgsql as
      $$ begin raise exception 'could not extend file: No space left on device' using errcode = '53100'; end $$`;
  await service.sql`create trigger no_room before insert or update on ${service.sql(table)} execute function no_room()`;
}
const clear = () => service.sql`drop function no_room() cascade`;

it('[V16.5.2] right passwords that no session could be opened for are 503, and lock nobody out', async () => {
  await fill('sessions');
  for (let tried = 0; tried < 2 * service.config.MAX_LOGIN_ATTEMPTS; tried++) {
    expectProblem(await tryLogin(service.api(), person), 'unavailable');
  }
  await clear();
  await signIn(service.api(), person);
});

it('[V16.5.2] likewise for changes of password', async () => {
  await fill('accounts');
  const change = () =>
    service.api().post('/api/auth/change-password', { current_password: PASSWORD, new_password: OTHER_PASSWORD }, person.accessToken);
  for (let tried = 0; tried < 2 * service.config.MAX_LOGIN_ATTEMPTS; tried++) expectProblem(await change(), 'unavailable');
  await clear();
  tokensOf(await change());
});

it('[V16.5.3] the wrong ones among them are counted as ever', async () => {
  await fill('sessions');
  const guess = () => tryLogin(service.api(), { ...person, password: 'not the password at all' });
  for (let tried = 0; tried < service.config.MAX_LOGIN_ATTEMPTS; tried++) expectProblem(await guess(), 'invalid-credentials');
  expectProblem(await tryLogin(service.api(), person), 'account-locked');
});

// A PostgreSQL that goes away between the count and the verdict can take nothing back: that try stays counted until another is right. Ten
// in a row must fall into that gap to lock anybody.
it('[V16.5.2] right second factors that nobody could judge are 503, and lock nobody out', async () => {
  const holder = await personWithTotp(service);
  await fill('sessions');
  for (let tried = 0; tried < 2 * SECOND_FACTOR_TRIES.perLock; tried++) {
    const preAuth = await preAuthOf(service.api(), holder);
    expectProblem(await verifyMfa(service.api(), preAuth, 'totp', nextCode(service, holder)), 'unavailable');
  }
  await clear();
  await signInWithTotp(service, holder);
});

it('[V16.5.2] likewise for step-ups', async () => {
  const holder = await personWithTotp(service);
  const stepUp = () =>
    service.api().post('/api/auth/reauthenticate', { method: 'totp', code: nextCode(service, holder) }, holder.accessToken);
  await fill('sessions');
  for (let tried = 0; tried < 2 * SECOND_FACTOR_TRIES.perLock; tried++) expectProblem(await stepUp(), 'unavailable');
  await clear();
  expect(await stepUp()).toMatchObject({ status: 200 });
});

it('[V16.5.3] wrong second factors before and after are counted as ever, and one that nobody could judge does not lock in their place', async () => {
  const holder = await personWithTotp(service);
  const tryWith = async (code: string) => verifyMfa(service.api(), await preAuthOf(service.api(), holder), 'totp', code);
  const guess = () => tryWith(wrongCode(service, holder.secret));
  for (let tried = 1; tried < SECOND_FACTOR_TRIES.perLock; tried++) expectProblem(await guess(), 'invalid-code');
  await fill('sessions');
  for (let tried = 0; tried < 2; tried++) expectProblem(await tryWith(nextCode(service, holder)), 'unavailable');
  expectProblem(await guess(), 'invalid-code');
  expectProblem(await tryWith(nextCode(service, holder)), 'account-locked');
});
