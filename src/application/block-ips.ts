import type { Client } from '#domain/client.ts';
import { harmOf, MOST_IP_BLOCKS, parseNetwork, writeNetwork } from '#domain/ip-blocks.ts';
import { type Refusal, refuse } from '#domain/problems.ts';
import { type ActingRefusal, act, administrativeEvent } from './administration.ts';
import type { Needs } from './ports/services.ts';
import type { Caller } from './ports/sessions.ts';
import type { IpBlock } from './ports/store.ts';

export function blockIps(needs: Needs<'store' | 'secrets' | 'clock'>) {
  const { store, secrets, clock } = needs;
  return {
    /** Those in force, newest first. @returns one more than `limit` when there are more */
    list: (beforeId: string | null, limit: number): Promise<IpBlock[]> =>
      store.read((records) => records.ipBlocks.list(beforeId, limit + 1, clock.now())),

    /**
     * Blocks an address or a network, until `endsAt` or for good; every process knows within two seconds. Refused for what would hurt
     * whoever asks: their own address, this machine, a part of the world that is too wide.
     */
    async add(
      caller: Caller,
      { network: text, reason, endsAt }: { network: string; reason: string; endsAt: Date | null },
      client: Client,
    ): Promise<IpBlock | ActingRefusal | Refusal<'invalid-request' | 'conflict'>> {
      const at = clock.now();
      const network = parseNetwork(text);
      if (typeof network === 'string') return invalid('/network', network);
      const harm = harmOf(network, client.ip);
      if (harm !== null) return invalid('/network', harm);
      if (endsAt !== null && endsAt <= at) return invalid('/ends_at', 'Give a time that is to come.');
      const block = { id: secrets.id(), network: writeNetwork(network), reason, createdBy: caller.account.id, createdAt: at, endsAt };
      return await act(needs, caller, 'ip-blocks:write', client, at, async (tx) => {
        const added = await tx.ipBlocks.add({ ...block, origin: 'manual' });
        if (added === 'exists') return refuse('conflict', { detail: 'This network is blocked already; remove that block first.' });
        if (added === 'full') return refuse('conflict', { detail: `There are ${MOST_IP_BLOCKS} blocks; remove some first.` });
        const change = { before: null, after: detailsOf(added) };
        await tx.audit.record(administrativeEvent(needs, 'IP_BLOCKED', caller, caller.account.id, change, client, at));
        return added;
      });
    },

    remove(caller: Caller, id: string, client: Client): Promise<null | ActingRefusal> {
      const at = clock.now();
      return act(needs, caller, 'ip-blocks:write', client, at, async (tx) => {
        const removed = await tx.ipBlocks.remove(id);
        if (removed === null) return refuse('not-found');
        const change = { before: detailsOf(removed), after: null };
        await tx.audit.record(administrativeEvent(needs, 'IP_UNBLOCKED', caller, caller.account.id, change, client, at));
        return null;
      });
    },
  };
}

function detailsOf({ id, network, reason, origin, endsAt }: IpBlock) {
  return { id, network, reason, origin, ends_at: endsAt?.toISOString() ?? null };
}

function invalid(pointer: '/network' | '/ends_at', detail: string): Refusal<'invalid-request'> {
  return refuse('invalid-request', { detail, errors: [{ pointer, detail }] });
}
