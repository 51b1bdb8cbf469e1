import { usableFactors } from '#domain/assurance.ts';
import type { AuditEvent } from '#domain/audit-event.ts';
import type { Client } from '#domain/client.ts';
import { after } from '#domain/lifetimes.ts';
import { MOST_PASSKEYS } from '#domain/passkeys.ts';
import { isRefusal, type Refusal, refuse } from '#domain/problems.ts';
import { CEREMONY_TTL_SECONDS } from '#domain/tickets.ts';
import { assertion } from './assertion.ts';
import { auditEvent } from './audit.ts';
import { sightingOf } from './devices.ts';
import { type MfaRequired, waitForSecondFactor } from './mfa-required.ts';
import type { Needs } from './ports/services.ts';
import { blockIfRisky, riskOfSignIn, weighed } from './respond-to-risk.ts';
import { type Begun, grant, openSession, type SignedIn } from './start-session.ts';
import { type Asker, whoAsks } from './who-asks.ts';

type SignInRefusal = Refusal<'invalid-code' | 'email-not-verified' | 'account-suspended'>;

export function passkeySignIn(
  needs: Needs<'store' | 'secrets' | 'passkeys' | 'accessTokens' | 'refreshTokens' | 'csrfTokens' | 'courier' | 'clock' | 'policy'>,
) {
  const { store, secrets, passkeys, courier, clock, policy } = needs;
  const verify = assertion(needs);
  const identify = whoAsks(needs);

  return {
    /**
     * A challenge: for any passkey (a sign-in without a user name), for those of a sign-in that waits for its second factor, or
     * for those of a signed-in user who steps up. It is good for what it was asked for and for nothing else.
     */
    async options(asker: Asker | null, client: Client): Promise<Record<string, unknown> | Refusal<'invalid-token'>> {
      const at = clock.now();
      const asked = asker && (await identify(asker, client));
      if (isRefusal(asked)) return asked;
      const accountId = asked?.accountId ?? null;
      const allow = accountId === null ? [] : await store.read((records) => records.authenticators.listPasskeys(accountId, MOST_PASSKEYS));
      const { token, hash } = secrets.ticket();
      const ticket = {
        id: secrets.id(),
        purpose: 'webauthn-authentication' as const,
        accountId,
        secretHash: hash,
        context: asked?.binding ?? {},
        expiresAt: after(at, CEREMONY_TTL_SECONDS),
      };
      await store.transaction((tx) => tx.tickets.issue(ticket, at));
      return await passkeys.requestOptions({ challenge: token, allow });
    },

    /**
     * Signs in by a passkey alone (WebAuthn L3 7.2). With user verification that is two factors. Without, it is one: an account
     * that holds others is asked for one of those.
     */
    async signIn(credential: unknown, how: Omit<Begun, 'proofs'>, client: Client): Promise<SignedIn | MfaRequired | SignInRefusal> {
      const at = clock.now();
      const answer = await verify(credential, client, at);
      const accountId = answer?.passkey.accountId ?? null;
      let failure: AuditEvent | null = null;
      const isForSignIn = answer?.binding.preAuthId === undefined && answer?.binding.sessionId === undefined;
      const outcome = await store.transaction(async (tx) => {
        const account = answer && isForSignIn ? await tx.accounts.lock(answer.passkey.accountId) : null;
        const known = await tx.signIns.signals(accountId, sightingOf(needs, client), at);
        const risk = riskOfSignIn(known, client, { failuresBefore: known.passwordFailures });
        const failed = async (reason: string) => {
          failure = weighed(auditEvent(secrets, 'LOGIN_FAILED', client, at, { accountId, details: { method: 'webauthn', reason } }), risk);
          await tx.audit.record(failure);
        };
        if (answer === null || account === null) {
          await failed('wrong-credential');
          return refuse('invalid-code');
        }
        const refused =
          account.status === 'suspended' ? 'account-suspended' : account.emailVerifiedAt === null ? 'email-not-verified' : null;
        if (refused) {
          const about = { accountId: account.id, details: { reason: refused } };
          await tx.audit.record(auditEvent(secrets, 'LOGIN_REFUSED', client, at, about));
          return refuse(refused);
        }
        const factor = await answer.claim(tx);
        if (factor === null) {
          await failed('not-accepted');
          return refuse('invalid-code');
        }
        const begun: Begun = { ...how, proofs: [{ factor, at }] };
        const enrolled = await tx.authenticators.secondFactors(account.id);
        const others = usableFactors(enrolled, policy.secondFactors.allowsSms).filter(
          (one) => one !== 'webauthn' && one !== 'recovery_code',
        );
        if (factor === 'passkey' && others.length > 0) {
          const { ticket, waiting } = waitForSecondFactor(needs, { ...begun, client, methods: others, rules: risk.rules }, at);
          await tx.tickets.issue({ ...ticket, accountId: account.id }, at);
          const about = { accountId: account.id, details: { method: 'webauthn' } };
          await tx.audit.record(weighed(auditEvent(secrets, 'MFA_REQUIRED', client, at, about), risk));
          return waiting;
        }
        return await openSession(needs, tx, account, client, begun, { device: known.device, risk }, at);
      });
      if (failure) await blockIfRisky(needs, failure, client, at);
      if ('refused' in outcome || 'preAuthToken' in outcome) return outcome;
      courier.wake();
      return await grant(needs, outcome, at);
    },
  };
}
