import { z } from 'zod';
import type { AccountExport } from '#application/export-account.ts';
import type { HeldMessage, HeldSession, HeldTicket } from '#application/ports/holdings.ts';
import type { OwnEvent } from '#domain/activity.ts';
import { ActivityEvent, activityEventView, instant, PasskeyView, passkeyView, User, userView } from './views.ts';

/** The format of an export (docs/account-export.md): what is in a version stays as it is, what is new comes beside it. */

const HeldSessionView = z.object({
  id: z.uuid(),
  transport: z.string(),
  device: z.string().nullable(),
  device_kind: z.string().nullable(),
  ip: z.string(),
  user_agent: z.string().nullable(),
  amr: z.array(z.string()),
  acr: z.string(),
  auth_time: instant,
  created_at: instant,
  last_seen_at: instant,
  expires_at: instant,
  ended_at: instant.nullable(),
  end_reason: z.string().nullable(),
});
const HeldTicketView = z.object({
  id: z.uuid(),
  purpose: z.string(),
  created_at: instant,
  expires_at: instant,
  used_at: instant.nullable(),
  email: z.string().nullable(),
  username: z.string().nullable(),
});
const HeldMessageView = z.object({
  id: z.uuid(),
  kind: z.enum(['email', 'sms']),
  template: z.string(),
  recipient: z.string(),
  created_at: instant,
  sent_at: instant.nullable(),
  failed_at: instant.nullable(),
});
const EventView = ActivityEvent.extend({
  ip: z.string().nullable().describe('null where somebody who administers, or a service, did it'),
  request_id: z.string(),
  details: z.record(z.string(), z.unknown()),
});

export const AccountExportView = z
  .object({
    format: z.literal('latchkey-account-export'),
    version: z.literal(1),
    exported_at: instant,
    account: User.extend({ email_verified_at: instant.nullable(), status: z.string(), has_password: z.boolean() }),
    authenticators: z.object({
      totp: z.object({ created_at: instant, last_used_at: instant.nullable() }).nullable(),
      phone: z.object({ number: z.string(), verified_at: instant, last_used_at: instant.nullable() }).nullable(),
      passkeys: z.array(PasskeyView),
      recovery_codes: z.object({ remaining: z.int() }),
    }),
    devices: z.array(z.object({ id: z.uuid(), kind: z.string(), network: z.string(), created_at: instant, last_seen_at: instant })),
    identities: z
      .array(z.object({ issuer: z.string(), subject: z.string(), linked_at: instant, last_used_at: instant }))
      .describe('users of other providers that the account belongs to'),
    sessions: z.array(HeldSessionView),
    tickets: z.array(HeldTicketView).describe('links and codes that were issued, without the secrets'),
    messages: z.array(HeldMessageView).describe('what was sent, without the text'),
    events: z.array(EventView).describe('the audit trail, the newest first'),
  })
  .meta({ id: 'AccountExport' });

/** The document in pieces, of which no more is in memory than a page. */
export async function* accountExportText(held: AccountExport): AsyncGenerator<string> {
  const { account, authenticators } = held;
  const { totp, phone, passkeys, recoveryCodesLeft } = authenticators;
  const head: Omit<z.input<typeof AccountExportView>, 'sessions' | 'tickets' | 'messages' | 'events'> = {
    format: 'latchkey-account-export',
    version: 1,
    exported_at: held.exportedAt.toISOString(),
    account: {
      ...userView(account),
      email_verified_at: time(account.emailVerifiedAt),
      status: account.status,
      has_password: account.hasPassword,
    },
    authenticators: {
      totp: totp && { created_at: totp.createdAt.toISOString(), last_used_at: time(totp.lastUsedAt) },
      phone: phone && { number: phone.number, verified_at: phone.verifiedAt.toISOString(), last_used_at: time(phone.lastUsedAt) },
      passkeys: passkeys.map(passkeyView),
      recovery_codes: { remaining: recoveryCodesLeft },
    },
    devices: held.devices.map(({ id, kind, network, createdAt, lastSeenAt }) => ({
      id,
      kind,
      network,
      created_at: createdAt.toISOString(),
      last_seen_at: lastSeenAt.toISOString(),
    })),
    identities: held.identities.map(({ issuer, subject, linkedAt, lastUsedAt }) => ({
      issuer,
      subject,
      linked_at: linkedAt.toISOString(),
      last_used_at: lastUsedAt.toISOString(),
    })),
  };
  yield JSON.stringify(head).slice(0, -1);
  yield* list('sessions', held.sessions, heldSessionView);
  yield* list('tickets', held.tickets, heldTicketView);
  yield* list('messages', held.messages, heldMessageView);
  yield* list('events', held.events, eventView);
  yield '}';
}

async function* list<T>(name: string, pages: AsyncIterable<T[]>, view: (one: T) => object): AsyncGenerator<string> {
  yield `,"${name}":[`;
  let separator = '';
  for await (const page of pages) {
    yield separator + page.map((one) => JSON.stringify(view(one))).join(',');
    separator = ',';
  }
  yield ']';
}

function heldSessionView(session: HeldSession): z.input<typeof HeldSessionView> {
  return {
    id: session.id,
    transport: session.transport,
    device: session.device,
    device_kind: session.deviceKind,
    ip: session.ip,
    user_agent: session.userAgent,
    amr: session.amr,
    acr: session.acr,
    auth_time: session.authTime.toISOString(),
    created_at: session.createdAt.toISOString(),
    last_seen_at: session.lastSeenAt.toISOString(),
    expires_at: session.idleEndAt.toISOString(),
    ended_at: time(session.endedAt),
    end_reason: session.endReason,
  };
}

function heldTicketView(ticket: HeldTicket): z.input<typeof HeldTicketView> {
  return {
    id: ticket.id,
    purpose: ticket.purpose,
    created_at: ticket.createdAt.toISOString(),
    expires_at: ticket.expiresAt.toISOString(),
    used_at: time(ticket.usedAt),
    email: ticket.email,
    username: ticket.username,
  };
}

function heldMessageView(message: HeldMessage): z.input<typeof HeldMessageView> {
  return {
    id: message.id,
    kind: message.kind,
    template: message.template,
    recipient: message.recipient,
    created_at: message.createdAt.toISOString(),
    sent_at: time(message.sentAt),
    failed_at: time(message.failedAt),
  };
}

function eventView(event: OwnEvent): z.input<typeof EventView> {
  const { ip, requestId, details } = event;
  return { ...activityEventView({ ...event, ip: ip ?? '' }), ip, request_id: requestId, details };
}

function time(instant: Date | null): string | null {
  return instant?.toISOString() ?? null;
}
