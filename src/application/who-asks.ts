import type { Client } from '#domain/client.ts';
import { type Refusal, refuse } from '#domain/problems.ts';
import { type CeremonyBinding, isSameClient, PRE_AUTH_TRIES, type PreAuth } from '#domain/tickets.ts';
import type { Needs } from './ports/services.ts';

/** Who may have a code or a challenge for a known account: a sign-in that waits, or a signed-in user who steps up. */
export type Asker = { preAuthToken: string } | { accessToken: string };

export type Asked = { accountId: string; binding: CeremonyBinding };

/** @returns whose it will be, and the sign-in or session that it will be good for; no try of the ticket is counted */
export function whoAsks({ store, secrets, accessTokens, clock }: Needs<'store' | 'secrets' | 'accessTokens' | 'clock'>) {
  return async (asker: Asker, client: Client): Promise<Asked | Refusal<'invalid-token' | 'unauthenticated' | 'account-suspended'>> => {
    const at = clock.now();
    if ('preAuthToken' in asker) {
      const hash = secrets.ticketHash(asker.preAuthToken);
      const ticket = await store.read((records) => records.tickets.find<PreAuth>('pre-auth', hash, PRE_AUTH_TRIES, at));
      if (ticket === null || !isSameClient(ticket.context, client)) return refuse('invalid-token');
      return { accountId: ticket.accountId, binding: { preAuthId: ticket.id } };
    }
    const claims = accessTokens.verify(asker.accessToken, at);
    const live = claims && (await store.hot.authenticate(claims.sessionId, at));
    if (!live) return refuse('unauthenticated');
    if (live.account.status === 'suspended') return refuse('account-suspended');
    return { accountId: live.account.id, binding: { sessionId: live.session.id } };
  };
}
