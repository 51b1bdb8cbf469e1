import type { IpBlock, Reads, Writes } from '#application/ports/store.ts';
import { MOST_AUTOMATIC_IP_BLOCKS, MOST_IP_BLOCKS } from '#domain/ip-blocks.ts';
import type { Handle } from './connect.ts';

type Row = {
  id: string;
  network: string;
  reason: string;
  origin: IpBlock['origin'];
  created_by: string | null;
  created_at: Date;
  ends_at: Date | null;
};

/** What ended is taken away with what comes, so that the table does not grow. */
const SWEPT = 100;

const columns = (sql: Handle) => sql`b.id, b.network::text as network, b.reason, b.origin, b.created_by, b.created_at, b.ends_at`;

export function ipBlockReads(sql: Handle): Reads['ipBlocks'] {
  return {
    async list(beforeId, limit, at) {
      const rows = await sql<Row[]>`
        select ${columns(sql)} from ip_blocks b where (b.ends_at is null or b.ends_at > ${at})
          ${beforeId === null ? sql`` : sql`and b.id < ${beforeId}`}
        order by b.id desc limit ${limit}`;
      return rows.map(blockOf);
    },
  };
}

/** Whoever changes the blocks counts the revision up first, and so waits for whoever else does. */
export function ipBlockWrites(sql: Handle): Omit<Writes['ipBlocks'], keyof Reads['ipBlocks']> {
  const countUp = () => sql`
    insert into ip_block_revisions as r (id, revision) values (1, 1) on conflict (id) do update set revision = r.revision + 1`;
  return {
    async add({ id, network, reason, origin, createdBy, createdAt, endsAt }) {
      await countUp();
      await sql`delete from ip_blocks where id in (select id from ip_blocks where ends_at <= ${createdAt} order by ends_at limit ${SWEPT})`;
      const [row] = await sql<Row[]>`
        insert into ip_blocks as b (id, network, reason, origin, created_by, created_at, ends_at)
        select ${id}::uuid, ${network}::text::cidr, ${reason}::text, ${origin}::text, ${createdBy}::uuid, ${createdAt}::timestamptz,
          ${endsAt}::timestamptz
        where (
          select count(*) < ${MOST_IP_BLOCKS}::int
            and (${origin}::text <> 'automatic' or count(*) filter (where origin = 'automatic') < ${MOST_AUTOMATIC_IP_BLOCKS}::int)
          from ip_blocks where ends_at is null or ends_at > ${createdAt})
        on conflict (network) do update set id = excluded.id, reason = excluded.reason, origin = excluded.origin,
          created_by = excluded.created_by, created_at = excluded.created_at, ends_at = excluded.ends_at
        where b.ends_at <= ${createdAt} or (b.origin = 'automatic' and (excluded.origin = 'manual' or excluded.ends_at > b.ends_at))
        returning ${columns(sql)}`;
      if (row) return blockOf(row);
      const there = await sql`select from ip_blocks where network = ${network}::text::cidr`;
      return there.length > 0 ? 'exists' : 'full';
    },
    async remove(id) {
      await countUp();
      const [row] = await sql<Row[]>`delete from ip_blocks b where b.id = ${id} returning ${columns(sql)}`;
      return row ? blockOf(row) : null;
    },
  };
}

function blockOf({ id, network, reason, origin, created_by: createdBy, created_at: createdAt, ends_at: endsAt }: Row): IpBlock {
  return { id, network, reason, origin, createdBy, createdAt, endsAt } as IpBlock; // the table keeps that an automatic one ends
}
