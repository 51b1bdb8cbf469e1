import type { SessionEnd } from './ports/sessions.ts';
import type { Writes } from './ports/store.ts';

/**
 * What an account has lost must not live on in what it holds: its sessions end, with them every token of theirs (our own routes ask
 * for the session), and sign-ins under way begin anew. In the transaction that takes it away. @returns how many sessions lived
 */
export async function endAccess(tx: Writes, accountId: string, reason: SessionEnd, at: Date): Promise<number> {
  const ended = await tx.sessions.endAll(accountId, reason, at);
  for (const purpose of ['pre-auth', 'sms-code', 'reset-password'] as const) await tx.tickets.cancelAll(accountId, purpose, at);
  return ended;
}
