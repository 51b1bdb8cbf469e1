import { z } from 'zod';
import type { blockIps } from '#application/block-ips.ts';
import type { IpBlock } from '#application/ports/store.ts';
import { isRefusal } from '#domain/problems.ts';
import { pageOf, readCursor } from '../cursor.ts';
import { idInPath, oneLine, pageFields, time } from '../fields.ts';
import { type Route, route } from '../route.ts';
import { instant } from '../views.ts';

const IpBlockView = z
  .object({
    id: z.uuid(),
    network: z.string().describe('CIDR'),
    reason: z.string(),
    origin: z.enum(['manual', 'automatic']),
    created_by: z.uuid().nullable(),
    created_at: instant,
    ends_at: instant.nullable().describe('null: it stays until it is removed'),
  })
  .meta({ id: 'IpBlock' });

function ipBlockView(block: IpBlock): z.input<typeof IpBlockView> {
  return {
    id: block.id,
    network: block.network,
    reason: block.reason,
    origin: block.origin,
    created_by: block.createdBy,
    created_at: block.createdAt.toISOString(),
    ends_at: block.endsAt?.toISOString() ?? null,
  };
}

export function blockIpsRoutes(use: ReturnType<typeof blockIps>): Route[] {
  const common = { path: '/api/admin/ip-blocks', tag: 'Administration' } as const;
  return [
    route({
      ...common,
      method: 'GET',
      summary: 'The blocks in force, the newest first',
      access: { aal: 'aal2', permission: 'ip-blocks:write' },
      problems: [],
      query: z.strictObject(pageFields),
      responses: {
        200: {
          description: 'A page of blocks',
          schema: z.object({ ip_blocks: z.array(IpBlockView), next_cursor: z.string().nullable() }).meta({ id: 'IpBlocks' }),
        },
      },
      async handler({ query }) {
        const position = readCursor(query.cursor, z.tuple([z.uuid()]));
        if (isRefusal(position)) return position;
        const found = await use.list(position?.[0] ?? null, query.limit);
        const { items, nextCursor } = pageOf(found, query.limit, ({ id }) => [id]);
        return { status: 200, body: { ip_blocks: items.map(ipBlockView), next_cursor: nextCursor } };
      },
    }),
    route({
      ...common,
      method: 'POST',
      summary: 'Block an address or a network',
      description: 'In force everywhere within two seconds. Probes, keys and metadata are answered all the same.',
      access: { aal: 'aal2', permission: 'ip-blocks:write', stepUp: true },
      problems: ['conflict'],
      body: z.strictObject({
        network: z
          .string()
          .min(1)
          .max(64)
          .describe('an address or a CIDR')
          .meta({ examples: ['192.0.2.0/24'] }),
        reason: oneLine(200).describe('for those who look at it later'),
        ends_at: time.nullable().default(null).describe('none: it stays until it is removed'),
      }),
      responses: { 201: { description: 'The block', schema: IpBlockView } },
      async handler({ body, principal, client }) {
        const endsAt = body.ends_at === null ? null : new Date(body.ends_at);
        const outcome = await use.add(principal, { network: body.network, reason: body.reason, endsAt }, client);
        return isRefusal(outcome) ? outcome : { status: 201, body: ipBlockView(outcome) };
      },
    }),
    route({
      ...common,
      method: 'DELETE',
      path: '/api/admin/ip-blocks/{id}',
      summary: 'Remove a block',
      access: { aal: 'aal2', permission: 'ip-blocks:write', stepUp: true },
      problems: ['not-found'],
      params: z.strictObject({ id: idInPath }),
      responses: { 204: { description: 'It is gone' } },
      async handler({ params, principal, client }) {
        return (await use.remove(principal, params.id, client)) ?? { status: 204 };
      },
    }),
  ];
}
