import type { Reads, ServiceClient, Writes } from '#application/ports/store.ts';
import type { Handle } from './connect.ts';

type Row = { id: string; name: string; created_at: Date; revoked_at: Date | null };

export function serviceClientReads(sql: Handle): Reads['serviceClients'] {
  return {
    async find(id, secretHash) {
      // By its hash alone a secret is looked up in time that tells nothing of it.
      const [row] = await sql<Row[]>`
        select id, name, created_at, revoked_at from service_clients where id = ${id} and secret_hash = ${secretHash} and revoked_at is null`;
      return row ? clientOf(row) : null;
    },
    async list() {
      return (await sql<Row[]>`select id, name, created_at, revoked_at from service_clients order by id desc`).map(clientOf);
    },
  };
}

export function serviceClientWrites(sql: Handle): Omit<Writes['serviceClients'], keyof Reads['serviceClients']> {
  return {
    async add({ id, name, secretHash }, at) {
      await sql`insert into service_clients (id, name, secret_hash, created_at) values (${id}, ${name}, ${secretHash}, ${at})`;
    },
    async revoke(id, at) {
      const [row] = await sql<Row[]>`
        update service_clients set revoked_at = ${at} where id = ${id} and revoked_at is null returning id, name, created_at, revoked_at`;
      return row ? clientOf(row) : null;
    },
  };
}

function clientOf({ id, name, created_at: createdAt, revoked_at: revokedAt }: Row): ServiceClient {
  return { id, name, createdAt, revokedAt };
}
