import { afterAll, describe, expect, it } from 'vitest';
import { eraseAccounts } from '#application/erase-accounts.ts';
import { deriveKeys } from '#infrastructure/crypto/derive-keys.ts';
import { secrets } from '#infrastructure/crypto/secrets.ts';
import { openDatabase } from '#infrastructure/postgres/database.ts';
import { postgresStore } from '#infrastructure/postgres/store.ts';
import { DAY, HOUR, testClock } from '#tests/support/clock.ts';
import { registeredPerson, signedInPerson } from '#tests/support/people.ts';
import { startService } from '#tests/support/service.ts';

const service = await startService();
const { sql } = service;
const { policy } = service.config;
const api = service.api();
const own = openDatabase(service.database.address, { poolSize: 1, prepare: true });
afterAll(async () => {
  await own.close();
  await service.stop();
});

/** What a worker erases whose clock is so far from the database's, to its end. */
async function erasure(secondsAhead: number): Promise<void> {
  const clock = testClock();
  clock.advance(secondsAhead);
  const services = { store: postgresStore(own), secrets: secrets(deriveKeys(Buffer.alloc(32))), clock, policy };
  await eraseAccounts(services)(new AbortController().signal, (id, error) => {
    throw new Error(`${id} cannot be erased`, { cause: error });
  });
}

/** One that its owner deleted, one that nobody has verified. */
async function waiting(): Promise<string[]> {
  const [deleted, never] = [await signedInPerson(service), await registeredPerson(service)];
  expect(await api.delete('/api/auth/me', deleted.accessToken)).toMatchObject({ status: 204 });
  return [deleted.id, never.id];
}
const left = async (ids: string[]) => (await sql`select from accounts where id in ${sql(ids)}`).length;
const makeDue = (ids: string[]) => sql`
  update accounts set erase_at = erase_at - interval '40 days', verify_by = verify_by - interval '40 days' where id in ${sql(ids)}`;
const endLinks = (ids: string[]) => sql`update tickets set expires_at = expires_at - interval '40 days' where account_id in ${sql(ids)}`;

describe('a worker whose clock is wrong', () => {
  it.each([
    ['31 days', 31 * DAY],
    ['ten years', 3650 * DAY],
  ])('%s ahead erases nothing before its time', async (_how, ahead) => {
    const ids = await waiting();
    await endLinks(ids);
    await erasure(ahead);
    expect(await left(ids)).toBe(2);
  });

  it('ahead takes no open link for one that is over', async () => {
    const ids = await waiting();
    await makeDue(ids);
    await erasure(31 * DAY);
    expect(await sql`select email_verified_at from accounts where id in ${sql(ids)}`).toEqual([{ email_verified_at: null }]);
  });

  it('behind erases later, and either of them what both know to be due', async () => {
    for (const wrong of [-HOUR, 31 * DAY]) {
      const ids = await waiting();
      await makeDue(ids);
      await endLinks(ids);
      await erasure(-41 * DAY);
      expect(await left(ids)).toBe(2);
      await erasure(wrong);
      expect(await left(ids)).toBe(0);
    }
  });
});
