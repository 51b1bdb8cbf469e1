import { hasSecondFactor } from '#domain/assurance.ts';
import type { Client } from '#domain/client.ts';
import { after } from '#domain/lifetimes.ts';
import { type Refusal, refuse } from '#domain/problems.ts';
import { CEREMONY_TTL_SECONDS, type CeremonyBinding } from '#domain/tickets.ts';
import { auditEvent } from './audit.ts';
import { factorEnrolled, factorRemoved, lastFactor } from './factor-changes.ts';
import type { Needs } from './ports/services.ts';
import type { Account, Passkey, Session } from './ports/store.ts';
import { raiseSession } from './raise-session.ts';
import { newRecoveryCodes } from './recovery-codes.ts';

type Caller = { account: Account; session: Session };

/** Enough for every device of a person; a list without an end is an attack. */
const MOST_PASSKEYS = 20;

export function passkeys(needs: Needs<'store' | 'secrets' | 'passkeys' | 'courier' | 'clock' | 'policy'>) {
  const { store, secrets, passkeys: webauthn, courier, clock, policy } = needs;

  return {
    list: (accountId: string): Promise<Passkey[]> => store.read((records) => records.authenticators.listPasskeys(accountId, MOST_PASSKEYS)),

    /** Begins the registration ceremony: a challenge for this session, once, for five minutes (ASVS 6.7.2). */
    async registrationOptions({ account, session }: Caller): Promise<Record<string, unknown> | Refusal<'conflict'>> {
      const at = clock.now();
      const known = await store.read((records) => records.authenticators.listPasskeys(account.id, MOST_PASSKEYS));
      if (known.length >= MOST_PASSKEYS) return refuse('conflict', { detail: `An account holds ${MOST_PASSKEYS} passkeys at most.` });
      const { token, hash } = secrets.ticket();
      const context: CeremonyBinding = { sessionId: session.id };
      const expiresAt = after(at, CEREMONY_TTL_SECONDS);
      await store.transaction((tx) =>
        tx.tickets.issue(
          { id: secrets.id(), purpose: 'webauthn-registration', accountId: account.id, secretHash: hash, context, expiresAt },
          at,
        ),
      );
      return await webauthn.creationOptions({ account, challenge: token, exclude: known });
    },

    /**
     * Ends it (WebAuthn L3 7.1). The challenge is used up by the first answer, right or wrong. This session holds the new
     * factor from now on. @returns the passkey, with recovery codes when it is the account's first second factor
     */
    async register(
      { account, session }: Caller,
      credential: unknown,
      name: string,
      client: Client,
    ): Promise<{ passkey: Passkey; recoveryCodes: string[] } | Refusal<'invalid-code' | 'conflict' | 'unauthenticated'>> {
      const at = clock.now();
      const about = { accountId: account.id, sessionId: session.id, details: { method: 'webauthn' } };
      const answer = webauthn.read(credential);
      const challengeHash = answer && secrets.ticketHash(answer.challenge);
      const ticket =
        challengeHash &&
        (await store.transaction((tx) => tx.tickets.redeemContext<CeremonyBinding>('webauthn-registration', challengeHash, at)));
      const isOurs = ticket?.accountId === account.id && ticket.context.sessionId === session.id;
      const made = isOurs && answer ? await webauthn.verifyRegistration(credential, answer.challenge) : null;
      const codes = newRecoveryCodes(needs);
      const id = secrets.id();
      const outcome = await store.transaction(async (tx) => {
        if (made === null) {
          await tx.audit.record(auditEvent(secrets, 'FACTOR_ENROLMENT_FAILED', client, at, about));
          return refuse('invalid-code');
        }
        await tx.accounts.lock(account.id);
        const enrolled = await tx.authenticators.secondFactors(account.id);
        const known = await tx.authenticators.listPasskeys(account.id, MOST_PASSKEYS);
        if (known.length >= MOST_PASSKEYS || !(await tx.authenticators.addPasskey({ ...made, id, accountId: account.id, name }, at))) {
          return refuse('conflict', { detail: 'This passkey is registered already.' });
        }
        const factor = made.isUserVerified ? 'verified-passkey' : 'passkey';
        if ((await raiseSession(tx, session.id, factor, at, { renews: false })) === null) return refuse('unauthenticated');
        await factorEnrolled(needs, tx, about, client, at);
        const isFirst = !hasSecondFactor(enrolled);
        if (isFirst) await codes.store(tx, account.id, client, at);
        const passkey = (await tx.authenticators.listPasskeys(account.id, MOST_PASSKEYS)).find((one) => one.id === id);
        return passkey ? { passkey, recoveryCodes: isFirst ? codes.codes : [] } : refuse('conflict');
      });
      if (!('refused' in outcome)) courier.wake();
      return outcome;
    },

    async rename({ account, session }: Caller, id: string, name: string, client: Client): Promise<Passkey | Refusal<'not-found'>> {
      const at = clock.now();
      return await store.transaction(async (tx) => {
        const passkey = await tx.authenticators.renamePasskey(account.id, id, name);
        if (passkey === null) return refuse('not-found');
        const about = { accountId: account.id, sessionId: session.id, details: { passkey: id } };
        await tx.audit.record(auditEvent(secrets, 'PASSKEY_RENAMED', client, at, about));
        return passkey;
      });
    },

    /** Removes one; another account's and an unknown one look alike. */
    async remove({ account, session }: Caller, id: string, client: Client): Promise<null | Refusal<'not-found' | 'conflict'>> {
      const at = clock.now();
      const outcome = await store.transaction(async (tx) => {
        await tx.accounts.lock(account.id);
        const known = await tx.authenticators.listPasskeys(account.id, MOST_PASSKEYS);
        if (!known.some((one) => one.id === id)) return refuse('not-found');
        const enrolled = await tx.authenticators.secondFactors(account.id);
        const left = known.length > 1 ? enrolled : enrolled.filter((factor) => factor !== 'webauthn');
        const refusal = lastFactor(policy.secondFactors.isRequired, left);
        if (refusal) return refusal;
        await tx.authenticators.removePasskey(account.id, id);
        await factorRemoved(needs, tx, { accountId: account.id, sessionId: session.id, details: { method: 'webauthn' } }, client, at);
        return null;
      });
      if (outcome === null) courier.wake();
      return outcome;
    },
  };
}
