import { connect, type DatabaseAddress } from './connect.ts';

const BATCH = 200;

/**
 * Encrypts the secrets of authenticators anew, in batches while the service runs: a secret that changes meanwhile is left alone.
 * @param renew the sealed secret under the newest key; null: it is already @throws what `renew` throws, naming no secret
 * @param onProgress hears how many were looked at
 * @returns how many were looked at, and how many were changed
 */
export async function reencryptSecrets(
  address: DatabaseAddress,
  renew: (sealed: string) => string | null,
  onProgress: (seen: number) => void = () => {},
): Promise<{ seen: number; changed: number }> {
  const sql = connect(address, { max: 1, connect_timeout: 5 });
  const count = { seen: 0, changed: 0 };
  try {
    for (let after = '00000000-0000-0000-0000-000000000000'; ; ) {
      const rows = await sql<{ id: string; secret: string }[]>`
        select id, secret from totp_authenticators where id > ${after} order by id limit ${BATCH}`;
      for (const { id, secret } of rows) {
        const renewed = renew(secret);
        count.seen++;
        if (renewed === null) continue;
        const changed = await sql`update totp_authenticators set secret = ${renewed} where id = ${id} and secret = ${secret}`;
        count.changed += changed.count;
      }
      onProgress(count.seen);
      const last = rows.at(-1);
      if (last === undefined) return count;
      after = last.id;
    }
  } finally {
    await sql.end();
  }
}
