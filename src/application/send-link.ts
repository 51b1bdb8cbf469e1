import type { AuditEventType } from '#domain/audit-event.ts';
import type { Client } from '#domain/client.ts';
import { parseEmail } from '#domain/email.ts';
import { after } from '#domain/lifetimes.ts';
import { isRefusal, type Refusal } from '#domain/problems.ts';
import type { TicketPurpose } from '#domain/tickets.ts';
import { auditEvent } from './audit.ts';
import { mayMail } from './may-mail.ts';
import type { OutboxMessage } from './ports/outbox.ts';
import type { Allowance, Needs } from './ports/services.ts';

export type Link = {
  purpose: TicketPurpose;
  to: 'unverified' | 'active';
  ttlSeconds: number;
  event: AuditEventType;
  mail(token: string, at: Date): OutboxMessage;
};

/**
 * Mails a link that a stranger may ask for. Whether the address has an account shows neither in the answer nor in the number
 * of statements (ASVS 6.3.8); a recipient who had enough of them gets none.
 */
export function sendLink(needs: Needs<'store' | 'secrets' | 'courier' | 'clock'>, { purpose, to, ttlSeconds, event, mail }: Link) {
  const { store, secrets, courier, clock } = needs;
  return async (address: string, client: Client, allowance: Allowance): Promise<null | Refusal<'rate-limited'>> => {
    const at = clock.now();
    const email = parseEmail(address);
    if (email === undefined) return null;
    const allowed = await mayMail(needs, allowance, email.canonical, purpose === 'reset-password' ? 'reset-mail' : 'mail');
    if (isRefusal(allowed)) return allowed;
    const ticket = secrets.ticket();
    await store.hot.sendLink({
      email,
      to,
      ticket: { id: secrets.id(), purpose, secretHash: ticket.hash, expiresAt: after(at, ttlSeconds) },
      mail: allowed ? mail(ticket.token, at) : null,
      event: auditEvent(secrets, event, client, at),
      at,
    });
    courier.wake();
    return null;
  };
}
