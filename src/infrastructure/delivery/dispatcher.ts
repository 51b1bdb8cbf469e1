import type { ClaimedMessage } from '#application/ports/outbox.ts';

/** How long a message of another process waits at most; our own are sent at once (`wake`). */
const POLL_MS = 1000;
const TIDY_MS = 60_000;
/** At the end: what is being sent gets this long, then it is broken off and waits for another worker. */
const LAST_MS = 5000;

type Kind = ClaimedMessage['kind'];

/** How many of each kind are sent side by side: a provider that hangs takes its own places only, never those of the other. */
export const PLACES: Readonly<Record<Kind, number>> = { email: 8, sms: 4 };

export type Work = {
  claim(limits: Record<Kind, number>): Promise<ClaimedMessage[]>;
  send(message: ClaimedMessage, stopping: AbortSignal): Promise<void>;
  tidy(): Promise<void>;
};

export type Dispatcher = { wake(): void; stop(): Promise<void> };

/**
 * The outbox worker's loop: at every `wake` and once a second it claims as many messages as there are free places and begins to
 * send them; one that takes long holds up no other.
 * @param onError a claim or mark failed (the database is away); the next one tries again
 */
export function startDispatcher(work: Work, onError: (error: unknown) => void): Dispatcher {
  const free = { ...PLACES };
  /** Whether every free place was filled the last time: there may be more. */
  const isMoreDue = { email: false, sms: false };
  const underway = new Set<Promise<void>>();
  const stopping = new AbortController();
  let running: Promise<void> | null = null;
  let isWanted = false;
  let isStopped = false;

  const begin = (message: ClaimedMessage) => {
    const { kind } = message;
    free[kind]--;
    const sending = work
      .send(message, stopping.signal)
      .catch(onError)
      .finally(() => {
        underway.delete(sending);
        free[kind]++;
        if (isMoreDue[kind]) wake();
      });
    underway.add(sending);
  };
  const run = async () => {
    do {
      isWanted = false;
      const asked = { ...free };
      if (asked.email + asked.sms === 0) return;
      try {
        const claimed = await work.claim(asked);
        for (const kind of ['email', 'sms'] as const) {
          if (asked[kind] > 0) isMoreDue[kind] = claimed.filter((message) => message.kind === kind).length === asked[kind];
        }
        for (const message of claimed) begin(message);
      } catch (error) {
        onError(error);
        return;
      }
    } while (isWanted && !isStopped);
  };
  const wake = () => {
    isWanted = true;
    if (isStopped || running) return;
    running = run().finally(() => {
      running = null;
    });
  };
  const polling = setInterval(wake, POLL_MS);
  const tidying = setInterval(() => work.tidy().catch(onError), TIDY_MS);
  return {
    wake,
    async stop() {
      isStopped = true;
      clearInterval(polling);
      clearInterval(tidying);
      await running;
      const last = setTimeout(() => stopping.abort(new Error('the service stops')), LAST_MS);
      await Promise.all(underway);
      clearTimeout(last);
    },
  };
}
