import type { Client } from '#domain/client.ts';
import { after, secondsUntilTomorrow } from '#domain/lifetimes.ts';
import { smsCodeMessage } from '#domain/messages.ts';
import { type PhoneNumber, phonePrefix } from '#domain/phone.ts';
import { type Refusal, refuse } from '#domain/problems.ts';
import type { RateLimitName } from '#domain/rate-limit.ts';
import { SMS_CODE_TRIES, SMS_CODE_TTL_SECONDS } from '#domain/tickets.ts';
import { auditEvent } from './audit.ts';
import type { Allowance, Needs } from './ports/services.ts';
import type { TicketContext } from './ports/tickets.ts';

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
 * numbers keeps nobody from signing in. Those caps fill up again and are lost with Redis; what a day may cost is counted in the
 * database besides, with the message itself.
 * @throws DependencyDown when the limiter does not answer (fail closed)
 */
export function sendSmsCode(needs: Needs<'store' | 'secrets' | 'courier' | 'policy'>) {
  const { store, secrets, courier, policy } = needs;

  return async (ticket: SmsTicket, number: PhoneNumber, client: Client, allowance: Allowance, at: Date): Promise<null | SendRefusal> => {
    const { purpose, accountId, boundTo, context } = ticket;
    const tooMany = refuse('rate-limited', { detail: 'Too many wrong codes; try again later.', retryAfterSeconds: SMS_CODE_TTL_SECONDS });
    if (await store.transaction(async (tx) => (await tx.tickets.triesOf(accountId, purpose, at)) >= SMS_CODE_TRIES)) return tooMany;
    const caps: [RateLimitName, string][] = [
      ['sms-number', `account:${accountId}`],
      ...(purpose === 'sms-enrolment' ? [['sms-number', `number:${number}`] satisfies [RateLimitName, string]] : []),
      ['sms-prefix', `range:${phonePrefix(number)}`],
      ['sms-total', 'all'],
    ];
    const { refusal, also } = await allowance.take(
      caps.map(([limit, key]) => ({ limit, key: secrets.identifierHash(`${purpose}:${key}`).toString('base64url') })),
    );
    if (refusal) return refusal;
    if (!also.allowed) {
      const cap = also.readings.find(({ remaining }) => remaining < 1)?.limit ?? 'sms-total';
      await store.transaction((tx) => tx.audit.record(auditEvent(secrets, 'SMS_REFUSED', client, at, { accountId, details: { cap } })));
      const retryAfterSeconds = Math.max(1, ...also.readings.map((reading) => reading.retryAfterSeconds));
      return refuse('rate-limited', { detail: 'Too many codes were sent; use another method or try later.', retryAfterSeconds });
    }

    const code = secrets.smsCode();
    const expiresAt = after(at, SMS_CODE_TTL_SECONDS);
    const message = courier.sealSms(purpose, smsCodeMessage(policy.productName, code), expiresAt);
    const outcome = await store.transaction(async (tx) => {
      await tx.accounts.lock(accountId);
      const tries = await tx.tickets.triesOf(accountId, purpose, at);
      if (tries >= SMS_CODE_TRIES) return tooMany;
      if (!(await tx.outbox.countSms(purpose === 'sms-enrolment', policy.secondFactors.smsPerDay, at))) {
        await tx.audit.record(auditEvent(secrets, 'SMS_DAY_SPENT', client, at, { accountId, details: { purpose } }));
        const retryAfterSeconds = secondsUntilTomorrow(at);
        return refuse('rate-limited', { detail: 'No more codes are sent by SMS today; use another method.', retryAfterSeconds });
      }
      await tx.tickets.cancelAll(accountId, purpose, at);
      const secretHash = secrets.smsCodeHash(boundTo, code);
      await tx.tickets.issue({ id: secrets.id(), purpose, accountId, secretHash, context, expiresAt }, at, tries);
      await tx.outbox.enqueue(accountId, message, at, { recipient: number });
      await tx.audit.record(auditEvent(secrets, 'SMS_CODE_SENT', client, at, { accountId, details: { prefix: phonePrefix(number) } }));
      return null;
    });
    if (outcome === null) courier.wake();
    return outcome;
  };
}
