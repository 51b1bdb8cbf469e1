import type { Client } from '#domain/client.ts';
import { parseEmail } from '#domain/email.ts';
import { after, CHANGE_EMAIL_TTL_SECONDS, REPORT_SIGN_IN_TTL_SECONDS, REVERT_EMAIL_TTL_SECONDS } from '#domain/lifetimes.ts';
import { isRefusal, type Refusal, refuse } from '#domain/problems.ts';
import { auditEvent } from './audit.ts';
import { recordDisplaced } from './erase-account.ts';
import { type ChangeRefusal, changeFactors } from './factor-changes.ts';
import { mails } from './mails.ts';
import { mayMail } from './may-mail.ts';
import type { HeldDevice } from './ports/holdings.ts';
import type { Allowance, Needs } from './ports/services.ts';
import type { Caller, Session } from './ports/sessions.ts';
import type { EmailChange } from './ports/tickets.ts';

export function changeEmail(needs: Needs<'store' | 'secrets' | 'courier' | 'clock' | 'policy'>) {
  const { store, secrets, courier, clock, policy } = needs;
  const mail = mails(needs);

  return {
    /**
     * Mails a link to the new address, and a notice to the present one. Whether the new one has an account shows neither in the
     * answer nor in what is written about who asks, which they can export (ASVS 6.3.8): its owner gets another mail in the place of
     * the link, with the same name, recipient and end, that is sent, late or refused as the link would be. A newer request kills
     * an older one. Nothing is reserved: who confirms an address first has it.
     */
    async ask(
      newEmail: string,
      caller: Caller,
      client: Client,
      allowance: Allowance,
    ): Promise<null | Refusal<'invalid-request' | 'conflict' | 'rate-limited'> | ChangeRefusal> {
      const at = clock.now();
      const { account, session } = caller;
      const email = parseEmail(newEmail);
      if (email === undefined) {
        return refuse('invalid-request', { errors: [{ pointer: '/new_email', detail: 'It is not an e-mail address.' }] });
      }
      if (email.canonical === parseEmail(account.email)?.canonical) {
        return refuse('conflict', { detail: 'It is the address of this account already.' });
      }
      const allowed = await mayMail(needs, allowance, email.canonical, 'mail');
      if (isRefusal(allowed)) return allowed;
      const ticket = secrets.ticket();
      const outcome = await changeFactors(needs, caller, 'step-up', at, async (tx) => {
        const isTaken = await tx.accounts.isHeld(email, account.id);
        if (isTaken && policy.revealRegistrationConflicts) return refuse('conflict', { detail: 'The address has an account already.' });
        await tx.tickets.cancelAll(account.id, 'change-email', at);
        const issued = {
          id: secrets.id(),
          purpose: 'change-email' as const,
          accountId: account.id,
          secretHash: ticket.hash,
          context: { email, sessionId: session.id },
          expiresAt: after(at, CHANGE_EMAIL_TTL_SECONDS),
        };
        await tx.tickets.issue(issued, at);
        const toNew = isTaken ? mail.addressTaken(at) : mail.changeEmail(ticket.token, at);
        if (allowed) await tx.outbox.enqueue(account.id, toNew, at, { recipient: email.given });
        await tx.outbox.enqueue(account.id, mail.emailChangeAsked(at), at);
        const about = { accountId: account.id, sessionId: session.id };
        await tx.audit.record(auditEvent(secrets, 'EMAIL_CHANGE_REQUESTED', client, at, about));
        return null;
      });
      courier.wake();
      return outcome;
    },

    /**
     * Moves the account to the address whose mail was read, while the session that asked lives: whatever ends a thief's session ends
     * the change too. That session stays, the others end; links that were mailed to the old address are dead, but for the one that
     * goes there now and takes the account back (docs/adr/0012).
     * @returns done, or `conflict` when somebody else confirmed the address first
     */
    async confirm(token: string, client: Client): Promise<{ status: 'changed' } | Refusal<'invalid-token' | 'conflict'>> {
      const at = clock.now();
      const secretHash = secrets.ticketHash(token);
      const revert = secrets.ticket();
      const outcome = await store.transaction(async (tx) => {
        const asked = await tx.tickets.find<EmailChange>('change-email', secretHash, 1, at);
        if (asked === null || !(await tx.tickets.redeem('change-email', secretHash, at))) return refuse('invalid-token');
        const account = await tx.accounts.lock(asked.accountId);
        if (account?.status !== 'active') return refuse('invalid-token');
        const asking = await tx.sessions.findLive(asked.context.sessionId, at);
        if (asking === null) return refuse('invalid-token');
        const changed = await tx.accounts.changeEmail(account.id, asked.context.email, at);
        if (changed === null) return refuse('conflict', { detail: 'The address has an account already.' });

        const ended = await tx.sessions.endAll(account.id, 'email-changed', at, asked.context.sessionId);
        for (const purpose of ['change-email', 'reset-password', 'verify-email', 'pre-auth'] as const) {
          await tx.tickets.cancelAll(account.id, purpose, at);
        }
        const issued = {
          id: secrets.id(),
          purpose: 'revert-email' as const,
          accountId: account.id,
          secretHash: revert.hash,
          context: {
            email: emailOf(account.email),
            since: asked.createdAt.toISOString(),
            enrolledSince: enrolledSince(asking, await tx.holdings.devices(account.id), at).toISOString(),
          },
          expiresAt: after(at, REVERT_EMAIL_TTL_SECONDS),
        };
        await tx.tickets.issue(issued, at);
        await tx.outbox.enqueue(account.id, mail.emailChanged(revert.token, at), at, { recipient: account.email });
        await tx.audit.record(auditEvent(secrets, 'EMAIL_CHANGED', client, at, { accountId: account.id, details: { ended } }));
        await recordDisplaced(needs, tx, changed.displaced, client, at);
        return { status: 'changed' as const };
      });
      if (!isRefusal(outcome)) courier.wake();
      return outcome;
    },
  };
}

/** An address that an account holds was parsed when it came. */
function emailOf(given: string) {
  return parseEmail(given) ?? { given, canonical: given.toLowerCase() };
}

/**
 * From when on a thief who asked for the change may have enrolled something: this session began, or, where they signed in more than
 * once, its device was first seen. A device that is known for longer than its owner could have said "this was not me" is the owner's.
 */
function enrolledSince({ createdAt, deviceId }: Session, devices: readonly HeldDevice[], at: Date): Date {
  const device = devices.find(({ id }) => id === deviceId);
  const isNew = device !== undefined && after(device.createdAt, REPORT_SIGN_IN_TTL_SECONDS) > at;
  return isNew && device.createdAt < createdAt ? device.createdAt : createdAt;
}
