import { randomUUID } from 'node:crypto';
import { expect, it } from 'vitest';
import { fernetBox, newFernetKey, parseFernetKeys } from '#infrastructure/crypto/fernet.ts';
import { runLatchkey } from '#tests/support/cli.ts';
import { openedForTests } from './opened.ts';
import { account } from './records.ts';

const here = openedForTests();
const at = new Date();
const [older, newer] = [newFernetKey(), newFernetKey()];

/** What the command prints with this FERNET_KEY on the test's database. */
async function run(keys: string, ...args: string[]): Promise<{ code: number; printed: string[] }> {
  const { code, printed, complained } = await runLatchkey(['secrets', ...args], here.address, { FERNET_KEY: keys });
  return { code, printed: [...printed, ...complained] };
}

it('[V13.3.4] encrypts every stored secret anew with the first key, so that the old one can go', async () => {
  const box = fernetBox(parseFernetKeys(older));
  const COUNT = 450; // more than two batches
  for (let made = 0; made < COUNT; made++) {
    const { id } = await account(here.sql, at);
    const totp = { id: randomUUID(), accountId: id, sessionId: randomUUID(), secret: box.seal(`secret of ${id}`) };
    await here.store.transaction((tx) => tx.authenticators.beginTotp(totp, at));
  }
  expect(await run(`${newer},${older}`, 'reencrypt')).toEqual({ code: 0, printed: [`${COUNT} of ${COUNT} secrets encrypted anew`] });
  expect(await run(`${newer},${older}`, 'reencrypt')).toEqual({ code: 0, printed: [`0 of ${COUNT} secrets encrypted anew`] });
  const opener = fernetBox(parseFernetKeys(newer));
  const rows = await here.sql<{ account_id: string; secret: string }[]>`select account_id, secret from totp_authenticators`;
  for (const { account_id, secret } of rows) expect(opener.open(secret)).toBe(`secret of ${account_id}`);
});

it('changes nothing and says why when a secret is of a key that is not there', async () => {
  const { id } = await account(here.sql, at);
  const secret = fernetBox(parseFernetKeys(older)).seal('a secret');
  await here.store.transaction((tx) => tx.authenticators.beginTotp({ id: randomUUID(), accountId: id, sessionId: id, secret }, at));
  const { code, printed } = await run(newer, 'reencrypt');
  expect(code).toBe(1);
  expect(printed.join()).toContain('FERNET_KEY');
  expect(printed.join()).not.toContain('a secret');
  expect(await here.sql`select secret from totp_authenticators`).toEqual([{ secret }]);
});

it('prints a key that FERNET_KEY takes, and complains of words that it does not know', async () => {
  const { code, printed } = await run(newer, 'generate');
  expect([code, parseFernetKeys(printed[0] ?? '').length]).toEqual([0, 1]);
  expect((await run(newer, 'forget')).code).toBe(2);
  expect((await run(newer)).code).toBe(2);
});
