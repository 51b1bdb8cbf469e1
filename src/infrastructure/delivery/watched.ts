import { NotTaken } from '#application/ports/errors.ts';
import type { Delivery, Dependency } from '#application/ports/services.ts';

/**
 * Tells readiness how the provider did with the last message; nobody is asked for a probe. A message that is refused for what it
 * is, is the provider at work.
 * @param onChange it began to fail, or (null) takes messages again
 */
export function watched(
  name: string,
  delivery: Delivery,
  onChange: (error: unknown) => void,
): { delivery: Delivery; dependency: Dependency } {
  let isFailing = false;
  const now = (fails: boolean, error: unknown) => {
    if (fails !== isFailing) onChange(error);
    isFailing = fails;
  };
  return {
    delivery: {
      async send(message, signal) {
        try {
          const providerId = await delivery.send(message, signal);
          now(false, null);
          return providerId;
        } catch (error) {
          const isRefusal = error instanceof NotTaken && error.isPermanent;
          now(!isRefusal, isRefusal ? null : error);
          throw error;
        }
      },
    },
    dependency: { name, optional: true, check: async () => (isFailing ? 'degraded' : 'up') },
  };
}
