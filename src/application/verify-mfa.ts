import { usableFactors } from '#domain/assurance.ts';
import type { Client } from '#domain/client.ts';
import { networkOf } from '#domain/network.ts';
import { type Refusal, refuse } from '#domain/problems.ts';
import { PRE_AUTH_TRIES, type PreAuth } from '#domain/tickets.ts';
import { auditEvent } from './audit.ts';
import type { Needs } from './ports/services.ts';
import { type GivenFactor, proveSecondFactor } from './prove-second-factor.ts';
import { secondFactorThrottle } from './second-factor-throttle.ts';
import { grantTokens, newSession, type Tokens } from './start-session.ts';

export type MfaNeeds = Needs<
  'store' | 'secrets' | 'secretBox' | 'oneTimePasswords' | 'passkeys' | 'accessTokens' | 'refreshTokens' | 'courier' | 'clock' | 'policy'
>;

export type MfaRefusal = Refusal<'invalid-token' | 'invalid-code' | 'account-locked' | 'account-suspended'>;

export function verifyMfa(needs: MfaNeeds) {
  const { store, secrets, courier, clock, policy } = needs;
  const prove = proveSecondFactor(needs);
  const throttle = secondFactorThrottle(needs);

  /**
   * The second half of a sign-in. The ticket takes five tries of whatever method, is good once, and only for the client that
   * began (ASVS 6.6.2, 6.6.3). Each try is counted before anything is looked at, so that parallel guesses count too. A new
   * password, a suspension or five minutes end it.
   */
  return async (preAuthToken: string, given: GivenFactor, client: Client): Promise<Tokens | MfaRefusal> => {
    const at = clock.now();
    const ticketHash = secrets.ticketHash(preAuthToken);
    const ticket = await store.transaction((tx) => tx.tickets.tryOnce<PreAuth>('pre-auth', ticketHash, PRE_AUTH_TRIES, at));
    if (ticket === null || !isSameClient(ticket.context, client)) return refuse('invalid-token');
    const { accountId, context } = ticket;
    const locked = await throttle.check(accountId, at);
    if (locked) return locked;

    const enrolled = await store.read((records) => records.authenticators.secondFactors(accountId));
    const isUsable = usableFactors(enrolled, policy.secondFactors.allowsSms).includes(given.method);
    const claim = isUsable ? await prove(accountId, given, { preAuthId: ticket.id }, client, at) : null;
    const outcome =
      claim &&
      (await store.transaction(async (tx) => {
        const account = await tx.accounts.lock(accountId);
        if (account === null) return refuse('invalid-token');
        if (account.status === 'suspended') return refuse('account-suspended');
        const factor = await claim(tx);
        if (factor === null) return null;
        if ((await tx.tickets.redeem('pre-auth', ticketHash, at)) === null) return refuse('invalid-token');
        const proofs = [...context.proofs, { factor, at }];
        const { session, secret } = newSession(needs, account.id, client, context.device, proofs, at);
        await tx.sessions.open(session);
        await tx.accounts.clearFailures([throttle.keyOf(accountId).identifierHash]);
        const details = { method: session.amr.join('+'), transport: session.transport };
        await tx.audit.record(auditEvent(secrets, 'LOGIN_SUCCEEDED', client, at, { accountId, sessionId: session.id, details }));
        return { account, session, secret };
      }));
    if (outcome === null) {
      const details = { method: given.method, tries: ticket.tries, reason: isUsable ? 'wrong' : 'not-enrolled' };
      await throttle.fail('MFA_FAILED', client, at, { accountId, details });
      return refuse('invalid-code');
    }
    if ('refused' in outcome) return outcome;
    courier.wake();
    return await grantTokens(needs, outcome.account, outcome.session, { secret: outcome.secret, counter: 0 }, at);
  };
}

/** The one that gave the password: the same program from the same network. */
export function isSameClient({ network, userAgent }: PreAuth, client: Client): boolean {
  return network === networkOf(client.ip) && userAgent === client.userAgent;
}
