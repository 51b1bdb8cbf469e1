import { hasSecondFactor, type Proof, usableFactors } from '#domain/assurance.ts';
import type { Client } from '#domain/client.ts';
import { isRefusal, type Refusal, refuse } from '#domain/problems.ts';
import type { RiskRule } from '#domain/risk.ts';
import type { PendingLink } from '#domain/tickets.ts';
import { auditEvent } from './audit.ts';
import { sightingOf } from './devices.ts';
import { accountOfIdentity, linkIdentity, OTHER_IDENTITY } from './federated-accounts.ts';
import { type MfaRequired, NO_USABLE_FACTOR, waitForSecondFactor } from './mfa-required.ts';
import { judged } from './password-tries.ts';
import type { Identity } from './ports/federated-identity.ts';
import type { PasswordTry } from './ports/hot-paths.ts';
import type { Needs } from './ports/services.ts';
import type { Writes } from './ports/store.ts';
import { riskOfSignIn, weighed } from './respond-to-risk.ts';
import { type Begun, grant, openSession, type SignedIn } from './start-session.ts';

export type FederationNeeds = Needs<
  | 'store'
  | 'passwords'
  | 'accessTokens'
  | 'refreshTokens'
  | 'csrfTokens'
  | 'secrets'
  | 'secretBox'
  | 'courier'
  | 'clock'
  | 'policy'
  | 'federation'
>;

export type FederatedRefusal = Refusal<'invalid-credentials' | 'invalid-token' | 'forbidden' | 'email-not-verified' | 'account-suspended'>;

const FROM_BEFORE = refuse('invalid-token', {
  detail: 'All sessions of this account ended after this sign-in began: sign in again.',
});

/** A user whom another provider vouches for, and how the session will be held. */
export type Vouched = {
  identity: Identity;
  begun: Omit<Begun, 'proofs'> & { proofs: Proof[] };
  method: 'pwd' | 'token';
  /** What was right there, if it may move here. */
  password: string | null;
  /** Why it may not move. */
  heldBack: PendingLink['heldBack'];
  authenticatedAt: Date;
};

/** What was counted for it before, if it came with a password, and the rules of risk that held then. */
export type Counted = { tried: PasswordTry | null; rules: RiskRule[]; knowsPassword: boolean };

export function federatedSignIn(needs: FederationNeeds) {
  const { store, secrets, passwords, courier, policy } = needs;

  /**
   * Signs in whom another provider vouches for: makes or links the account, and goes on as any first factor does. A second factor
   * that is enrolled here is asked for whatever was proved there, and the link waits for it too. With COGNITO_MIGRATE the
   * password that was right there is hashed here, unless a factor there stood beside it.
   */
  return async (vouched: Vouched, counted: Counted, client: Client, at: Date): Promise<SignedIn | MfaRequired | FederatedRefusal> => {
    const { identity, begun, password, heldBack } = vouched;
    const { tried, rules } = counted;
    const moves = policy.providers.drains && heldBack === null && !counted.knowsPassword;
    const hash = () => (password !== null && moves ? passwords.hash(password) : Promise.resolve(null));
    const passwordHash = tried ? await judged(needs, tried, hash) : await hash();
    const link: PendingLink = { issuer: identity.issuer, subject: identity.subject, passwordHash, heldBack };
    const how = { method: vouched.method, provider: needs.federation?.name ?? null };

    const enter = () =>
      store.transaction(async (tx) => {
        const found = await accountOfIdentity(needs, tx, identity, at);
        const refuseWith = async (refusal: FederatedRefusal, reason: string) => {
          if (tried) await tx.throttles.takeBack(tried);
          const accountId = isRefusal(found) ? null : found.account.id;
          await tx.audit.record(auditEvent(secrets, 'LOGIN_REFUSED', client, at, { accountId, details: { reason, ...how } }));
          return refusal;
        };
        if (isRefusal(found)) return await refuseWith(found, found.refused);
        const { account } = found;
        if (account.status === 'suspended') return await refuseWith(refuse('account-suspended'), 'account-suspended');
        if (account.emailVerifiedAt === null) return await refuseWith(refuse('email-not-verified'), 'email-not-verified');

        // What ends all sessions (a new password, a suspension, "this was not me") would end nothing, could a token or a sign-in under way
        // from before open one.
        if (found.came !== 'taken' && (await isFromBefore(tx, account.id, begun.proofs)))
          return await refuseWith(tried ? refuse('invalid-credentials') : FROM_BEFORE, 'from-before');

        const known = await tx.signIns.signals(account.id, sightingOf(needs, client), at);
        const risk = riskOfSignIn(known, client, {
          failuresBefore: tried ? tried.lanes[0].failures - 1 : known.passwordFailures,
          before: rules,
        });
        const enrolled = await tx.authenticators.secondFactors(account.id);
        if (hasSecondFactor(enrolled)) {
          const methods = usableFactors(enrolled, policy.secondFactors.allowsSms);
          if (methods.length === 0) return await refuseWith(NO_USABLE_FACTOR, 'no-usable-second-factor');
          const { ticket, waiting } = waitForSecondFactor(needs, { ...begun, client, methods, rules: risk.rules, federated: link }, at);
          if (tried) await tx.throttles.settle(tried);
          await tx.tickets.issue({ ...ticket, accountId: account.id }, at);
          await tx.audit.record(weighed(auditEvent(secrets, 'MFA_REQUIRED', client, at, { accountId: account.id, details: how }), risk));
          return waiting;
        }
        if (!(await linkIdentity(needs, tx, account, link, found.came, client, at)))
          return await refuseWith(OTHER_IDENTITY, 'other-identity');
        if (tried) await tx.throttles.settle(tried);
        const { authenticatedAt } = vouched;
        return await openSession(needs, tx, account, client, begun, { device: known.device, risk }, at, { authenticatedAt, how });
      });
    const outcome = tried ? await judged(needs, tried, enter) : await enter();
    if ('refused' in outcome || 'preAuthToken' in outcome) return outcome;
    courier.wake();
    return await grant(needs, outcome, at);
  };
}

/** Whether its first proof is older than the last end of all sessions. */
async function isFromBefore(tx: Writes, accountId: string, proofs: readonly Proof[]): Promise<boolean> {
  const endedAt = await tx.accounts.sessionsEndedAt(accountId);
  return endedAt !== null && proofs.some(({ at }) => at < endedAt);
}
