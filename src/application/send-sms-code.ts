import type { Client } from '#domain/client.ts';
import { after } from '#domain/lifetimes.ts';
import { smsCodeMessage } from '#domain/messages.ts';
import { type PhoneNumber, phonePrefix } from '#domain/phone.ts';
import { type Refusal, refuse } from '#domain/problems.ts';
import type { RateLimitName } from '#domain/rate-limit.ts';
import { SMS_CODE_TRIES, SMS_CODE_TTL_SECONDS } from '#domain/tickets.ts';
import { auditEvent } from './audit.ts';
import type { Needs } from './ports/services.ts';
import type { TicketContext } from './ports/store.ts';

export type SendRefusal = Refusal<'rate-limited'>;

export type SmsTicket = {
  purpose: 'sms-enrolment' | 'sms-code';
  accountId: string;
  /** The id of the only thing that the code will be good for. */
  boundTo: string;
  context: TicketContext;
};

/**
 * Sends a code by SMS. Tries made on the code before count against this one while that one lived. What may be sent is capped by
 * account, number, range of numbers and in all (bill fraud); enrolments have caps of their own, so that whoever enrols strangers'
 * numbers keeps nobody from signing in.
 * @throws DependencyDown when the limiter does not answer (fail closed)
 */
export function sendSmsCode(needs: Needs<'store' | 'secrets' | 'limiter' | 'courier' | 'policy'>) {
  const { store, secrets, limiter, courier, policy } = needs;

  return async (ticket: SmsTicket, number: PhoneNumber, client: Client, at: Date): Promise<null | SendRefusal> => {
    const { purpose, accountId, boundTo, context } = ticket;
    const tooMany = refuse('rate-limited', { detail: 'Too many wrong codes; try again later.', retryAfterSeconds: SMS_CODE_TTL_SECONDS });
    if (await store.transaction(async (tx) => (await tx.tickets.triesOf(accountId, purpose, at)) >= SMS_CODE_TRIES)) return tooMany;
    const caps: [RateLimitName, string][] = [
      ['sms-number', `account:${accountId}`],
      ...(purpose === 'sms-enrolment' ? [['sms-number', `number:${number}`] satisfies [RateLimitName, string]] : []),
      ['sms-prefix', `range:${phonePrefix(number)}`],
      ['sms-total', 'all'],
    ];
    for (const [cap, key] of caps) {
      const bucket = { limit: cap, key: secrets.identifierHash(`${purpose}:${key}`).toString('base64url') };
      const { allowed, readings } = await limiter.take([bucket], 'refuse');
      if (allowed) continue;
      await store.transaction((tx) => tx.audit.record(auditEvent(secrets, 'SMS_REFUSED', client, at, { accountId, details: { cap } })));
      const retryAfterSeconds = Math.max(1, ...readings.map((reading) => reading.retryAfterSeconds));
      return refuse('rate-limited', { detail: 'Too many codes were sent; use another method or try later.', retryAfterSeconds });
    }

    const code = secrets.smsCode();
    const expiresAt = after(at, SMS_CODE_TTL_SECONDS);
    const message = courier.sealSms(purpose, smsCodeMessage(policy.productName, code), expiresAt);
    const refusal = await store.transaction(async (tx) => {
      await tx.accounts.lock(accountId);
      const tries = await tx.tickets.triesOf(accountId, purpose, at);
      if (tries >= SMS_CODE_TRIES) return tooMany;
      await tx.tickets.cancelAll(accountId, purpose, at);
      const secretHash = secrets.smsCodeHash(boundTo, code);
      await tx.tickets.issue({ id: secrets.id(), purpose, accountId, secretHash, context, expiresAt }, at, tries);
      await tx.outbox.enqueue(accountId, message, at, number);
      await tx.audit.record(auditEvent(secrets, 'SMS_CODE_SENT', client, at, { accountId, details: { prefix: phonePrefix(number) } }));
      return null;
    });
    if (refusal === null) courier.wake();
    return refusal;
  };
}
