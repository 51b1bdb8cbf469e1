import { afterEach, beforeEach, it } from 'vitest';
import { expectProblem } from '#tests/support/api.ts';
import { OTHER_PASSWORD, PASSWORD, type SignedIn, signedInPerson, signIn, tokensOf, tryLogin } from '#tests/support/people.ts';
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
