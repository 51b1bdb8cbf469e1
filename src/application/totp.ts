import type { SecondFactor } from '#domain/assurance.ts';
import type { Client } from '#domain/client.ts';
import { after } from '#domain/lifetimes.ts';
import { isRefusal, type Refusal, refuse } from '#domain/problems.ts';
import { ENROLMENT_TTL_SECONDS } from '#domain/tickets.ts';
import { auditEvent } from './audit.ts';
import { type ChangeRefusal, changeFactors, factorEnrolled, factorRemoved, lastFactor } from './factor-changes.ts';
import { mails } from './mails.ts';
import type { Authenticators } from './ports/authenticators.ts';
import type { Needs } from './ports/services.ts';
import type { Caller } from './ports/sessions.ts';
import { raiseSession } from './raise-session.ts';
import { newRecoveryCodes } from './recovery-codes.ts';
import type { SessionCookie } from './session-cookie.ts';

/** The recovery codes that came with it, if any, and the new cookie of a session that a browser holds. */
export type Enrolled = { recoveryCodes: string[]; cookie: SessionCookie | null };

export type TotpSetup = { secret: string; uri: string; qrCode: string };

export function totp(needs: Needs<'store' | 'secrets' | 'secretBox' | 'oneTimePasswords' | 'csrfTokens' | 'courier' | 'clock' | 'policy'>) {
  const { store, secrets, secretBox, oneTimePasswords, courier, clock, policy } = needs;
  const mail = mails(needs);
  const aboutTotp = ({ account, session }: Caller) => ({
    accountId: account.id,
    sessionId: session.id,
    details: { method: 'totp' as const },
  });

  return {
    /** What is enrolled. */
    list: (accountId: string): Promise<Authenticators & { required: boolean; enrolled: SecondFactor[] }> =>
      store.read(async (records) => {
        const authenticators = await records.authenticators.list(accountId);
        const enrolled = await records.authenticators.secondFactors(accountId);
        return { ...authenticators, enrolled, required: policy.secondFactors.isRequired };
      }),

    /** A new secret, good for nothing until a code of it has been given, within ten minutes. An active one stays until then. */
    async setUp(caller: Caller): Promise<TotpSetup | ChangeRefusal> {
      const at = clock.now();
      const { account, session } = caller;
      const secret = await oneTimePasswords.newSecret();
      const { uri, qrCode } = await oneTimePasswords.provisioning(secret, account.email);
      const begun = { id: secrets.id(), accountId: account.id, sessionId: session.id, secret: secretBox.seal(secret) };
      const outcome = await changeFactors(needs, caller, 'step-up', at, (tx) => tx.authenticators.beginTotp(begun, at));
      return isRefusal(outcome) ? outcome : { secret, uri, qrCode };
    },

    /**
     * Proves that the app has the secret: it is a factor from now on, in place of any before, and this session holds it. The
     * code is used up (RFC 6238 5.2). Ends in a new set of recovery codes, shown this once.
     */
    async activate(caller: Caller, code: string, client: Client): Promise<Enrolled | Refusal<'invalid-code' | 'conflict'> | ChangeRefusal> {
      const at = clock.now();
      const { account, session } = caller;
      const about = aboutTotp(caller);
      const pending = await store.read((records) => records.authenticators.findTotp(account.id, 'pending'));
      if (pending === null || pending.sessionId !== session.id || after(pending.createdAt, ENROLMENT_TTL_SECONDS) <= at) {
        return refuse('conflict', { detail: 'Nothing to activate: begin with the set-up.' });
      }
      const step = await oneTimePasswords.stepOf(secretBox.open(pending.secret), code, at);
      const made = newRecoveryCodes(needs);
      const outcome = await changeFactors(needs, caller, 'strength', at, async (tx, held) => {
        if (step === null) {
          await tx.audit.record(auditEvent(secrets, 'FACTOR_ENROLMENT_FAILED', client, at, about));
          return refuse('invalid-code');
        }
        if (!(await tx.authenticators.activateTotp(account.id, pending.id, step, at))) {
          return refuse('conflict', { detail: 'It was activated already.' });
        }
        if (held.enrolled.includes('totp')) await factorRemoved(needs, tx, about, held.session, client, at);
        if (held.enrolled.includes('recovery_code')) await tx.outbox.enqueue(account.id, mail.recoveryCodesMade(at), at);
        const { cookie } = await raiseSession(needs, tx, held.session, 'totp', at, { renews: false });
        await factorEnrolled(needs, tx, about, client, at);
        await made.store(tx, account.id, client, at);
        return { recoveryCodes: made.codes, cookie };
      });
      if (!isRefusal(outcome)) courier.wake();
      return outcome;
    },

    /** Removes it, with the recovery codes when nothing is left that they stand in for. */
    async disable(caller: Caller, client: Client): Promise<null | Refusal<'conflict'> | ChangeRefusal> {
      const at = clock.now();
      const outcome = await changeFactors(needs, caller, 'step-up', at, async (tx, { session, enrolled }) => {
        if (!enrolled.includes('totp')) return refuse('conflict', { detail: 'There is no authenticator app to remove.' });
        const refusal = lastFactor(
          needs,
          enrolled.filter((factor) => factor !== 'totp'),
        );
        if (refusal) return refusal;
        await tx.authenticators.removeTotp(caller.account.id);
        await factorRemoved(needs, tx, aboutTotp(caller), session, client, at);
        return null;
      });
      if (outcome === null) courier.wake();
      return outcome;
    },
  };
}
