import type { Factor } from '#domain/assurance.ts';
import type { Client } from '#domain/client.ts';
import { isCounterRegressed, passkeyFactor } from '#domain/passkeys.ts';
import type { CeremonyBinding } from '#domain/tickets.ts';
import { auditEvent } from './audit.ts';
import type { Passkey } from './ports/authenticators.ts';
import type { Needs } from './ports/services.ts';
import type { Writes } from './ports/store.ts';

export type Assertion = {
  passkey: Passkey;
  /** Which sign-in or session asked for the challenge; neither: any sign-in without a user name. */
  binding: CeremonyBinding;
  /** Notes the use, in the transaction that grants something for it. @returns what it is worth, null when it is worth nothing */
  claim(tx: Writes): Promise<Factor | null>;
};

/**
 * Verifies the answer to a WebAuthn challenge (WebAuthn L3 7.2). The challenge is used up by the first answer, right or wrong.
 * @returns null when anything does not hold: no such challenge, another one's passkey, a wrong signature, origin or type
 */
export function assertion(needs: Needs<'store' | 'passkeys' | 'secrets' | 'policy'>) {
  const { store, passkeys, secrets, policy } = needs;

  return async (credential: unknown, client: Client, at: Date): Promise<Assertion | null> => {
    const answer = passkeys.read(credential);
    if (answer === null) return null;
    const challengeHash = secrets.ticketHash(answer.challenge);
    const ticket = await store.transaction((tx) => tx.tickets.redeemContext<CeremonyBinding>('webauthn-authentication', challengeHash, at));
    const passkey = ticket && (await store.read((records) => records.authenticators.findPasskey(answer.credentialId)));
    if (!passkey) return null;
    // Who was not named before the ceremony must be named by the authenticator (WebAuthn L3 7.2, step 6).
    const isNamed = ticket.context.preAuthId !== undefined || ticket.context.sessionId !== undefined;
    if (answer.userHandle === null ? !isNamed : !answer.userHandle.equals(passkey.userHandle)) return null;
    const verified = await passkeys.verifyAuthentication(credential, answer.challenge, passkey);
    if (verified === null) return null;

    return {
      passkey,
      binding: ticket.context,
      async claim(tx) {
        const before = await tx.authenticators.usePasskey(passkey.id, verified, at);
        if (before === null) return null;
        const isRegressed = isCounterRegressed(before, verified.signCount);
        if (isRegressed) {
          const about = { accountId: passkey.accountId, details: { passkey: passkey.id, before, sent: verified.signCount } };
          await tx.authenticators.flagPasskey(passkey.id, at);
          await tx.audit.record(auditEvent(secrets, 'PASSKEY_COUNTER_REGRESSED', client, at, about));
          if (policy.secondFactors.refusesCounterRegression) return null;
        }
        return passkeyFactor(verified.isUserVerified, isRegressed);
      },
    };
  };
}
