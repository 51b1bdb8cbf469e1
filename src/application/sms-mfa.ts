import { hasSecondFactor } from '#domain/assurance.ts';
import type { Client } from '#domain/client.ts';
import { after } from '#domain/lifetimes.ts';
import { smsCodeMessage } from '#domain/messages.ts';
import { type PhoneNumber, phonePrefix } from '#domain/phone.ts';
import { type Refusal, refuse } from '#domain/problems.ts';
import type { RateLimitName } from '#domain/rate-limit.ts';
import { type CeremonyBinding, PRE_AUTH_TRIES, type PreAuth, SMS_CODE_TRIES, SMS_CODE_TTL_SECONDS } from '#domain/tickets.ts';
import { auditEvent } from './audit.ts';
import { factorEnrolled, factorRemoved, lastFactor } from './factor-changes.ts';
import type { Needs } from './ports/services.ts';
import type { Account, Session, SmsEnrolment, TicketContext } from './ports/store.ts';
import { raiseSession } from './raise-session.ts';
import { newRecoveryCodes } from './recovery-codes.ts';
import { isSameClient } from './verify-mfa.ts';

type Caller = { account: Account; session: Session };
type SendRefusal = Refusal<'rate-limited'>;

/** A phone as a second factor: a restricted authenticator (63B-4 3.2.9), offered beside stronger ones and off in `strict`. */
export function smsMfa(needs: Needs<'store' | 'secrets' | 'phoneNumbers' | 'limiter' | 'courier' | 'accessTokens' | 'clock' | 'policy'>) {
  const { store, secrets, phoneNumbers, limiter, courier, accessTokens, clock, policy } = needs;

  /**
   * Sends a code that is good for `boundTo` alone. Tries that were made on the code before count against this one. What may be
   * sent is capped by number, by range of numbers and in all (bill fraud).
   */
  async function send(
    ticket: { purpose: 'sms-enrolment' | 'sms-code'; accountId: string; boundTo: string; context: TicketContext },
    number: PhoneNumber,
    client: Client,
    at: Date,
  ): Promise<null | SendRefusal> {
    const { purpose, accountId, boundTo, context } = ticket;
    const caps: [RateLimitName, string][] = [
      ['sms-number', number],
      ['sms-prefix', phonePrefix(number)],
      ['sms-total', 'all'],
    ];
    for (const [cap, key] of caps) {
      const { allowed, readings } = await limiter.take(
        [{ limit: cap, key: `sms:${secrets.identifierHash(key).toString('base64url')}` }],
        'refuse',
      );
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
      if (tries >= SMS_CODE_TRIES) {
        return refuse('rate-limited', { detail: 'Too many wrong codes; try again later.', retryAfterSeconds: SMS_CODE_TTL_SECONDS });
      }
      await tx.tickets.cancelAll(accountId, purpose, at);
      const secretHash = secrets.smsCodeHash(boundTo, code);
      await tx.tickets.issue({ id: secrets.id(), purpose, accountId, secretHash, context, expiresAt }, at, tries);
      await tx.outbox.enqueue(accountId, message, at, number);
      await tx.audit.record(auditEvent(secrets, 'SMS_CODE_SENT', client, at, { accountId, details: { prefix: phonePrefix(number) } }));
      return null;
    });
    if (refusal === null) courier.wake();
    return refusal;
  }

  return {
    /** Sends a code to the number that is to become a factor. */
    async setUp(
      { account, session }: Caller,
      typed: string,
      client: Client,
    ): Promise<null | SendRefusal | Refusal<'forbidden' | 'invalid-request'>> {
      if (!policy.secondFactors.allowsSms)
        return refuse('forbidden', { detail: 'SMS is no second factor here: use a passkey or an authenticator app.' });
      const number = await phoneNumbers.parse(typed);
      if (number === null) {
        const errors = [{ pointer: '/phone_number', detail: 'It is no mobile number; give it with its country, as +49 151 23456789.' }];
        return refuse('invalid-request', { detail: 'Some fields are not valid.', errors });
      }
      const context: SmsEnrolment = { number, sessionId: session.id };
      return await send({ purpose: 'sms-enrolment', accountId: account.id, boundTo: account.id, context }, number, client, clock.now());
    },

    /** The phone is a factor from now on. @returns recovery codes when the account had none, else an empty list */
    async verify(
      { account, session }: Caller,
      code: string,
      client: Client,
    ): Promise<string[] | Refusal<'invalid-code' | 'unauthenticated'>> {
      const at = clock.now();
      const about = { accountId: account.id, sessionId: session.id, details: { method: 'sms' } };
      const tried = await store.transaction((tx) => tx.tickets.tryNewest<SmsEnrolment>('sms-enrolment', account.id, SMS_CODE_TRIES, at));
      const secretHash = secrets.smsCodeHash(account.id, code);
      const isRight = tried !== null && tried.context.sessionId === session.id && tried.secretHash.equals(secretHash);
      const made = newRecoveryCodes(needs);
      const outcome = await store.transaction(async (tx) => {
        await tx.accounts.lock(account.id);
        const enrolled = await tx.authenticators.secondFactors(account.id);
        if (!isRight || (await tx.tickets.redeemContext('sms-enrolment', secretHash, at)) === null) {
          await tx.audit.record(auditEvent(secrets, 'FACTOR_ENROLMENT_FAILED', client, at, about));
          return refuse('invalid-code');
        }
        await tx.authenticators.setPhone(account.id, tried.context.number, at);
        if ((await raiseSession(tx, session.id, 'sms', at, { renews: false })) === null) return refuse('unauthenticated');
        await factorEnrolled(needs, tx, about, client, at);
        if (hasSecondFactor(enrolled)) return [];
        await made.store(tx, account.id, client, at);
        return made.codes;
      });
      courier.wake();
      return outcome;
    },

    /**
     * Sends the code for a sign-in that waits for its second factor, or for a signed-in user's step-up. What the token says is
     * checked before the phone is looked up; no try is counted.
     */
    async sendCode(
      by: { preAuthToken: string } | { accessToken: string },
      client: Client,
    ): Promise<null | SendRefusal | Refusal<'invalid-token' | 'unauthenticated' | 'conflict' | 'forbidden'>> {
      const at = clock.now();
      if (!policy.secondFactors.allowsSms) return refuse('forbidden', { detail: 'SMS is no second factor here.' });
      let asked: { accountId: string; binding: CeremonyBinding };
      if ('preAuthToken' in by) {
        const hash = secrets.ticketHash(by.preAuthToken);
        const ticket = await store.read((records) => records.tickets.find<PreAuth>('pre-auth', hash, PRE_AUTH_TRIES, at));
        if (ticket === null || !isSameClient(ticket.context, client)) return refuse('invalid-token');
        asked = { accountId: ticket.accountId, binding: { preAuthId: ticket.id } };
      } else {
        const claims = accessTokens.verify(by.accessToken, at);
        const live = claims && (await store.hot.authenticate(claims.sessionId, at));
        if (!live) return refuse('unauthenticated');
        asked = { accountId: live.account.id, binding: { sessionId: live.session.id } };
      }
      const { accountId, binding } = asked;
      const phone = await store.read((records) => records.authenticators.findPhone(accountId));
      if (phone === null) return refuse('conflict', { detail: 'No phone is enrolled.' });
      const boundTo = binding.preAuthId ?? binding.sessionId ?? '';
      return await send({ purpose: 'sms-code', accountId, boundTo, context: binding }, phone.number, client, at);
    },

    async disable({ account, session }: Caller, client: Client): Promise<null | Refusal<'conflict'>> {
      const at = clock.now();
      const outcome = await store.transaction(async (tx) => {
        await tx.accounts.lock(account.id);
        const enrolled = await tx.authenticators.secondFactors(account.id);
        if (!enrolled.includes('sms')) return refuse('conflict', { detail: 'No phone is enrolled.' });
        const left = enrolled.filter((factor) => factor !== 'sms');
        const refusal = lastFactor(policy.secondFactors.isRequired, left);
        if (refusal) return refusal;
        await tx.authenticators.removePhone(account.id);
        await factorRemoved(needs, tx, { accountId: account.id, sessionId: session.id, details: { method: 'sms' } }, client, at);
        return null;
      });
      if (outcome === null) courier.wake();
      return outcome;
    },
  };
}
