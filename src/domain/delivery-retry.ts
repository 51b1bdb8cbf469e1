/** When a message that was not taken is tried again. */
const FIRST_DELAY_SECONDS = 1;
const LONGEST_DELAY_SECONDS = 600;
/** A provider that asks for more than this is asked again all the same. */
const LONGEST_PATIENCE_SECONDS = 900;
/** Of what is left of its life: a link of 30 minutes must not wait ten of them once the provider is back. */
const SHARE_OF_LIFE = 0.1;
const SHORTEST_CEILING_SECONDS = 5;

/**
 * Exponential backoff with jitter, so that a provider that comes back is not met by all at once.
 * @param attempts how often it was tried, at least 1
 * @param chance in [0, 1)
 * @param atLeastSeconds what the provider asked for
 * @returns null when it would come after the message has expired: it is given up
 */
export function nextAttemptAt(attempts: number, now: Date, expiresAt: Date, chance: number, atLeastSeconds = 0): Date | null {
  const leftSeconds = (expiresAt.getTime() - now.getTime()) / 1000;
  const patience = Math.max(SHORTEST_CEILING_SECONDS, leftSeconds * SHARE_OF_LIFE);
  const ceiling = Math.min(LONGEST_DELAY_SECONDS, patience, FIRST_DELAY_SECONDS * 2 ** (attempts - 1));
  const seconds = Math.max((0.5 + chance / 2) * ceiling, Math.min(atLeastSeconds, LONGEST_PATIENCE_SECONDS));
  const at = new Date(now.getTime() + Math.round(seconds * 1000));
  return at < expiresAt ? at : null;
}
