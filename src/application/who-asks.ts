import type { Client } from '#domain/client.ts';
import { type Refusal, refuse } from '#domain/problems.ts';
import { type CeremonyBinding, isSameClient, PRE_AUTH_TRIES, type PreAuth } from '#domain/tickets.ts';
import type { Needs } from './ports/services.ts';
import type { Caller } from './ports/sessions.ts';

/** Who may have a code or a challenge for a known account: a sign-in that waits, or a signed-in user who steps up. */
export type Asker = { preAuthToken: string } | { caller: Caller };

export type Asked = { accountId: string; binding: CeremonyBinding };

/** @returns whose it will be, and the sign-in or session that it will be good for; no try of the ticket is counted */
export function whoAsks({ store, secrets, clock }: Needs<'store' | 'secrets' | 'clock'>) {
  return async (asker: Asker, client: Client): Promise<Asked | Refusal<'invalid-token'>> => {
    if ('caller' in asker) return { accountId: asker.caller.account.id, binding: { sessionId: asker.caller.session.id } };
    const hash = secrets.ticketHash(asker.preAuthToken);
    const ticket = await store.read((records) => records.tickets.find<PreAuth>('pre-auth', hash, PRE_AUTH_TRIES, clock.now()));
    if (ticket === null || !isSameClient(ticket.context, client)) return refuse('invalid-token');
    return { accountId: ticket.accountId, binding: { preAuthId: ticket.id } };
  };
}
