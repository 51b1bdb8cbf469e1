import { hasSecondFactor, usableFactors } from '#domain/assurance.ts';
import type { Client } from '#domain/client.ts';
import { isRefusal, type Refusal, refuse } from '#domain/problems.ts';
import { auditEvent } from './audit.ts';
import { type CountedSignIn, countedSignIn, recordRefused } from './counted-sign-in.ts';
import { deviceAtSignIn } from './devices.ts';
import type { FederatedRefusal, FederationNeeds } from './federated-sign-in.ts';
import { inTurn } from './in-turn.ts';
import { loginIdentifier, providerIdentifier, throttleKey } from './login-identifier.ts';
import { type MfaRequired, NO_USABLE_FACTOR, waitForSecondFactor } from './mfa-required.ts';
import { judged } from './password-tries.ts';
import { providerSignIn } from './provider-sign-in.ts';
import { responsesTo, weighed } from './respond-to-risk.ts';
import { type Begun, grant, newSession, replacedBy, type SignedIn } from './start-session.ts';

export type LoginInput = Omit<Begun, 'proofs'> & {
  identifier: string;
  password: string;
  honeypot: string;
  /** undefined: the first that AUTH_PROVIDER allows. */
  provider: 'native' | 'cognito' | undefined;
};

type LoginRefusal = FederatedRefusal | Refusal<'invalid-request' | 'account-locked'>;
type Outcome = SignedIn | MfaRequired | LoginRefusal;

export function login(needs: FederationNeeds) {
  const { store, passwords, secrets, clock, policy } = needs;
  const count = countedSignIn(needs);
  const atProvider = needs.federation && providerSignIn(needs, needs.federation);
  const inLane = inTurn(Math.max(1, policy.lockout.maxAttempts - 1));

  /**
   * The password step. Until the password is right, every failure looks alike and takes as long: no such account, no
   * password, a wrong one (ASVS 6.3.8). A try is counted before it is judged, and taken back by a right password. A locked lane
   * answers the same for accounts that do not exist. Those that come at once take turns, or right ones would count as a lock's worth
   * of wrong ones until they are judged. An account that holds a second factor gets no session here, only the ticket for
   * `verify-mfa`. Two round trips; another provider, where there is one, is asked behind the same counts.
   */
  return async (input: LoginInput, client: Client): Promise<Outcome> => {
    const { allowed } = policy.providers;
    const provider = input.provider ?? allowed[0];
    if (provider === undefined || !allowed.includes(provider)) {
      const detail = `Nobody signs in here by ${provider}.`;
      return refuse('invalid-request', { detail, errors: [{ pointer: '/provider', detail }] });
    }
    const isNative = provider === 'native';
    const identifier = isNative ? loginIdentifier(input.identifier) : providerIdentifier(input.identifier);
    const how = isNative ? { method: 'pwd' } : { method: 'pwd', provider };
    const { identifierHash, network } = throttleKey(secrets, identifier, client.ip);
    const isHoneypotFilled = input.honeypot !== '';
    return await inLane(`${identifierHash.toString('hex')} ${network}`, async () => {
      const attempt = async () => {
        const counted = await count({ identifier, isHoneypotFilled, how }, client, clock.now());
        if (isRefusal(counted)) return counted;
        return isNative ? await attemptHere(input, counted, client) : await attemptThere(input, counted, client);
      };
      const outcome = await attempt();
      const last = outcome === 'rehashed' ? await attempt() : outcome;
      return last === 'rehashed' ? refuse('invalid-credentials') : last;
    });
  };

  /** @returns `rehashed` when the hash that the password was right for was replaced meanwhile: by another first sign-in, it may be */
  async function attemptHere(input: LoginInput, counted: CountedSignIn, client: Client): Promise<Outcome | 'rehashed'> {
    const { account, tried, secondFactors, at, risk, isJudged } = counted;
    const verdict = await judged(needs, tried, () => passwords.verify(isJudged ? (account?.passwordHash ?? null) : null, input.password));
    if (account === null || account.passwordHash === null || verdict === 'wrong') {
      const drained = atProvider && policy.providers.drains ? await atProvider.unlessHere(input, counted, client) : null;
      if (drained) return drained;
      await counted.fail(
        input.honeypot !== '' ? 'honeypot' : account === null ? 'unknown-account' : tried.isWithheld ? 'withheld' : 'wrong-password',
      );
      return refuse('invalid-credentials');
    }

    const refused = account.status === 'suspended' ? 'account-suspended' : account.emailVerifiedAt === null ? 'email-not-verified' : null;
    if (refused) {
      await recordRefused(needs, counted, { accountId: account.id, reason: refused }, client);
      return refuse(refused);
    }

    const { transport } = input;
    const begun: Begun = { transport, device: input.device, proofs: [{ factor: 'password', at }] };
    const isEnough = !hasSecondFactor(secondFactors);
    const methods = usableFactors(secondFactors, policy.secondFactors.allowsSms);
    if (!isEnough && methods.length === 0) {
      await recordRefused(needs, counted, { accountId: account.id, reason: 'no-usable-second-factor' }, client);
      return NO_USABLE_FACTOR;
    }
    const { ticket, waiting } = waitForSecondFactor(needs, { ...begun, client, methods, rules: risk.rules }, at);
    const responses = responsesTo(risk);
    const device = deviceAtSignIn(needs, account.id, client, counted.device, at, responses);
    const { session, held } = newSession(needs, account.id, client, begun, device, at, responses);
    const about = { accountId: account.id, sessionId: isEnough ? session.id : null };
    const opening = {
      session,
      replaces: replacedBy(needs, transport, client),
      device: device.note,
      notice: device.notice,
      most: policy.sessions.most,
      superseded: auditEvent(secrets, 'SESSIONS_SUPERSEDED', client, at, about),
    };
    const opens: Parameters<typeof store.hot.openSession>[0] = {
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
    };
    // A right password that no session comes of, because the database could not, must not count as a wrong one: five such, and
    // an outage would have locked its owner out.
    const outcome = await judged(needs, tried, () => store.hot.openSession(opens));
    if (outcome === 'changed') {
      await store.transaction((tx) => tx.throttles.takeBack(tried));
      return verdict === 'outdated' ? 'rehashed' : refuse('invalid-credentials');
    }
    if (!isEnough) return waiting;
    if (device.notice) needs.courier.wake();
    return await grant(needs, { account, session, held, deviceCookie: device.cookie }, at);
  }

  /** The password of another provider's user, judged there. */
  async function attemptThere(input: LoginInput, counted: CountedSignIn, client: Client): Promise<Outcome> {
    if (!atProvider) throw new TypeError('a provider that is allowed is set up');
    const outcome = counted.isJudged ? await atProvider.ask(input, counted, client) : await atProvider.pretend(input, counted);
    if (!('wrong' in outcome)) return outcome;
    await counted.fail(outcome.wrong);
    return refuse('invalid-credentials');
  }
}
