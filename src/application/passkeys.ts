import { hasSecondFactor } from '#domain/assurance.ts';
import type { Client } from '#domain/client.ts';
import { after } from '#domain/lifetimes.ts';
import { MOST_PASSKEYS } from '#domain/passkeys.ts';
import { isRefusal, type Refusal, refuse } from '#domain/problems.ts';
import { CEREMONY_TTL_SECONDS, type CeremonyBinding } from '#domain/tickets.ts';
import { auditEvent } from './audit.ts';
import { type ChangeRefusal, changeFactors, factorEnrolled, factorRemoved, lastFactor } from './factor-changes.ts';
import type { Passkey } from './ports/authenticators.ts';
import type { Needs } from './ports/services.ts';
import type { Caller } from './ports/sessions.ts';
import { raiseSession } from './raise-session.ts';
import { newRecoveryCodes } from './recovery-codes.ts';
import type { Enrolled } from './totp.ts';

export function passkeys(needs: Needs<'store' | 'secrets' | 'passkeys' | 'csrfTokens' | 'courier' | 'clock' | 'policy'>) {
  const { store, secrets, passkeys: webauthn, courier, clock } = needs;

  return {
    list: (accountId: string): Promise<Passkey[]> => store.read((records) => records.authenticators.listPasskeys(accountId, MOST_PASSKEYS)),

    /** Begins the registration ceremony: a challenge for this session, once, for five minutes (ASVS 6.7.2). */
    async registrationOptions(caller: Caller): Promise<Record<string, unknown> | Refusal<'conflict'> | ChangeRefusal> {
      const at = clock.now();
      const { account, session } = caller;
      const { token, hash } = secrets.ticket();
      const context: CeremonyBinding = { sessionId: session.id };
      const expiresAt = after(at, CEREMONY_TTL_SECONDS);
      const outcome = await changeFactors(needs, caller, 'step-up', at, async (tx) => {
        const known = await tx.authenticators.listPasskeys(account.id, MOST_PASSKEYS);
        if (known.length >= MOST_PASSKEYS) return enough();
        const ticket = {
          id: secrets.id(),
          purpose: 'webauthn-registration' as const,
          accountId: account.id,
          secretHash: hash,
          context,
          expiresAt,
        };
        await tx.tickets.issue(ticket, at);
        return known;
      });
      return isRefusal(outcome) ? outcome : await webauthn.creationOptions({ account, challenge: token, exclude: outcome });
    },

    /**
     * Ends it (WebAuthn L3 7.1). The challenge is used up by the first answer, right or wrong. This session holds the new
     * factor from now on. @returns the passkey, with recovery codes when it is the account's first second factor
     */
    async register(
      caller: Caller,
      credential: unknown,
      name: string,
      client: Client,
    ): Promise<({ passkey: Passkey } & Enrolled) | Refusal<'invalid-code' | 'conflict'> | ChangeRefusal> {
      const at = clock.now();
      const { account, session } = caller;
      const about = aboutPasskey(caller);
      const answer = webauthn.read(credential);
      const challengeHash = answer && secrets.ticketHash(answer.challenge);
      const ticket =
        challengeHash &&
        (await store.transaction((tx) => tx.tickets.redeemContext<CeremonyBinding>('webauthn-registration', challengeHash, at)));
      const isOurs = ticket?.accountId === account.id && ticket.context.sessionId === session.id;
      const made = isOurs && answer ? await webauthn.verifyRegistration(credential, answer.challenge) : null;
      const codes = newRecoveryCodes(needs);
      const outcome = await changeFactors(needs, caller, 'strength', at, async (tx, held) => {
        if (made === null) {
          await tx.audit.record(auditEvent(secrets, 'FACTOR_ENROLMENT_FAILED', client, at, about));
          return refuse('invalid-code');
        }
        if ((await tx.authenticators.listPasskeys(account.id, MOST_PASSKEYS)).length >= MOST_PASSKEYS) return enough();
        const passkey = await tx.authenticators.addPasskey({ ...made, id: secrets.id(), accountId: account.id, name }, at);
        if (passkey === null) return refuse('conflict', { detail: 'This passkey is registered already.' });
        const factor = made.isUserVerified ? 'verified-passkey' : 'passkey';
        const { cookie } = await raiseSession(needs, tx, held.session, factor, at, { renews: false });
        await factorEnrolled(needs, tx, about, client, at);
        const isFirst = !hasSecondFactor(held.enrolled);
        if (isFirst) await codes.store(tx, account.id, client, at);
        return { passkey, recoveryCodes: isFirst ? codes.codes : [], cookie };
      });
      if (!isRefusal(outcome)) courier.wake();
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
    async remove(caller: Caller, id: string, client: Client): Promise<null | Refusal<'not-found' | 'conflict'> | ChangeRefusal> {
      const at = clock.now();
      const { account } = caller;
      const outcome = await changeFactors(needs, caller, 'step-up', at, async (tx, { session, enrolled }) => {
        const known = await tx.authenticators.listPasskeys(account.id, MOST_PASSKEYS);
        if (!known.some((one) => one.id === id)) return refuse('not-found');
        const left = known.length > 1 ? enrolled : enrolled.filter((factor) => factor !== 'webauthn');
        const refusal = lastFactor(needs, left);
        if (refusal) return refusal;
        await tx.authenticators.removePasskey(account.id, id);
        await factorRemoved(needs, tx, aboutPasskey(caller), session, client, at);
        return null;
      });
      if (outcome === null) courier.wake();
      return outcome;
    },
  };
}

function aboutPasskey({ account, session }: Caller) {
  return { accountId: account.id, sessionId: session.id, details: { method: 'webauthn' as const } };
}

function enough(): Refusal<'conflict'> {
  return refuse('conflict', { detail: `An account holds ${MOST_PASSKEYS} passkeys at most.` });
}
