import { nextAttemptAt } from '#domain/delivery-retry.ts';
import type { Clock, Delivery, Email } from './ports/services.ts';
import type { ClaimedMessage, Outbox } from './ports/store.ts';

/** A worker that dies holds its messages for this long, then another takes them. */
const LEASE_SECONDS = 60;
const BATCH = 20;

export type Unsealer = (message: ClaimedMessage) => Omit<Email, 'to'>;

export function deliverMessages({
  outbox,
  delivery,
  unseal,
  clock,
}: {
  outbox: Outbox;
  delivery: Delivery;
  unseal: Unsealer;
  clock: Clock;
}) {
  /**
   * Sends what is due, one batch. A message that is not taken waits with backoff; one that has expired is given up. A worker
   * that dies between sending and marking sends that message again after the lease: SMTP knows no better.
   * @returns how many it held; a full batch means that more may be due
   */
  return async (): Promise<{ claimed: number; more: boolean }> => {
    const claimed = await outbox.claim(BATCH, LEASE_SECONDS, clock.now());
    for (const message of claimed) {
      try {
        const providerId = await delivery.send({ id: message.id, kind: message.kind, to: message.recipient, ...unseal(message) });
        await outbox.markSent(message.id, providerId, clock.now());
      } catch (error) {
        const now = clock.now();
        const reason = error instanceof Error ? error.message : String(error);
        await outbox.markFailed(message.id, reason, nextAttemptAt(message.attempts, now, message.expiresAt, Math.random()), now);
      }
    }
    return { claimed: claimed.length, more: claimed.length === BATCH };
  };
}
