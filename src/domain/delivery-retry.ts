/** When a message that was not taken is tried again. */
const FIRST_DELAY_SECONDS = 1;
const LONGEST_DELAY_SECONDS = 600;

/**
 * Exponential backoff with full jitter, so that a provider that comes back is not met by all at once.
 * @param attempts how often it was tried, at least 1
 * @param chance in [0, 1)
 * @returns null when it would come after the message has expired: it is given up
 */
export function nextAttemptAt(attempts: number, now: Date, expiresAt: Date, chance: number): Date | null {
  const ceiling = Math.min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2 ** (attempts - 1));
  const at = new Date(now.getTime() + Math.round((0.5 + chance / 2) * ceiling * 1000));
  return at < expiresAt ? at : null;
}
