import { createHash } from 'node:crypto';
import type { Identities } from '#application/ports/identities.ts';
import type { Handle } from './connect.ts';

/** Sets these advisory locks apart from others: the seed of the identity's hash. */
const IDENTITY_LOCKS = 5;

/** The verbs of Identities. */
export function identities(sql: Handle): Identities {
  async function find(issuer: string, subject: string): Promise<string | null> {
    const [row] = await sql<{ account_id: string }[]>`
      select account_id from federated_identities where issuer = ${issuer} and subject = ${subject}`;
    return row?.account_id ?? null;
  }

  return {
    async claim({ issuer, subject }) {
      const linked = await find(issuer, subject);
      if (linked !== null) return linked; // nobody waits once it is there
      // Before any account: who holds an identity's lock may wait for an account, and never the other way round.
      await sql`select pg_advisory_xact_lock(hashtextextended(${`${issuer} ${subject}`}::text, ${IDENTITY_LOCKS}::bigint))`;
      return await find(issuer, subject);
    },
    async link(accountId, { issuer, subject, heldBack }, at) {
      const known = await sql`
        update federated_identities set last_used_at = ${at}, held_back = ${heldBack}
        where issuer = ${issuer} and subject = ${subject} and account_id = ${accountId} returning account_id`;
      if (known.length === 1) return 'known';
      const linked = await sql`
        insert into federated_identities (issuer, subject, account_id, linked_at, last_used_at, held_back)
        values (${issuer}, ${subject}, ${accountId}, ${at}, ${at}, ${heldBack}) on conflict do nothing returning account_id`;
      return linked.length === 1 ? 'linked' : 'taken';
    },
    async drain(accountId, { issuer, subject, passwordHash }, at) {
      const set = await sql`
        update accounts set password_hash = ${passwordHash}, updated_at = ${at} 
        where id = ${accountId} and password_hash is null and password_withdrawn_at is null returning id`;
      if (set.length === 0) return false;
      await sql`update federated_identities set drained_at = ${at}, drained_hash = ${createHash('sha256').update(passwordHash).digest()}
        where issuer = ${issuer} and subject = ${subject} and account_id = ${accountId}`;
      return true;
    },
  };
}
