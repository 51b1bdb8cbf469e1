/** A message ready to send, sealed: what it says is readable to the worker only (it holds live tokens). */
export type OutboxMessage = {
  id: string;
  kind: 'email' | 'sms';
  template: string;
  sealed: Buffer;
  expiresAt: Date;
};

/** The outbox as its worker sees it. */
export interface Outbox {
  /** Takes up to `limits` due messages of each kind until `leasedUntil`; two workers never hold the same one. */
  claim(limits: Record<OutboxMessage['kind'], number>, leasedUntil: Date, at: Date): Promise<ClaimedMessage[]>;
  /** Makes due again what was claimed until exactly one of these instants: claims whose answer was lost hold it for nobody. */
  release(leases: readonly Date[], at: Date): Promise<void>;
  /** Sent: the content is erased. */
  markSent(id: string, providerId: string | null, at: Date): Promise<void>;
  /**
   * Not sent: tried again at `nextAttemptAt`, or a dead letter when that is null, whose content stays until it expires. Nothing
   * happens when another worker has claimed the message since.
   */
  markFailed(
    claimed: Pick<ClaimedMessage, 'id' | 'attempts'>,
    failure: DeliveryFailure,
    nextAttemptAt: Date | null,
    at: Date,
  ): Promise<void>;
  /** Erases dead letters that have expired, and removes what is over and was made before `keptSince`; a bounded number at a time. */
  tidy(keptSince: Date, at: Date): Promise<void>;
  /** How many wait, and since when the oldest does. */
  backlog(at: Date): Promise<{ waiting: number; oldestSeconds: number }>;
  /** Codes by SMS that were counted on this day (UTC). */
  smsOf(at: Date): Promise<number>;
}

/** `bounced`: refused for good; `expired`: nobody took it in time; `unreadable`: sealed with another SECRET_KEY. */
export type DeadLetter = 'bounced' | 'expired' | 'unreadable';

export type DeliveryFailure = {
  /** What the message becomes when it is not tried again. */
  kind: DeadLetter;
  reason: string;
  /** The provider's, as `550 5.1.1`. */
  replyCode: string | null;
};

export type ClaimedMessage = OutboxMessage & { recipient: string; attempts: number };
