import type { Client } from '#domain/client.ts';
import { after, secondsUntil } from '#domain/lifetimes.ts';
import { type Refusal, refuse } from '#domain/problems.ts';
import {
  isSameClient,
  PRE_AUTH_TRIES,
  PROVIDER_CHALLENGE_TTL_SECONDS,
  type ProviderChallenge,
  SMS_CODE_TTL_SECONDS,
} from '#domain/tickets.ts';
import { chooseMethod } from './choose-method.ts';
import type { FederatedIdentity } from './ports/federated-identity.ts';
import type { Allowance, Needs } from './ports/services.ts';
import { challengeOf, unanswerable } from './provider-challenge.ts';
import { secondFactorLane } from './second-factor-throttle.ts';
import { smsMfa } from './sms-mfa.ts';
import type { Asker } from './who-asks.ts';

type Sent = { expiresInSeconds: number };
type ProviderRefusal = Refusal<'invalid-token' | 'account-locked' | 'conflict' | 'forbidden' | 'rate-limited'>;

/** The code of a sign-in or a step-up, whoever sends it: this service, or the provider that judged the password. */
export function sendCode(needs: Parameters<typeof smsMfa>[0] & Needs<'secretBox' | 'federation'>) {
  const here = smsMfa(needs).sendCode;
  const there = needs.federation && sendProviderCode(needs, needs.federation);

  return async (asker: Asker, client: Client, allowance: Allowance) => {
    const elsewhere = there && 'preAuthToken' in asker ? await there(asker.preAuthToken, client, allowance) : null;
    return elsewhere ?? (await here(asker, client, allowance)) ?? { expiresInSeconds: SMS_CODE_TTL_SECONDS };
  };
}

function sendProviderCode(needs: Needs<'store' | 'secrets' | 'secretBox' | 'clock'>, federation: FederatedIdentity) {
  const { store, secrets, clock } = needs;
  const choose = chooseMethod(needs, federation);
  const find = (ticketHash: Buffer) =>
    store.read(({ tickets }) => tickets.find<ProviderChallenge>('provider-challenge', ticketHash, PRE_AUTH_TRIES, clock.now()));

  /**
   * Where the user may choose how to prove themselves, this chooses the code that is sent. A sign-in has one: it was sent with the question if
   * there was no choice, and another comes with a new sign-in.
   * @returns null when the token is none of a sign-in at the provider
   */
  return async (token: string, client: Client, allowance: Allowance): Promise<Sent | ProviderRefusal | null> => {
    const at = clock.now();
    const ticketHash = secrets.ticketHash(token);
    const seen = await find(ticketHash);
    if (seen === null) return null;
    if (!isSameClient(seen.context, client)) return refuse('invalid-token');
    const sent = { expiresInSeconds: secondsUntil(after(seen.createdAt, PROVIDER_CHALLENGE_TTL_SECONDS), at) };
    const challenge = challengeOf(needs, seen.context);
    if (!challenge.methods.includes('sms')) return refuse('conflict', { detail: 'This sign-in takes no code that is sent.' });
    if (challenge.methods.length === 1) return sent;

    const { refusal } = await allowance.take([]);
    if (refusal) return refusal;
    const lane = secondFactorLane(secrets, `cognito:${challenge.username}`);
    const lockedUntil = await store.read(({ accounts }) => accounts.findLock(lane, at));
    if (lockedUntil) return refuse('account-locked', { retryAfterSeconds: secondsUntil(lockedUntil, at) });
    const answer = await choose(ticketHash, seen.context, challenge, 'sms');
    if (answer.kind === 'challenge') return sent;
    if (answer.kind === 'unsupported') return unanswerable(federation.name, answer).refusal;
    // Asked twice at once, the choice was made by the other: the code is on its way all the same.
    const now = await find(ticketHash);
    return now && challengeOf(needs, now.context).methods.length === 1 ? sent : refuse('invalid-token');
  };
}
