import type { Client } from '#domain/client.ts';
import { secondsUntil } from '#domain/lifetimes.ts';
import { SECOND_FACTOR_TRIES } from '#domain/lockout.ts';
import { type Refusal, refuse } from '#domain/problems.ts';
import { isSameClient, PRE_AUTH_TRIES, type ProviderChallenge } from '#domain/tickets.ts';
import { auditEvent } from './audit.ts';
import { chooseMethod } from './choose-method.ts';
import { weakPassword } from './choose-password.ts';
import { sightingOf } from './devices.ts';
import { type FederatedRefusal, type FederationNeeds, federatedSignIn } from './federated-sign-in.ts';
import type { MfaRequired } from './mfa-required.ts';
import { judged } from './password-tries.ts';
import type { Challenge, FederatedIdentity } from './ports/federated-identity.ts';
import type { PasswordTry } from './ports/hot-paths.ts';
import type { Needs } from './ports/services.ts';
import type { Writes } from './ports/store.ts';
import type { GivenFactor } from './prove-second-factor.ts';
import { challengeOf, unanswerable, waitForProvider } from './provider-challenge.ts';
import { blockIfRisky, riskOfSignIn, weighed } from './respond-to-risk.ts';
import { secondFactorLane } from './second-factor-throttle.ts';
import type { SignedIn } from './start-session.ts';

/** What finishes a sign-in: a second factor, or the new password that another provider asks for. */
export type GivenAnswer = GivenFactor | { method: 'new_password'; newPassword: string };

export type ChallengeRefusal = FederatedRefusal | Refusal<'invalid-token' | 'invalid-code' | 'account-locked' | 'password-policy'>;

export function answerChallenge(needs: FederationNeeds & Needs<'commonPasswords'>, federation: FederatedIdentity) {
  const { store, secrets, clock } = needs;
  const finish = federatedSignIn(needs);
  const choose = chooseMethod(needs, federation);
  const most = { maxAttempts: SECOND_FACTOR_TRIES.perLock, lockSeconds: SECOND_FACTOR_TRIES.lockSeconds };

  /**
   * Answers what another provider asked after the password. The ticket takes five tries and is good for the client that began; codes
   * are counted once more by the provider's user, over all sign-ins, before the provider judges them. It may ask again, and a second factor
   * that is enrolled here is asked for after it.
   */
  return async (token: string, given: GivenAnswer, client: Client): Promise<SignedIn | MfaRequired | ChallengeRefusal> => {
    const at = clock.now();
    const ticketHash = secrets.ticketHash(token);
    const seen = await store.read(({ tickets }) => tickets.find<ProviderChallenge>('provider-challenge', ticketHash, PRE_AUTH_TRIES, at));
    if (seen === null || !isSameClient(seen.context, client)) return refuse('invalid-token');
    const challenge = challengeOf(needs, seen.context);
    const weak = given.method === 'new_password' ? weakPassword(needs, given.newPassword, chooserOf(challenge), '/new_password') : null;
    if (weak) return weak;

    const key = secondFactorLane(secrets, `cognito:${challenge.username}`);
    const counted = await store.transaction(async (tx) => {
      const ticket = await tx.tickets.tryOnce<ProviderChallenge>('provider-challenge', ticketHash, PRE_AUTH_TRIES, at);
      return ticket && { ticket, tried: await tx.throttles.tryPassword(key, most, at) };
    });
    if (counted === null) return refuse('invalid-token');
    const { ticket, tried } = counted;
    const failed = { provider: federation.name, method: given.method, tries: ticket.tries };
    if (tried.lockedUntil) {
      await record(auditEvent(secrets, 'MFA_FAILED', client, at, { details: { ...failed, reason: 'locked' } }));
      return refuse('account-locked', { retryAfterSeconds: secondsUntil(tried.lockedUntil, at) });
    }

    // Whose account it is shows when the provider has said so: until then, only the network and the count are judged.
    const judge = async () => {
      const known = await store.read(({ signIns }) => signIns.signals(null, sightingOf(needs, client), at));
      return riskOfSignIn(known, client, { failuresBefore: tried.lanes[0].failures - 1, before: ticket.context.rules ?? [] });
    };

    const value = given.method === 'new_password' ? given.newPassword : 'code' in given ? given.code : null;
    const answered = await judged(needs, tried, () => answerOf(ticketHash, ticket.context, given.method, value));
    const answer = answered?.answer ?? null;
    if (answer === null || answer.kind === 'wrong') {
      await fail(tried, { ...failed, reason: answer ? 'wrong' : 'not-offered' });
      return refuse('invalid-code');
    }
    if (answer.kind === 'password-policy') {
      await store.transaction((tx) => tx.throttles.takeBack(tried));
      return refuse('password-policy', { detail: answer.detail, errors: [{ pointer: '/new_password', detail: answer.detail }] });
    }

    const { transport, device, proofs } = ticket.context;
    const factor = answered?.proves ?? null;
    const begun = { transport, device, proofs: factor ? [...proofs, { factor, at }] : proofs };
    const risk = await judge();
    const next = answer.kind === 'challenge' ? waitForProvider(needs, answer.challenge, begun, risk, client, at) : null;
    const refused = answer.kind === 'unsupported' ? unanswerable(federation.name, answer) : null;
    const isOurs = await store.transaction(async (tx) => {
      if (!(await isRedeemed(tx))) return false;
      // A challenge that is over judged nothing: the tries before it stay counted, or letting one run out would begin the count anew.
      if (answer.kind === 'over')
        await tx.audit.record(auditEvent(secrets, 'MFA_FAILED', client, at, { details: { ...failed, reason: 'over' } }));
      else await tx.throttles.settle(tried);
      if (next) await tx.tickets.issue(next.ticket, at);
      if (next) await tx.audit.record(next.event);
      if (refused) {
        const details = { reason: refused.reason, provider: federation.name };
        await tx.audit.record(auditEvent(secrets, 'LOGIN_REFUSED', client, at, { details }));
      }
      return true;
    });
    if (!isOurs || answer.kind === 'over') return refuse('invalid-token');
    if (next) return next.waiting;
    if (refused) return refused.refusal;
    if (answer.kind !== 'proven') throw new Error(`an answer of the provider is not known: ${answer.kind}`);
    const hasFactor = begun.proofs.some(({ factor }) => factor !== 'password');
    const password = given.method === 'new_password' ? given.newPassword : null;
    return await finish(
      { identity: answer.identity, begun, method: 'pwd', password, heldBack: hasFactor ? 'mfa' : null, authenticatedAt: at },
      { tried: null, rules: risk.rules, knowsPassword: false },
      client,
      at,
    );

    /** Of several methods the one that is answered is chosen first; a code that nobody has been sent yet is wrong. @returns null: not asked */
    async function answerOf(hash: Buffer, context: ProviderChallenge, method: GivenAnswer['method'], value: string | null) {
      const isChoice = challenge.methods.length > 1;
      const isAsked = challenge.methods.some((each) => each === method) && !(isChoice && method === 'sms');
      if (!isAsked || value === null) return null;
      if (!isChoice) return { answer: await federation.answer(challenge, value), proves: challenge.proves };
      const chosen = await choose(hash, context, challenge, 'totp');
      if (chosen.kind !== 'challenge' || !chosen.challenge.methods.includes('totp')) return { answer: chosen, proves: null };
      return { answer: await federation.answer(chosen.challenge, value), proves: chosen.challenge.proves };
    }

    async function isRedeemed(tx: Writes): Promise<boolean> {
      return (await tx.tickets.redeemContext('provider-challenge', ticketHash, at)) !== null;
    }

    async function fail(wrong: PasswordTry, details: Record<string, string | number>): Promise<void> {
      const event = weighed(auditEvent(secrets, 'MFA_FAILED', client, at, { details }), await judge());
      await store.transaction(async (tx) => {
        await tx.audit.record(event);
        if (!wrong.lanes[0].isLocking) return;
        const lock = { provider: federation.name, lock_seconds: SECOND_FACTOR_TRIES.lockSeconds };
        await tx.audit.record(auditEvent(secrets, 'MFA_LOCKED', client, at, { details: lock }));
      });
      await blockIfRisky(needs, event, client, at);
    }

    async function record(event: ReturnType<typeof auditEvent>): Promise<void> {
      await store.transaction((tx) => tx.audit.record(event));
    }
  };
}

function chooserOf({ username }: Challenge) {
  return { email: username, username: null, displayName: null };
}
