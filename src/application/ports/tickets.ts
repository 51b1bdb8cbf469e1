import type { Email } from '#domain/email.ts';
import type { PhoneNumber } from '#domain/phone.ts';
import type { CeremonyBinding, PreAuth, ProviderChallenge, TicketPurpose } from '#domain/tickets.ts';

export type NewTicket = {
  id: string;
  purpose: TicketPurpose;
  secretHash: Buffer;
  expiresAt: Date;
};

/** A ticket that stands for something besides its account. */
export type IssuedTicket = NewTicket & { accountId: string | null; context: TicketContext | null };

export type TicketContext = PreAuth | ProviderChallenge | CeremonyBinding | SmsEnrolment | ReportedDevice | EmailChange | EmailRevert;

export type ReportedDevice = { deviceId: string };

/** The address that was asked for, and the session that asked. */
export type EmailChange = { email: Email; sessionId: string };

/** The address of before; since when (RFC 3339) the change was asked for, and since when who asked may have enrolled something. */
export type EmailRevert = { email: Email; since: string; enrolledSince?: string };

export type SmsEnrolment = { number: PhoneNumber; sessionId: string };
