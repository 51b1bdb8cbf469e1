import { hasSecondFactor } from '#domain/assurance.ts';
import type { Client } from '#domain/client.ts';
import { isRefusal, type Refusal, refuse } from '#domain/problems.ts';
import { SMS_CODE_TRIES } from '#domain/tickets.ts';
import { auditEvent } from './audit.ts';
import { type ChangeRefusal, changeFactors, factorEnrolled, factorRemoved, lastFactor } from './factor-changes.ts';
import type { Allowance, Needs } from './ports/services.ts';
import type { Caller } from './ports/sessions.ts';
import type { SmsEnrolment } from './ports/tickets.ts';
import { raiseSession } from './raise-session.ts';
import { newRecoveryCodes } from './recovery-codes.ts';
import { secondFactorThrottle } from './second-factor-throttle.ts';
import { type SendRefusal, sendSmsCode } from './send-sms-code.ts';
import type { Enrolled } from './totp.ts';
import { type Asker, whoAsks } from './who-asks.ts';

/** A phone as a second factor: a restricted authenticator (63B-4 3.2.9), offered beside stronger ones and off in `strict`. */
export function smsMfa(needs: Needs<'store' | 'secrets' | 'phoneNumbers' | 'csrfTokens' | 'courier' | 'clock' | 'policy'>) {
  const { store, secrets, phoneNumbers, courier, clock, policy } = needs;
  const send = sendSmsCode(needs);
  const throttle = secondFactorThrottle(needs);
  const identify = whoAsks(needs);
  const aboutSms = ({ account, session }: Caller) => ({
    accountId: account.id,
    sessionId: session.id,
    details: { method: 'sms' as const },
  });

  return {
    /** Sends a code to the number that is to become a factor. */
    async setUp(
      { account, session }: Caller,
      typed: string,
      client: Client,
      allowance: Allowance,
    ): Promise<null | SendRefusal | Refusal<'forbidden' | 'invalid-request'>> {
      if (!policy.secondFactors.allowsSms) {
        return refuse('forbidden', { detail: 'SMS is no second factor here: use a passkey or an authenticator app.' });
      }
      const number = await phoneNumbers.parse(typed);
      if (number === null) {
        const detail = 'No codes are sent there. Give a mobile number with its country, as +49 151 23456789.';
        return refuse('invalid-request', { detail: 'Some fields are not valid.', errors: [{ pointer: '/phone_number', detail }] });
      }
      const context: SmsEnrolment = { number, sessionId: session.id };
      const ticket = { purpose: 'sms-enrolment' as const, accountId: account.id, boundTo: account.id, context };
      return await send(ticket, number, client, allowance, clock.now());
    },

    /** The phone is a factor from now on. @returns recovery codes when the account had no second factor */
    async verify(caller: Caller, code: string, client: Client): Promise<Enrolled | Refusal<'invalid-code'> | ChangeRefusal> {
      const at = clock.now();
      const { account, session } = caller;
      const about = aboutSms(caller);
      const tried = await store.transaction((tx) => tx.tickets.tryNewest<SmsEnrolment>('sms-enrolment', account.id, SMS_CODE_TRIES, at));
      const secretHash = secrets.smsCodeHash(account.id, code);
      const isRight = tried !== null && tried.context.sessionId === session.id && tried.secretHash.equals(secretHash);
      const made = newRecoveryCodes(needs);
      const outcome = await changeFactors(needs, caller, 'strength', at, async (tx, held) => {
        if (!isRight || (await tx.tickets.redeemContext('sms-enrolment', secretHash, at)) === null) {
          await tx.audit.record(auditEvent(secrets, 'FACTOR_ENROLMENT_FAILED', client, at, about));
          return refuse('invalid-code');
        }
        await tx.authenticators.setPhone(account.id, tried.context.number, at);
        if (held.enrolled.includes('sms')) await factorRemoved(needs, tx, about, held.session, client, at);
        const { cookie } = await raiseSession(needs, tx, held.session, 'sms', at, { renews: false });
        await factorEnrolled(needs, tx, about, client, at);
        if (hasSecondFactor(held.enrolled)) return { recoveryCodes: [], cookie };
        await made.store(tx, account.id, client, at);
        return { recoveryCodes: made.codes, cookie };
      });
      courier.wake();
      return outcome;
    },

    /** Sends the code for a sign-in that waits for its second factor, or for a signed-in user's step-up. */
    async sendCode(
      asker: Asker,
      client: Client,
      allowance: Allowance,
    ): Promise<
      null | SendRefusal | Refusal<'invalid-token' | 'unauthenticated' | 'account-suspended' | 'account-locked' | 'conflict' | 'forbidden'>
    > {
      const at = clock.now();
      if (!policy.secondFactors.allowsSms) return refuse('forbidden', { detail: 'SMS is no second factor here.' });
      const asked = await identify(asker, client);
      if (isRefusal(asked)) return asked;
      const { accountId, binding } = asked;
      const locked = await throttle.check(accountId, at);
      if (locked) return locked;
      const phone = await store.read((records) => records.authenticators.findPhone(accountId));
      if (phone === null) return refuse('conflict', { detail: 'No phone is enrolled.' });
      const boundTo = binding.preAuthId ?? binding.sessionId ?? '';
      return await send({ purpose: 'sms-code', accountId, boundTo, context: binding }, phone.number, client, allowance, at);
    },

    async disable(caller: Caller, client: Client): Promise<null | Refusal<'conflict'> | ChangeRefusal> {
      const at = clock.now();
      const outcome = await changeFactors(needs, caller, 'step-up', at, async (tx, { session, enrolled }) => {
        if (!enrolled.includes('sms')) return refuse('conflict', { detail: 'No phone is enrolled.' });
        const refusal = lastFactor(
          needs,
          enrolled.filter((factor) => factor !== 'sms'),
        );
        if (refusal) return refusal;
        await tx.authenticators.removePhone(caller.account.id);
        await factorRemoved(needs, tx, aboutSms(caller), session, client, at);
        return null;
      });
      if (outcome === null) courier.wake();
      return outcome;
    },
  };
}
