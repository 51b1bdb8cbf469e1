import { hasSecondFactor, usableFactors } from '#domain/assurance.ts';
import type { Client } from '#domain/client.ts';
import { secondsUntil } from '#domain/lifetimes.ts';
import { type Refusal, refuse } from '#domain/problems.ts';
import { RESPONSES } from '#domain/risk.ts';
import { auditEvent } from './audit.ts';
import { deviceAtSignIn, sightingOf } from './devices.ts';
import { inTurn } from './in-turn.ts';
import { loginIdentifier, loginLane, throttleKey } from './login-identifier.ts';
import { mails } from './mails.ts';
import { type MfaRequired, waitForSecondFactor } from './mfa-required.ts';
import { failureEvents, judged } from './password-tries.ts';
import type { Needs } from './ports/services.ts';
import { blockIfRisky, riskOfSignIn, weighed } from './respond-to-risk.ts';
import { type Begun, grant, newSession, replacedBy, type SignedIn } from './start-session.ts';

export type LoginInput = Omit<Begun, 'proofs'> & { identifier: string; password: string; honeypot: string };

type LoginRefusal = Refusal<'invalid-credentials' | 'account-locked' | 'email-not-verified' | 'account-suspended' | 'forbidden'>;

export function login(
  needs: Needs<'store' | 'passwords' | 'accessTokens' | 'refreshTokens' | 'csrfTokens' | 'secrets' | 'courier' | 'clock' | 'policy'>,
) {
  const { store, passwords, secrets, clock, policy } = needs;
  const mail = mails(needs);
  const inLane = inTurn(Math.max(1, policy.lockout.maxAttempts - 1));

  /**
   * The password step. Until the password is right, every failure looks alike and takes as long: no such account, no
   * password, a wrong one (ASVS 6.3.8). A try is counted before it is judged, and taken back by a right password. A locked lane
   * answers the same for accounts that do not exist. Those that come at once take turns, or right ones would count as a lock's worth
   * of wrong ones until they are judged. An account that holds a second factor gets no session here, only the ticket for
   * `verify-mfa`. Two round trips.
   */
  return async (input: LoginInput, client: Client): Promise<SignedIn | MfaRequired | LoginRefusal> => {
    const { identifierHash, network } = throttleKey(secrets, loginIdentifier(input.identifier), client.ip);
    return await inLane(`${identifierHash.toString('hex')} ${network}`, async () => {
      const outcome = await attempt(input, client);
      const last = outcome === 'rehashed' ? await attempt(input, client) : outcome;
      return last === 'rehashed' ? refuse('invalid-credentials') : last;
    });
  };

  /** @returns `rehashed` when the hash that the password was right for was replaced meanwhile: by another first sign-in, it may be */
  async function attempt(input: LoginInput, client: Client): Promise<SignedIn | MfaRequired | LoginRefusal | 'rehashed'> {
    const at = clock.now();
    const identifier = loginIdentifier(input.identifier);
    const key = throttleKey(secrets, identifier, client.ip);
    const found = await store.hot.findForSignIn(identifier, key, policy.lockout, sightingOf(needs, client), at);
    const { account, tried, secondFactors } = found;
    const risk = riskOfSignIn(found, input.honeypot !== '');
    const fail = async (reason: string) => {
      const about = { accountId: account?.id ?? null, details: { reason, method: 'pwd' } };
      const [event, ...locks] = failureEvents(needs, 'LOGIN_FAILED', tried, client, at, about);
      const failed = weighed(event, risk);
      const isLocking = locks.length > 0;
      // Sealed for names that nobody has too: whether there is an owner to be told does not show in the time that it takes.
      const told = {
        accountId: about.accountId,
        laneHash: account ? loginLane(account.id) : key.strangerHash,
        mail: mail.passwordsGuessed(at),
      };
      await store.hot.recordFailure([failed, ...locks], isLocking ? told : null);
      if (isLocking) needs.courier.wake();
      await blockIfRisky(needs, failed, client, at);
    };

    if (tried.lockedUntil) {
      await fail('locked');
      return refuse('account-locked', { retryAfterSeconds: secondsUntil(tried.lockedUntil, at) });
    }
    const isJudged = input.honeypot === '' && !tried.isWithheld;
    const verdict = await judged(needs, tried, () => passwords.verify(isJudged ? (account?.passwordHash ?? null) : null, input.password));
    if (account === null || account.passwordHash === null || verdict === 'wrong') {
      await fail(
        input.honeypot !== '' ? 'honeypot' : account === null ? 'unknown-account' : tried.isWithheld ? 'withheld' : 'wrong-password',
      );
      return refuse('invalid-credentials');
    }

    const refused = account.status === 'suspended' ? 'account-suspended' : account.emailVerifiedAt === null ? 'email-not-verified' : null;
    const refuseBecause = async (reason: string) => {
      const event = auditEvent(secrets, 'LOGIN_REFUSED', client, at, { accountId: account.id, details: { reason } });
      await store.transaction(async (tx) => {
        await tx.throttles.takeBack(tried);
        await tx.audit.record(event);
      });
    };
    if (refused) {
      await refuseBecause(refused);
      return refuse(refused);
    }

    const { transport } = input;
    const begun: Begun = { transport, device: input.device, proofs: [{ factor: 'password', at }] };
    const isEnough = !hasSecondFactor(secondFactors);
    const methods = usableFactors(secondFactors, policy.secondFactors.allowsSms);
    if (!isEnough && methods.length === 0) {
      await refuseBecause('no-usable-second-factor');
      return refuse('forbidden', { detail: 'No second factor of this account may be used here any more; ask who runs this service.' });
    }
    const { ticket, waiting } = waitForSecondFactor(needs, { ...begun, client, methods }, at);
    const device = deviceAtSignIn(needs, account.id, client, found.device, at, { isTold: risk.points >= RESPONSES.mail.from });
    const { session, held } = newSession(needs, account.id, client, begun, device, at, { stepsUp: risk.points >= RESPONSES.stepUp.from });
    const about = { accountId: account.id, sessionId: isEnough ? session.id : null };
    const opening = {
      session,
      replaces: replacedBy(needs, transport, client),
      device: device.note,
      notice: device.notice,
      most: policy.sessions.most,
      superseded: auditEvent(secrets, 'SESSIONS_SUPERSEDED', client, at, about),
    };
    const outcome = await store.hot.openSession({
      accountId: account.id,
      begun: isEnough ? opening : { preAuth: ticket },
      tried,
      seenPasswordHash: account.passwordHash,
      rehashed: verdict === 'outdated' ? await judged(needs, tried, () => passwords.hash(input.password)) : null,
      event: weighed(
        auditEvent(secrets, isEnough ? 'LOGIN_SUCCEEDED' : 'MFA_REQUIRED', client, at, {
          ...about,
          details: isEnough ? { method: 'pwd', transport, new_device: device.isNew } : { method: 'pwd' },
        }),
        risk,
      ),
    });
    if (outcome === 'changed') {
      await store.transaction((tx) => tx.throttles.takeBack(tried));
      return verdict === 'outdated' ? 'rehashed' : refuse('invalid-credentials');
    }
    if (!isEnough) return waiting;
    if (device.notice) needs.courier.wake();
    return await grant(needs, { account, session, held, deviceCookie: device.cookie }, at);
  }
}
