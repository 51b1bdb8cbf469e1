import { nextAttemptAt } from '#domain/delivery-retry.ts';
import { NotTaken } from './ports/errors.ts';
import type { ClaimedMessage, DeliveryFailure, Outbox } from './ports/outbox.ts';
import type { Clock, Delivery, Email } from './ports/services.ts';

/** A worker that dies holds its messages for this long, then another takes them. */
const LEASE_SECONDS = 120;
/** A lease is known by its end. Ends that no two claims share are as good as a name, and need no column. */
const LEASE_SPREAD_MS = 1000;
/** Of claims that were not answered; the oldest are forgotten first, and run out by themselves. */
const MOST_LOST = 500;
/**
 * An attempt ends before its lease does; the rest is for marking it, and for the clocks of workers that differ. It is long because
 * a server that looks at a mail for a minute before it takes it would otherwise be given it again and again.
 */
const ATTEMPT_SECONDS = 90;
/** What became of a message, its recipient and the provider's id can be looked up for this long. */
const KEPT_DAYS = 30;

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
  /** Sent, but the database did not hear of it: told before anything else is claimed, so that they are not sent again. */
  const unmarked = new Map<string, string | null>();
  /**
   * Ends of claims whose answer never came. The database may have made them, or make them yet, when it thaws: their messages would
   * wait for two minutes for a worker who does not know that it has them. Asked about until the lease is over by itself.
   */
  const lost = new Set<number>();

  async function markSent(id: string, providerId: string | null): Promise<void> {
    try {
      await outbox.markSent(id, providerId, clock.now());
      unmarked.delete(id);
    } catch (error) {
      unmarked.set(id, providerId);
      throw error;
    }
  }

  async function fail(message: ClaimedMessage, failure: DeliveryFailure, nextAttempt: Date | null): Promise<void> {
    await outbox.markFailed(message, failure, nextAttempt, clock.now());
  }

  return {
    /** Takes what is due, at most `limits` of each kind. */
    async claim(limits: Record<ClaimedMessage['kind'], number>): Promise<ClaimedMessage[]> {
      for (const [id, providerId] of unmarked) await markSent(id, providerId);
      const at = clock.now();
      for (const end of lost) if (end <= at.getTime() || lost.size > MOST_LOST) lost.delete(end);
      if (lost.size > 0)
        await outbox.release(
          Array.from(lost, (end) => new Date(end)),
          at,
        );
      const leasedUntil = new Date(at.getTime() + LEASE_SECONDS * 1000 - Math.floor(Math.random() * LEASE_SPREAD_MS));
      try {
        return await outbox.claim(limits, leasedUntil, at);
      } catch (error) {
        lost.add(leasedUntil.getTime());
        throw error;
      }
    },

    /**
     * Sends one message and says what became of it. One that is not taken waits with backoff; one that is refused for good, has
     * expired or cannot be read becomes a dead letter. A worker that dies between sending and marking sends it again after the
     * lease: SMTP knows no better, and its Message-ID is the same then.
     * @throws DependencyDown when that cannot be written down; the lease, or the next claim, sees to it
     */
    async send(message: ClaimedMessage, stopping: AbortSignal): Promise<void> {
      const { id, kind, recipient: to, expiresAt } = message;
      if (expiresAt <= clock.now())
        return await fail(message, { kind: 'expired', reason: 'nobody took it in time', replyCode: null }, null);
      const content = tried(() => unseal(message));
      if (content instanceof Error) return await fail(message, { kind: 'unreadable', reason: content.message, replyCode: null }, null);

      let providerId: string | null;
      try {
        const signal = AbortSignal.any([stopping, AbortSignal.timeout(ATTEMPT_SECONDS * 1000)]);
        providerId = await delivery.send({ id, kind, to, ...content }, signal);
      } catch (error) {
        const refused = error instanceof NotTaken ? error : null;
        const reason = error instanceof Error ? error.message : String(error);
        const failure = { kind: refused?.isPermanent ? 'bounced' : 'expired', reason, replyCode: refused?.replyCode ?? null } as const;
        const next = nextAttemptAt(message.attempts, clock.now(), expiresAt, Math.random(), refused?.retryAfterSeconds);
        return await fail(message, failure, refused?.isPermanent ? null : next);
      }
      await markSent(id, providerId);
    },

    /** Forgets what is over; a bounded number at a time. */
    async tidy(): Promise<void> {
      const at = clock.now();
      await outbox.tidy(new Date(at.getTime() - KEPT_DAYS * 24 * 60 * 60 * 1000), at);
    },
  };
}

function tried<T>(work: () => T): T | Error {
  try {
    return work();
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}
