import type { SecondFactor } from '#domain/assurance.ts';
import type { Client } from '#domain/client.ts';
import { type Refusal, refuse } from '#domain/problems.ts';
import { auditEvent } from './audit.ts';
import { factorEnrolled, factorRemoved, lastFactor } from './factor-changes.ts';
import type { Needs } from './ports/services.ts';
import type { Account, Authenticators, Session } from './ports/store.ts';
import { raiseSession } from './raise-session.ts';
import { newRecoveryCodes } from './recovery-codes.ts';

type Caller = { account: Account; session: Session };
export type TotpSetup = { secret: string; uri: string; qrCode: string };

export function totp(needs: Needs<'store' | 'secrets' | 'secretBox' | 'oneTimePasswords' | 'courier' | 'clock' | 'policy'>) {
  const { store, secrets, secretBox, oneTimePasswords, courier, clock, policy } = needs;

  return {
    /** What is enrolled, and what a sign-in may use. */
    async list(accountId: string): Promise<Authenticators & { required: boolean; enrolled: SecondFactor[] }> {
      return await store.read(async (records) => {
        const authenticators = await records.authenticators.list(accountId);
        const enrolled = await records.authenticators.secondFactors(accountId);
        return { ...authenticators, enrolled, required: policy.secondFactors.isRequired };
      });
    },

    /** A new secret, good for nothing until a code of it has been given. An active one stays active until then. */
    async setUp({ account, session }: Caller): Promise<TotpSetup> {
      const secret = await oneTimePasswords.newSecret();
      const { uri, qrCode } = await oneTimePasswords.provisioning(secret, account.email);
      await store.transaction((tx) =>
        tx.authenticators.beginTotp(
          { id: secrets.id(), accountId: account.id, sessionId: session.id, secret: secretBox.seal(secret) },
          clock.now(),
        ),
      );
      return { secret, uri, qrCode };
    },

    /**
     * Proves that the app has the secret: it is a factor from now on, in place of any before, and this session holds it. The
     * code is used up (RFC 6238 5.2). Ends in a new set of recovery codes, shown this once.
     */
    async activate(
      { account, session }: Caller,
      code: string,
      client: Client,
    ): Promise<string[] | Refusal<'invalid-code' | 'conflict' | 'unauthenticated'>> {
      const at = clock.now();
      const about = { accountId: account.id, sessionId: session.id, details: { method: 'totp' } };
      const pending = await store.read((records) => records.authenticators.findTotp(account.id, 'pending'));
      if (pending === null || pending.sessionId !== session.id)
        return refuse('conflict', { detail: 'Nothing to activate: begin with the set-up.' });
      const step = await oneTimePasswords.stepOf(secretBox.open(pending.secret), code, at);
      const made = newRecoveryCodes(needs);
      const outcome = await store.transaction(async (tx) => {
        if (step === null) {
          await tx.audit.record(auditEvent(secrets, 'FACTOR_ENROLMENT_FAILED', client, at, about));
          return refuse('invalid-code');
        }
        await tx.accounts.lock(account.id);
        if (!(await tx.authenticators.activateTotp(account.id, pending.id, step, at)))
          return refuse('conflict', { detail: 'It was activated already.' });
        if ((await raiseSession(tx, session.id, 'totp', at, { renews: false })) === null) return refuse('unauthenticated');
        await factorEnrolled(needs, tx, about, client, at);
        await made.store(tx, account.id, client, at);
        return null;
      });
      if (outcome !== null) return outcome;
      courier.wake();
      return made.codes;
    },

    /** Removes it, with the recovery codes when nothing is left that they stand in for. */
    async disable({ account, session }: Caller, client: Client): Promise<null | Refusal<'conflict'>> {
      const at = clock.now();
      const outcome = await store.transaction(async (tx) => {
        await tx.accounts.lock(account.id);
        const enrolled = await tx.authenticators.secondFactors(account.id);
        if (!enrolled.includes('totp')) return refuse('conflict', { detail: 'There is no authenticator app to remove.' });
        const refusal = lastFactor(
          policy.secondFactors.isRequired,
          enrolled.filter((factor) => factor !== 'totp'),
        );
        if (refusal) return refusal;
        await tx.authenticators.removeTotp(account.id);
        const about = { accountId: account.id, sessionId: session.id, details: { method: 'totp' } };
        await factorRemoved(needs, tx, about, client, at);
        return null;
      });
      if (outcome === null) courier.wake();
      return outcome;
    },
  };
}
